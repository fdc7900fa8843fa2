#include "tools/bench/channels.h"

#include <absl/synchronization/mutex.h>
#include <fmt/format.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <cerrno>
#include <chrono>
#include <fstream>
#include <sstream>

namespace mortise::bench {
namespace {

constexpr int kConnectTimeoutSeconds = 10;
constexpr int kStreamWindowBytes = 4 << 20;

Status read_pem(const std::string& path, std::string* out) {
  if (path.empty()) return Status();
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) return errno_status(errno, "cannot read " + path);
  *out = text.str();
  return Status();
}

Result<std::shared_ptr<grpc::ChannelCredentials>> credentials(const Options& options, bool tls) {
  if (!tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions ssl;
  for (auto [path, text] : {std::pair(&options.cacert, &ssl.pem_root_certs),
                            std::pair(&options.cert, &ssl.pem_cert_chain),
                            std::pair(&options.key, &ssl.pem_private_key)}) {
    if (Status status = read_pem(*path, text); !status.ok()) return status;
  }
  return grpc::SslCredentials(ssl);
}

// Leaves out of the client what costs time on each call and is not measured.
grpc::ChannelArguments channel_arguments(int number) {
  grpc::ChannelArguments args;
  // Channels with equal arguments would share one connection.
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetInt("mortise.bench.channel", number);
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  args.SetInt(GRPC_ARG_ENABLE_CHANNELZ, 0);
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_MINIMAL_STACK, 1);
  args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  args.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
  args.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  args.SetMaxReceiveMessageSize(-1);
  args.SetMaxSendMessageSize(-1);
  return args;
}

}  // namespace

Result<std::vector<std::shared_ptr<grpc::Channel>>> open_channels(const Options& options) {
  // Some builds of the library under gRPC keep a lock order graph, at a price on every call.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  std::vector<std::string> targets;
  for (int i = 0; i < options.conns; ++i) {
    std::string target = options.endpoints[static_cast<size_t>(i) % options.endpoints.size()];
    bool tls = !options.cacert.empty() || !options.cert.empty();
    if (target.rfind("https://", 0) == 0) {
      tls = true;
      target.erase(0, 8);
    } else if (target.rfind("http://", 0) == 0) {
      target.erase(0, 7);
    }
    auto creds = credentials(options, tls);
    if (!creds.ok()) return creds.status();
    channels.push_back(grpc::CreateCustomChannel(target, creds.value(), channel_arguments(i)));
    channels.back()->GetState(true);
    targets.push_back(target);
  }
  const auto deadline =
      std::chrono::system_clock::now() + std::chrono::seconds(kConnectTimeoutSeconds);
  for (size_t i = 0; i < channels.size(); ++i) {
    if (!channels[i]->WaitForConnected(deadline)) {
      return Status(StatusCode::kIo, fmt::format("cannot connect to {} in {} seconds", targets[i],
                                                 kConnectTimeoutSeconds));
    }
  }
  return channels;
}

}  // namespace mortise::bench
