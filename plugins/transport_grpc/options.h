// The plugin's part of the configuration.
#pragma once

#include <cstdint>
#include <string_view>

#include "mortise/sdk/status.h"

namespace mortise::transport_grpc {

struct Options {
  uint32_t threads = 0;  // Completion queues, each with one thread.
  uint64_t stream_window_bytes =
      0;                       // What the host may have in flight towards one stream's client.
  uint32_t request_slots = 0;  // Calls of one unary method that a queue can take at once.
};

// Reads "threads", "stream_window" and "request_slots"; an unknown or bad option is named in the
// status.
sdk::Status parse_options(std::string_view config_json, Options& out);

}  // namespace mortise::transport_grpc
