// Payloads that cross to and from transports.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "host/base/byte_buffer.h"
#include "mortise/abi/base.h"

namespace mortise::rpc {

inline mortise_bytes to_bytes(std::string_view v) {
  return mortise_bytes{reinterpret_cast<const uint8_t*>(v.data()), v.size()};
}

// Gives the buffer's memory away.
inline mortise_buffer to_buffer(ByteBuffer&& bytes) {
  size_t size = bytes.size();
  if (size == 0) return mortise_buffer{nullptr, 0, nullptr, nullptr};
  if (bytes.is_mapped()) {
    auto* owner = new ByteBuffer(std::move(bytes));
    return mortise_buffer{reinterpret_cast<const uint8_t*>(owner->data()), size,
                          [](void* o) { delete static_cast<ByteBuffer*>(o); }, owner};
  }
  char* data = bytes.release();
  return mortise_buffer{reinterpret_cast<const uint8_t*>(data), size,
                        [](void* owner) { std::free(owner); }, data};
}

// A payload that came from a transport: given back when this goes.
class Payload {
 public:
  Payload() = default;
  explicit Payload(mortise_buffer buffer) : buffer_(buffer) {}
  Payload(Payload&& o) noexcept : buffer_(std::exchange(o.buffer_, mortise_buffer{})) {}
  Payload& operator=(Payload&& o) noexcept {
    std::swap(buffer_, o.buffer_);
    return *this;
  }
  ~Payload() {
    if (buffer_.release != nullptr) buffer_.release(buffer_.owner);
  }
  std::string_view view() const {
    return {reinterpret_cast<const char*>(buffer_.data), buffer_.size};
  }

 private:
  mortise_buffer buffer_{};
};

}  // namespace mortise::rpc
