// gRPC's codes, what this side says by itself, and how both are written on the wire. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mortise/abi/rpc.h"

namespace mortise::transport_grpc {

// The codes that this side gives by itself.
enum Code : mortise_rpc_code {
  kOk = 0,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kResourceExhausted = 8,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14
};

struct Status {
  mortise_rpc_code code = kOk;
  std::string message;
};

// The number of a code; a code that gRPC does not have is Unknown. Static.
std::string_view code_text(mortise_rpc_code code);
// Bytes that a header cannot carry, and '%', become "%XX".
std::string percent_encoded(std::string_view message);

// A refusal by the host to take a call or a stream.
Status refusal_of(mortise_status status);
Status too_large(uint64_t size, uint64_t max);
Status too_large_unpacked(uint64_t max);
Status deadline_exceeded();
Status not_installed(std::string_view encoding);

}  // namespace mortise::transport_grpc
