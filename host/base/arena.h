// Bump allocation for bytes that live and die together. Not thread-safe; views stay valid until the
// arena is destroyed.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace mortise {

class Arena {
 public:
  static constexpr size_t kChunkBytes = 64 << 10;

  char* allocate(size_t size) {
    // Big pieces get chunks of their own, so that the current one is used to its end.
    if (size > kChunkBytes / 4) return add_chunk(size);
    if (size > remaining_) {
      next_ = add_chunk(kChunkBytes);
      remaining_ = kChunkBytes;
    }
    char* p = next_;
    next_ += size;
    remaining_ -= size;
    return p;
  }
  std::string_view copy(std::string_view bytes) {
    char* p = allocate(bytes.size());
    if (!bytes.empty()) std::memcpy(p, bytes.data(), bytes.size());
    return {p, bytes.size()};
  }
  size_t bytes_reserved() const { return bytes_reserved_; }
  size_t bytes_used() const { return bytes_reserved_ - remaining_; }

 private:
  char* add_chunk(size_t size) {
    chunks_.push_back(std::make_unique_for_overwrite<char[]>(size));
    bytes_reserved_ += size;
    return chunks_.back().get();
  }

  char* next_ = nullptr;
  size_t remaining_ = 0;
  size_t bytes_reserved_ = 0;
  std::vector<std::unique_ptr<char[]>> chunks_;
};

}  // namespace mortise
