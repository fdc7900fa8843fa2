// The bytes of a connection that are not taken yet, in one piece. Small while there is little, so
// that idle connections are cheap.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace mortise::transport_http {

class Input {
 public:
  static constexpr size_t kSmallBytes = 1 << 10;  // What an idle connection begins with,
  static constexpr size_t kKeptBytes = 4 << 10;   // and what one may keep.

  std::string_view view() const { return {data_.get() + begin_, end_ - begin_}; }
  bool empty() const { return begin_ == end_; }
  size_t size() const { return end_ - begin_; }
  void take(size_t bytes) { begin_ += bytes; }
  void clear() { begin_ = end_ = 0; }

  // Room behind the bytes, at least `least`; the bytes may move. Then filled(), when some came.
  std::pair<char*, size_t> room(size_t least) {
    if (empty()) begin_ = end_ = 0;
    if (capacity_ - end_ < least || (begin_ == end_ && capacity_ > kKeptBytes)) {
      grow(std::max(kSmallBytes, size() + least));
    }
    return {data_.get() + end_, capacity_ - end_};
  }
  void filled(size_t bytes) { end_ += bytes; }

 private:
  void grow(size_t capacity) {
    const size_t kept = size();
    if (capacity <= capacity_ && capacity_ <= 4 * capacity) {
      std::memmove(data_.get(), data_.get() + begin_, kept);
    } else {
      auto data = std::unique_ptr<char[]>(new char[capacity]);
      if (kept > 0) std::memcpy(data.get(), data_.get() + begin_, kept);
      data_ = std::move(data);
      capacity_ = capacity;
    }
    begin_ = 0;
    end_ = kept;
  }

  std::unique_ptr<char[]> data_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace mortise::transport_http
