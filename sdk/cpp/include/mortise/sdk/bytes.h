// Bytes of the ABI as C++ sees them: borrowed spans as std::string_view, payloads that change hands
// as Buffer.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "mortise/abi/base.h"

namespace mortise::sdk {

inline std::string_view view(mortise_bytes b) noexcept {
  return std::string_view(reinterpret_cast<const char*>(b.data), b.size);
}
inline std::string_view view(const mortise_buffer& b) noexcept {
  return std::string_view(reinterpret_cast<const char*>(b.data), b.size);
}
inline mortise_bytes bytes(std::string_view v) noexcept {
  return mortise_bytes{reinterpret_cast<const uint8_t*>(v.data()), v.size()};
}

// Owns a mortise_buffer: gives it back when destroyed, unless release() handed it on. Move only;
// one thread at a time, but may move between threads.
class Buffer {
 public:
  Buffer() noexcept = default;
  // Takes over a buffer that was handed to this side.
  explicit Buffer(mortise_buffer taken) noexcept : buffer_(taken) {}
  Buffer(Buffer&& other) noexcept : buffer_(other.release()) {}
  Buffer& operator=(Buffer&& other) noexcept {
    if (this != &other) {
      reset();
      buffer_ = other.release();
    }
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { reset(); }

  static Buffer from(std::string text) {
    auto owner = std::make_unique<std::string>(std::move(text));
    const mortise_bytes b = mortise::sdk::bytes(*owner);
    return Buffer(mortise_buffer{b.data, b.size, &delete_object<std::string>, owner.release()});
  }
  // Bytes that outlive the process, such as a literal.
  static Buffer from_static(std::string_view text) noexcept {
    const mortise_bytes b = mortise::sdk::bytes(text);
    return Buffer(mortise_buffer{b.data, b.size, nullptr, nullptr});
  }
  // Bytes inside `owner`, which is deleted when the holder is done with them.
  template <class Owner>
  static Buffer owning(std::unique_ptr<Owner> owner, std::string_view text) noexcept {
    const mortise_bytes b = mortise::sdk::bytes(text);
    return Buffer(mortise_buffer{b.data, b.size, &delete_object<Owner>, owner.release()});
  }

  std::string_view view() const noexcept { return mortise::sdk::view(buffer_); }
  size_t size() const noexcept { return buffer_.size; }
  bool empty() const noexcept { return buffer_.size == 0; }

  // Hands the payload on; this object is empty afterwards.
  [[nodiscard]] mortise_buffer release() noexcept {
    return std::exchange(buffer_, mortise_buffer{nullptr, 0, nullptr, nullptr});
  }
  void reset() noexcept {
    const mortise_buffer old = release();
    if (old.release != nullptr) old.release(old.owner);
  }

 private:
  template <class Owner>
  static void delete_object(void* owner) noexcept {
    delete static_cast<Owner*>(owner);
  }

  mortise_buffer buffer_{nullptr, 0, nullptr, nullptr};
};

}  // namespace mortise::sdk
