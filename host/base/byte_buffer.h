// A growing byte buffer. A large one is a mapping of its own that grows by moving pages, not bytes,
// so a big response is held once, and is given back to the system when it goes. Move-only.
#pragma once

#include <sys/mman.h>

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
  ~ByteBuffer() {
    if (is_mapped()) {
      munmap(data_, capacity_);
    } else {
      std::free(data_);
    }
  }

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
  bool is_mapped() const { return capacity_ >= kMappedBytesMin; }
  // The bytes of one that is not mapped, to be freed with free(); the buffer is empty afterwards.
  char* release() {
    MORTISE_CHECK(!is_mapped(), "memory that free() does not know");
    size_ = capacity_ = 0;
    return std::exchange(data_, nullptr);
  }

 private:
  static constexpr size_t kMappedBytesMin = 1 << 20;
  static constexpr size_t kMappedUnit = 64 << 10;  // A multiple of the page size.

  void reserve(size_t wanted) {
    size_t capacity = capacity_ * 2 > wanted ? capacity_ * 2 : wanted;
    if (capacity < 64) capacity = 64;
    if (capacity >= kMappedBytesMin) return map(capacity);
    char* data = static_cast<char*>(std::realloc(data_, capacity));
    MORTISE_CHECK(data != nullptr, "out of memory");
    data_ = data;
    capacity_ = capacity;
  }
  void map(size_t capacity) {
    capacity = (capacity + kMappedUnit - 1) / kMappedUnit * kMappedUnit;
    void* data = is_mapped() ? mremap(data_, capacity_, capacity, MREMAP_MAYMOVE)
                             : mmap(nullptr, capacity, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MORTISE_CHECK(data != MAP_FAILED, "out of memory");
    if (!is_mapped()) {
      if (size_ > 0) std::memcpy(data, data_, size_);
      std::free(data_);
    }
    data_ = static_cast<char*>(data);
    capacity_ = capacity;
  }
  char* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace mortise
