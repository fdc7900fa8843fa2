#include "plugins/transport_grpc/transport.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <utility>

#include "mortise/sdk/bytes.h"
#include "mortise/sdk/transport_parts.h"

namespace mortise::transport_grpc {
namespace {

constexpr int32_t kClaimHttp2 = 100;
constexpr std::chrono::milliseconds kDrainPoll{1};
// How long clients have to hear that they are to begin nothing more.
constexpr std::chrono::milliseconds kNoticeMax{200};
// How long clients have to close their connections once theirs have been ended.
constexpr std::chrono::milliseconds kLingerMax{500};

}  // namespace

sdk::Status Transport::create(sdk::Host host, std::string_view config_json,
                              std::unique_ptr<Transport>& out) {
  const mortise_host_rpc_v1* rpc = host.rpc();
  MORTISE_SDK_RETURN_IF_ERROR(sdk::check_rpc(rpc));
  Options options;
  MORTISE_SDK_RETURN_IF_ERROR(parse_options(config_json, options));
  out.reset(new Transport(host, rpc, options));
  return sdk::Status();
}

Transport::Transport(sdk::Host host, const mortise_host_rpc_v1* rpc, const Options& options)
    : context_(host, rpc, options) {}

Transport::~Transport() {
  bool undrained;
  {
    std::lock_guard lock(mutex_);
    undrained = std::exchange(serving_, false);
  }
  if (undrained) {
    context_.draining = true;
    finish_calls(0);
  }
  if (drain_thread_.joinable()) drain_thread_.join();
  for (auto& worker : workers_) worker->stop();
}

int32_t Transport::claims(const mortise_opening& opening) {
  return opening.kind == MORTISE_OPENING_HTTP2 ? kClaimHttp2 : 0;
}

sdk::Status Transport::start() {
  const sdk::BlockSignals block_signals;
  for (uint32_t i = 0; i < context_.options.threads; ++i) {
    workers_.push_back(std::make_unique<Worker>(context_));
    workers_.back()->start();
  }
  std::lock_guard lock(mutex_);
  serving_ = true;
  return sdk::Status();
}

sdk::Status Transport::adopt(const mortise_connection& connection) {
  if ((connection.serves & MORTISE_SERVES_RPC) == 0) {
    ::close(connection.fd);
    return sdk::unsupported("no calls are served on this address");
  }
  const int on = 1;  // Fails on a Unix socket, which has no such delay.
  setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  std::lock_guard lock(mutex_);
  if (!serving_) {
    ::close(connection.fd);
    return sdk::stopped("the transport does not serve");
  }
  Worker& worker = *workers_[next_worker_.fetch_add(1) % workers_.size()];
  worker.adopt(connection.fd, std::string(sdk::view(connection.remote)),
               std::string(sdk::view(connection.tls_common_name)));
  return sdk::Status();
}

void Transport::drain(uint64_t timeout_ns) {
  {
    std::lock_guard lock(mutex_);
    if (!std::exchange(serving_, false)) return;
  }
  context_.draining = true;
  const sdk::BlockSignals block_signals;
  drain_thread_ = std::thread([this, timeout_ns] {
    pthread_setname_np(pthread_self(), "grpc-drain");
    finish_calls(timeout_ns);
    context_.rpc->transport_drained(context_.host.raw());
  });
}

// Clients are told to begin nothing more, and then which of their calls is the last that counts;
// what they have begun after it they try again elsewhere. A call that is cut off ends with its
// connection, without a status: a client would take one for the answer.
void Transport::finish_calls(uint64_t timeout_ns) {
  const auto started = std::chrono::steady_clock::now();
  const auto passed = [&] { return std::chrono::steady_clock::now() - started; };
  const auto in_time = [&] { return static_cast<uint64_t>(passed().count()) < timeout_ns; };
  for (auto& worker : workers_) worker->begin_drain();
  while (in_time() && (!context_.calls.idle() || (context_.unaware > 0 && passed() < kNoticeMax))) {
    std::this_thread::sleep_for(kDrainPoll);
  }
  for (auto& worker : workers_) worker->give_up();
  context_.calls.drop();
  context_.calls.wait();
  const auto ended = passed();
  while (!context_.connections.idle() && passed() - ended < kLingerMax && in_time()) {
    std::this_thread::sleep_for(kDrainPoll);
  }
  for (auto& worker : workers_) worker->close_all();
}

}  // namespace mortise::transport_grpc
