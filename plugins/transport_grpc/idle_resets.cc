#include "plugins/transport_grpc/idle_resets.h"

namespace mortise::transport_grpc {
namespace {

constexpr uint8_t kHeaders = 1;
constexpr uint8_t kReset = 3;
constexpr uint32_t kResetBytes = 4;

uint32_t big_endian(const uint8_t* bytes, size_t count) {
  uint32_t out = 0;
  for (size_t i = 0; i < count; ++i) out = out << 8 | bytes[i];
  return out;
}

}  // namespace

bool IdleResets::begin_frame() {
  const uint32_t length = big_endian(head_, 3);
  const uint8_t type = head_[3];
  const uint32_t stream = big_endian(head_ + 5, 4) & 0x7fffffff;
  payload_left_ = length;
  const bool is_clients = stream % 2 == 1;
  if (type == kHeaders && is_clients && stream > last_begun_) last_begun_ = stream;
  return type == kReset && length == kResetBytes && is_clients && stream > last_begun_;
}

}  // namespace mortise::transport_grpc
