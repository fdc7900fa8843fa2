// The plugin's part of the configuration.
#pragma once

#include <cstdint>
#include <string_view>

#include "mortise/sdk/status.h"

namespace mortise::transport_grpc {

struct Options {
  uint32_t threads = 0;              // Loops, each with one thread.
  uint64_t stream_window_bytes = 0;  // What the host may have in flight towards a stream's client.
};

// Reads "threads" and "stream_window"; an unknown or bad option is named in the status.
sdk::Status parse_options(std::string_view config_json, Options& out);

}  // namespace mortise::transport_grpc
