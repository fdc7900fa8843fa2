#include "plugins/transport_http/options.h"

#include <algorithm>
#include <thread>

#include "mortise/sdk/config.h"

namespace mortise::transport_http {
namespace {

constexpr uint32_t kThreadsMax = 64;
constexpr uint32_t kThreadsDefaultMax = 4;
constexpr uint32_t kConnectionsMax = 20000;
constexpr uint32_t kConnectionsLimit = 10'000'000;
constexpr uint64_t kHeaderBytes = 32 << 10;
constexpr uint64_t kHeaderBytesMin = 1 << 10;
constexpr uint64_t kHeaderBytesMax = 1 << 20;
constexpr uint64_t kBodyBytesMin = 1 << 10;
constexpr uint64_t kBodyBytesMax = uint64_t{4} << 30;
constexpr uint64_t kBodiesBytes = 256 << 20;
constexpr uint64_t kStreamWindowBytes = 256 << 10;
constexpr uint64_t kStreamWindowBytesMin = 4 << 10;
constexpr uint64_t kStreamWindowBytesMax = 1 << 30;
constexpr uint64_t kHeaderTimeoutMs = 10'000;
constexpr uint64_t kBodyTimeoutMs = 30'000;
constexpr uint64_t kIdleTimeoutMs = 300'000;
constexpr uint64_t kWriteTimeoutMs = 60'000;
constexpr uint64_t kTimeoutMsMax = 24 * 3600 * 1000;

uint64_t timeout_ms(sdk::Config& config, const char* name, uint64_t default_ms) {
  return config.get_u64(name, default_ms, 1, kTimeoutMsMax);
}

// Comma-separated.
std::vector<std::string> list(sdk::Config& config, const char* name, const char* default_text) {
  std::vector<std::string> out;
  const std::string text = config.get_string(name, default_text);
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    if (end > begin) out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

}  // namespace

sdk::Status parse_options(std::string_view config_json, Options& out) {
  sdk::Config config;
  MORTISE_SDK_RETURN_IF_ERROR(config.parse(config_json));
  const uint32_t threads =
      std::clamp(std::thread::hardware_concurrency() / 4, 1u, kThreadsDefaultMax);
  out.threads = static_cast<uint32_t>(config.get_u64("threads", threads, 1, kThreadsMax));
  out.connections_max = static_cast<uint32_t>(
      config.get_u64("max_connections", kConnectionsMax, 1, kConnectionsLimit));
  out.gateway = config.get_bool("gateway", true);
  out.ui = config.get_bool("ui", true);
  out.cors = list(config, "cors", "*");
  out.host_whitelist = list(config, "host_whitelist", "*");
  out.header_bytes_max =
      config.get_size("max_header", kHeaderBytes, kHeaderBytesMin, kHeaderBytesMax);
  out.body_bytes_max = config.get_size("max_body", 0, 0, kBodyBytesMax);
  if (out.body_bytes_max > 0) out.body_bytes_max = std::max(out.body_bytes_max, kBodyBytesMin);
  out.bodies_bytes_max = config.get_size("max_bodies", kBodiesBytes, 1 << 20);
  out.stream_window_bytes = config.get_size("stream_window", kStreamWindowBytes,
                                            kStreamWindowBytesMin, kStreamWindowBytesMax);
  out.header_timeout_ms = timeout_ms(config, "header_timeout_ms", kHeaderTimeoutMs);
  out.body_timeout_ms = timeout_ms(config, "body_timeout_ms", kBodyTimeoutMs);
  out.idle_timeout_ms = timeout_ms(config, "idle_timeout_ms", kIdleTimeoutMs);
  out.write_timeout_ms = timeout_ms(config, "write_timeout_ms", kWriteTimeoutMs);
  return config.finish();
}

}  // namespace mortise::transport_http
