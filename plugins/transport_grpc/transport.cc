#include "plugins/transport_grpc/transport.h"

#include <grpc/support/time.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <string>

#include "mortise/sdk/transport_parts.h"
#include "plugins/transport_grpc/stream_call.h"
#include "plugins/transport_grpc/unary_call.h"
#include "plugins/transport_grpc/unknown_call.h"

namespace mortise::transport_grpc {
namespace {

constexpr int32_t kClaimHttp2 = 100;
// How far a client may run ahead on one stream, without the probing that pings on every burst of
// data.
constexpr int kStreamLookaheadBytes = 256 << 10;
// After so many events the answers that they brought are sent, though more events are there.
constexpr int kBurstEvents = 32;
constexpr std::chrono::milliseconds kDrainPoll{1};
// How long clients have to close their connections once theirs have been ended.
constexpr std::chrono::milliseconds kLingerMax{500};
constexpr uint32_t kStreamSlots = 2;
constexpr uint32_t kUnknownSlots = 2;

int clamp_to_int(uint64_t value) {
  return static_cast<int>(std::min<uint64_t>(value, std::numeric_limits<int>::max()));
}

// Zero is none, which the library writes as the largest number.
int to_ms(uint64_t ns) {
  if (ns == 0) return std::numeric_limits<int>::max();
  return std::max(1, clamp_to_int(ns / 1'000'000));
}

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
    : log_(host), methods_(*rpc) {
  context_.host = host;
  context_.rpc = rpc;
  context_.options = options;
  context_.methods = &methods_;
}

Transport::~Transport() {
  if (server_ != nullptr) {
    bool undrained;
    {
      std::lock_guard lock(mutex_);
      undrained = std::exchange(serving_, false);
    }
    if (undrained) finish_calls(0);
  }
  if (drain_thread_.joinable()) drain_thread_.join();
  for (WorkerThread& worker : workers_) worker.queue->Shutdown();
  for (WorkerThread& worker : workers_) {
    if (worker.thread.joinable()) worker.thread.join();
  }
  server_.reset();
}

int32_t Transport::claims(const mortise_opening& opening) {
  return opening.kind == MORTISE_OPENING_HTTP2 ? kClaimHttp2 : 0;
}

void Transport::configure(grpc::ServerBuilder& builder) const {
  const mortise_host_rpc_v1& rpc = *context_.rpc;
  // The largest request is checked by the calls, which answer in etcd's words; the library would
  // judge no sooner, as it looks at whole messages too.
  builder.SetMaxReceiveMessageSize(-1);
  builder.SetMaxSendMessageSize(-1);
  // As in etcd: a client that compresses is told that nobody can read it.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder.AddChannelArgument(GRPC_ARG_MINIMAL_STACK, 1);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_DEADLINE_CHECKS, 1);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamLookaheadBytes);
  if (rpc.concurrent_streams_max > 0) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                               clamp_to_int(rpc.concurrent_streams_max));
  }
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, to_ms(rpc.keepalive_interval_ns));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, to_ms(rpc.keepalive_timeout_ns));
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 0);
  if (rpc.keepalive_min_time_ns > 0) {
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                               to_ms(rpc.keepalive_min_time_ns));
  } else {
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  }
}

sdk::Status Transport::start() {
  const sdk::BlockSignals block_signals;
  grpc::ServerBuilder builder;
  configure(builder);
  builder.RegisterService(&methods_);
  // Keeps the library from answering unknown methods itself; UnknownCall does, in etcd's words.
  builder.RegisterAsyncGenericService(&unknown_methods_);
  using ConnectionType = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
      ConnectionType::FROM_FD, grpc::InsecureServerCredentials());
  for (uint32_t i = 0; i < context_.options.threads; ++i) {
    auto queue = builder.AddCompletionQueue();
    auto worker = std::make_unique<Worker>(queue->cq());
    workers_.push_back({std::move(queue), std::move(worker), std::thread()});
  }
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) return sdk::internal_error("the gRPC library could not start a server");
  context_.server = server_->c_server();
  for (WorkerThread& entry : workers_) {
    request_calls(*entry.worker);
    entry.thread = std::thread([worker = entry.worker.get()] { run_worker(*worker); });
  }
  std::lock_guard lock(mutex_);
  serving_ = true;
  return sdk::Status();
}

void Transport::request_calls(Worker& worker) {
  for (const Methods::Method& method : methods_.all()) {
    const bool unary = method.host->kind == MORTISE_UNARY;
    const uint32_t slots = unary ? context_.options.request_slots : kStreamSlots;
    for (uint32_t i = 0; i < slots; ++i) {
      unary ? UnaryCall::request(context_, worker, method)
            : StreamCall::request(context_, worker, method);
    }
  }
  for (uint32_t i = 0; i < kUnknownSlots; ++i) UnknownCall::request(context_, worker);
}

void Transport::run_worker(Worker& worker) {
  pthread_setname_np(pthread_self(), "grpc-worker");
  const gpr_timespec never = gpr_inf_future(GPR_CLOCK_MONOTONIC);
  const gpr_timespec at_once = gpr_inf_past(GPR_CLOCK_MONOTONIC);
  for (;;) {
    grpc_event event = grpc_completion_queue_next(worker.queue, never, nullptr);
    if (event.type == GRPC_QUEUE_SHUTDOWN) return;
    worker.outbox.open();
    for (int count = 1; event.type == GRPC_OP_COMPLETE; ++count) {
      static_cast<Completion*>(event.tag)->complete(event.success != 0);
      if (count % kBurstEvents == 0) worker.outbox.flush();
      event = grpc_completion_queue_next(worker.queue, at_once, nullptr);
    }
    worker.outbox.close();
  }
}

sdk::Status Transport::adopt(const mortise_connection& connection) {
  if ((connection.serves & MORTISE_SERVES_RPC) == 0) {
    close(connection.fd);
    return sdk::unsupported("no calls are served on this address");
  }
  const int on = 1;  // Fails on a Unix socket, which has no such delay.
  setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  std::lock_guard lock(mutex_);
  if (!serving_) {
    close(connection.fd);
    return sdk::stopped("the transport does not serve");
  }
  context_.connections.add(connection.fd);
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
  parameters.fd = connection.fd;
  acceptor_->HandleNewConnection(&parameters);
  return sdk::Status();
}

void Transport::drain(uint64_t timeout_ns) {
  {
    std::lock_guard lock(mutex_);
    if (!std::exchange(serving_, false)) return;
  }
  const sdk::BlockSignals block_signals;
  context_.late.begin();
  drain_thread_ = std::thread([this, timeout_ns] {
    pthread_setname_np(pthread_self(), "grpc-drain");
    finish_calls(timeout_ns);
    context_.rpc->transport_drained(context_.host.raw());
  });
}

// The library would cancel what comes after its Shutdown(), and a client takes that for its own
// doing. So the calls that are there end first, then the connections, which clients know to try
// again, and only then the library.
void Transport::finish_calls(uint64_t timeout_ns) {
  const auto started = std::chrono::steady_clock::now();
  const auto passed = [&] { return std::chrono::steady_clock::now() - started; };
  while (!context_.live.idle() && static_cast<uint64_t>(passed().count()) < timeout_ns) {
    std::this_thread::sleep_for(kDrainPoll);
  }
  context_.connections.half_close_all();
  const auto half_closed = passed();
  while (!context_.connections.all_closed() && passed() - half_closed < kLingerMax &&
         static_cast<uint64_t>(passed().count()) < timeout_ns) {
    std::this_thread::sleep_for(kDrainPoll);
  }
  context_.late.release();
  server_->Shutdown(gpr_now(GPR_CLOCK_MONOTONIC));
  context_.live.drop();
  context_.live.wait();
  context_.connections.release();
}

}  // namespace mortise::transport_grpc
