// A growing byte buffer on malloc: large ones grow by moving pages, not bytes, so a big response is
// held once. Move-only; release() hands the memory to somebody who will free() it.
#pragma once

#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "host/base/check.h"

namespace mortise {

class ByteBuffer {
 public:
  ByteBuffer() = default;
  explicit ByteBuffer(size_t capacity) { reserve(capacity); }
  ByteBuffer(ByteBuffer&& o) noexcept
      : data_(std::exchange(o.data_, nullptr)),
        size_(std::exchange(o.size_, 0)),
        capacity_(std::exchange(o.capacity_, 0)) {}
  ByteBuffer& operator=(ByteBuffer&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(size_, o.size_);
    std::swap(capacity_, o.capacity_);
    return *this;
  }
  ~ByteBuffer() { std::free(data_); }

  char* data() { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::string_view view() const { return {data_, size_}; }

  // Room for `size` more bytes; the caller writes there and calls commit() with how many it wrote.
  char* prepare(size_t size) {
    if (capacity_ - size_ < size) reserve(size_ + size);
    return data_ + size_;
  }
  void commit(size_t size) { size_ += size; }
  void append(std::string_view bytes) {
    if (bytes.empty()) return;
    std::memcpy(prepare(bytes.size()), bytes.data(), bytes.size());
    size_ += bytes.size();
  }
  void truncate(size_t size) { size_ = size; }
  // The bytes, to be freed with free(); the buffer is empty afterwards.
  char* release() {
    size_ = capacity_ = 0;
    return std::exchange(data_, nullptr);
  }

 private:
  void reserve(size_t wanted) {
    size_t capacity = capacity_ * 2 > wanted ? capacity_ * 2 : wanted;
    if (capacity < 64) capacity = 64;
    char* data = static_cast<char*>(std::realloc(data_, capacity));
    MORTISE_CHECK(data != nullptr, "out of memory");
    data_ = data;
    capacity_ = capacity;
  }
  char* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace mortise
