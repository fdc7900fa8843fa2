// The plugin's part of the configuration.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mortise/sdk/status.h"

namespace mortise::transport_http {

struct Options {
  uint32_t threads = 0;  // Loops, each with one thread.
  uint32_t connections_max = 0;
  bool gateway = true;                      // Serve methods under /v3/.
  bool ui = true;                           // Show the status page.
  std::vector<std::string> cors;            // Origins; "*" is all.
  std::vector<std::string> host_whitelist;  // Names for the Host header; "*" or none is all.
  uint64_t header_bytes_max = 0;
  uint64_t body_bytes_max = 0;  // 0: twice the largest message, since JSON writes bytes in base64.
  uint64_t bodies_bytes_max = 0;     // All bodies that are not complete yet, together.
  uint64_t stream_window_bytes = 0;  // What the host may have in flight towards one client.
  uint64_t header_timeout_ms = 0;
  uint64_t body_timeout_ms = 0;
  uint64_t idle_timeout_ms = 0;
  uint64_t write_timeout_ms = 0;
};

// An unknown or bad option is named in the status.
sdk::Status parse_options(std::string_view config_json, Options& out);

}  // namespace mortise::transport_http
