#include "plugins/transport_grpc/options.h"

#include <algorithm>
#include <thread>

#include "mortise/sdk/config.h"

namespace mortise::transport_grpc {
namespace {

constexpr uint32_t kThreadsMax = 64;
constexpr uint32_t kThreadsDefaultMax = 4;
constexpr uint64_t kStreamWindowBytes = 1 << 20;
constexpr uint64_t kStreamWindowBytesMin = 4 << 10;
constexpr uint64_t kStreamWindowBytesMax = 1 << 30;

}  // namespace

sdk::Status parse_options(std::string_view config_json, Options& out) {
  sdk::Config config;
  MORTISE_SDK_RETURN_IF_ERROR(config.parse(config_json));
  // One is cheapest for each call, as none then changes threads; more only help where cores abound.
  const uint32_t threads =
      std::clamp(std::thread::hardware_concurrency() / 4, 1u, kThreadsDefaultMax);
  out.threads = static_cast<uint32_t>(config.get_u64("threads", threads, 1, kThreadsMax));
  out.stream_window_bytes = config.get_size("stream_window", kStreamWindowBytes,
                                            kStreamWindowBytesMin, kStreamWindowBytesMax);
  return config.finish();
}

}  // namespace mortise::transport_grpc
