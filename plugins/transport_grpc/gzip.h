// Unpacks a message that its client has packed with gzip. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mortise::transport_grpc {

enum class UnpackResult : uint8_t { kDone, kTooLarge, kBroken, kNoMemory };

// Memory of malloc(), so that it can be handed on.
struct Unpacked {
  Unpacked() = default;
  ~Unpacked();
  Unpacked(const Unpacked&) = delete;
  Unpacked& operator=(const Unpacked&) = delete;

  uint8_t* data = nullptr;
  uint32_t size = 0;
};

// kTooLarge: it has more than `max` bytes; no more than these and one are ever unpacked.
UnpackResult unpack_gzip(std::string_view packed, uint64_t max, Unpacked& out);

}  // namespace mortise::transport_grpc
