#include "host/api/service.h"

#include <algorithm>
#include <cstring>

#include "host/api/methods.h"
#include "host/api/permit.h"

namespace mortise::api {
namespace {

Service* (*g_service_of)(const mortise_host* host) = nullptr;

std::string_view view(mortise_bytes b) { return {reinterpret_cast<const char*>(b.data), b.size}; }

// The handles of the interface are the host's own objects.
rpc::ServerStream* stream_of(mortise_stream* stream) {
  return reinterpret_cast<rpc::ServerStream*>(stream);
}

void refuse(mortise_done_fn done, void* context, const RpcStatus& status) {
  done(context, static_cast<mortise_rpc_code>(status.code()), rpc::to_bytes(status.message()),
       mortise_buffer{});
}

// Of keys, leases or locks, which a member whose data differs from that of the others must not
// tell.
bool tells_of_data(const MethodEntry& method) {
  std::string_view path = method.grpc_path;
  for (std::string_view service : {"/etcdserverpb.KV/", "/etcdserverpb.Watch/",
                                   "/etcdserverpb.Lease/", "/v3lockpb.", "/v3electionpb."}) {
    if (path.starts_with(service)) return true;
  }
  return false;
}

// Null if the caller says nothing of itself.
std::shared_ptr<const auth::Credentials> credentials_of(const Context& context,
                                                        const mortise_caller& caller) {
  bool says_nothing = caller.token.size == 0 && caller.tls_common_name.size == 0;
  if (context.authority == nullptr || says_nothing) return nullptr;
  return std::make_shared<auth::Credentials>(caller);
}

// The first question to everybody who calls: may they call this method at all?
void begin(const MethodEntry& entry, Call call) {
  switch (entry.access) {
    case Access::kAdmin: return when_permitted(std::move(call), MORTISE_ACCESS_ADMIN, entry.unary);
    case Access::kUser:
      return when_permitted(std::move(call), MORTISE_ACCESS_LOGGED_IN, entry.unary);
    default: return entry.unary(std::move(call));
  }
}

void begin_authenticated(const MethodEntry& entry, Call call) {
  uint64_t wait_index = 0;
  // A refusal comes when the handler asks, behind what is wrong with the request itself.
  if (call.credentials() != nullptr) (void)identify(&call, &wait_index);
  if (wait_index == 0) return begin(entry, std::move(call));
  // Its login is applied at another member and not here yet. If it is none, it is refused then.
  Node* node = call.context().node;
  auto shared = std::make_shared<Call>(std::move(call));
  node->when_linearizable([&entry, shared](const RpcStatus&) { begin(entry, std::move(*shared)); });
}

bool must_wait(const Context& context, const auth::Credentials* credentials) {
  if (credentials == nullptr || !context.auth_enabled()) return false;
  mortise_identity who;
  uint64_t wait_index = 0;
  (void)context.authority->identify(*credentials, context.node->applied_index(), &who, &wait_index);
  return wait_index != 0;
}

RpcStatus begin_stream(const MethodEntry& entry, const Context& context,
                       const rpc::ClientStream& client, std::shared_ptr<auth::Warrant> warrant,
                       rpc::ServerStream** out) {
  auth::Needs needs;
  if (entry.access == Access::kAdmin) needs.add(MORTISE_ACCESS_ADMIN);
  if (entry.access == Access::kUser) needs.add(MORTISE_ACCESS_LOGGED_IN);
  RpcStatus refused;
  if (warrant != nullptr && !needs.list.empty()) refused = warrant->permit(needs);
  if (refused.ok()) *out = entry.stream(context, client, std::move(warrant), &refused);
  return refused;
}

RpcStatus not_served(const MethodEntry& method) {
  return RpcStatus(RpcCode::kUnimplemented,
                   std::string(method.grpc_path) + " is not served by this version of mortise");
}

// A call's caller, with who it really is in place of what the transport could tell.
class Seen {
 public:
  Seen(const mortise_caller* caller, const Identify& identify) : caller_(caller) {
    if (!identify) return;
    known_ = identify(view(caller->remote));
    if (!known_) return;
    std::memcpy(&copy_, caller, std::min<size_t>(caller->struct_size, sizeof copy_));
    copy_.struct_size = sizeof copy_;
    copy_.remote = rpc::to_bytes(known_->remote);
    copy_.tls_common_name = rpc::to_bytes(known_->tls_common_name);
    caller_ = &copy_;
  }
  Seen(const Seen&) = delete;
  Seen& operator=(const Seen&) = delete;
  const mortise_caller* get() const { return caller_; }

 private:
  const mortise_caller* caller_;
  mortise_caller copy_{};
  std::optional<KnownCaller> known_;
};

}  // namespace

void Service::set_resolver(Service* (*service_of)(const mortise_host* host)) {
  g_service_of = service_of;
}

Service::Service(const Context& context, const TransportSettings& settings) : context_(context) {
  for (const MethodEntry& entry : methods()) {
    uint32_t flags = entry.cancellable != nullptr ? MORTISE_METHOD_CANCELLABLE : 0;
    methods_.push_back(mortise_method{static_cast<uint32_t>(methods_.size()), entry.kind, flags, 0,
                                      entry.grpc_path, entry.http_paths.data()});
  }
  table_.struct_size = sizeof table_;
  table_.method_count = static_cast<uint32_t>(methods_.size());
  table_.methods = methods_.data();
  // etcd leaves half a MiB for what surrounds a request.
  table_.request_bytes_max = context.limits.request_bytes_max + (512 << 10);
  table_.concurrent_streams_max = settings.concurrent_streams_max;
  table_.keepalive_min_time_ns = settings.keepalive_min_time_ns;
  table_.keepalive_interval_ns = settings.keepalive_interval_ns;
  table_.keepalive_timeout_ns = settings.keepalive_timeout_ns;
  table_.call = call;
  table_.cancel = [](mortise_call* call) {
    if (call != nullptr) reinterpret_cast<Cancellable*>(call)->cancel();
  };
  table_.stream_open = stream_open;
  table_.stream_send = [](mortise_stream* s, mortise_buffer message) {
    stream_of(s)->on_message(rpc::Payload(message));
  };
  table_.stream_half_close = [](mortise_stream* s) { stream_of(s)->on_half_close(); };
  table_.stream_grant = [](mortise_stream* s, uint64_t bytes) { stream_of(s)->on_grant(bytes); };
  table_.stream_cancel = [](mortise_stream* s) { stream_of(s)->on_cancel(); };
  table_.transport_drained = transport_drained;
}

RpcStatus Service::admit(const MethodEntry& method, const mortise_caller& caller) const {
  if (context_.cluster->version().empty()) return rpc_errors::kNotCapable;
  bool require_leader = (caller.flags & MORTISE_CALLER_REQUIRE_LEADER) != 0;
  if (require_leader && context_.node->leader() == 0) return rpc_errors::kNoLeader;
  if (context_.alarms->local_is_corrupt() && tells_of_data(method)) return rpc_errors::kCorrupt;
  return RpcStatus();
}

// A member without a vote answers what it can know by itself.
RpcStatus Service::admit_call(const MethodEntry& method, const mortise_caller& caller,
                              std::string_view request) const {
  RpcStatus status = admit(method, caller);
  if (status.ok() && !wire::is_message(request)) status = rpc_errors::kMalformed;
  if (!status.ok() || !context_.node->is_learner()) return status;
  if (method.unary == maintenance_status) return status;
  wire::RangeRequest range;
  if (method.unary == kv_range && wire::decode(request, &range) && range.serializable) {
    return status;
  }
  return rpc_errors::kNotSupportedForLearner;
}

RpcStatus Service::admit_stream(const MethodEntry& method, const mortise_caller& caller) const {
  RpcStatus status = admit(method, caller);
  if (!status.ok() || !context_.node->is_learner()) return status;
  if (method.stream == maintenance_snapshot) return status;
  return rpc_errors::kNotSupportedForLearner;
}

MethodCounters* Service::count(uint32_t method, const mortise_caller& caller, bool is_stream) {
  if (context_.metrics == nullptr) return nullptr;
  context_.metrics->count_client(is_stream, view(caller.client_api_version));
  return &context_.metrics->method(method);
}

mortise_status Service::call(const mortise_host* host, uint32_t method,
                             const mortise_caller* caller, mortise_buffer request,
                             mortise_done_fn done, void* context, mortise_call** out) {
  rpc::Payload payload(request);
  Service* self = g_service_of(host);
  if (out != nullptr) *out = nullptr;  // Most calls go on once they have begun.
  if (!self->serving_) return MORTISE_E_STOPPED;
  if (method >= self->methods_.size()) return MORTISE_E_INVALID;
  const MethodEntry& entry = methods()[method];
  if (entry.kind != MORTISE_UNARY) return MORTISE_E_INVALID;
  const Seen seen(caller, self->identify_);
  caller = seen.get();
  MethodCounters* counters = self->count(method, *caller, false);
  if (counters != nullptr) counters->began(payload.view().size());
  bool is_served = entry.unary != nullptr || entry.cancellable != nullptr;
  RpcStatus admitted =
      is_served ? self->admit_call(entry, *caller, payload.view()) : not_served(entry);
  if (!admitted.ok()) {
    if (counters != nullptr) counters->ended(admitted.code(), 0, {});
    refuse(done, context, admitted);
    return MORTISE_OK;
  }
  Call call(&self->context_, &entry, counters, std::move(payload),
            std::string(view(caller->remote)), done, context);
  call.set_credentials(credentials_of(self->context_, *caller));
  if (entry.unary != nullptr) {
    if (self->context_.auth_enabled()) {
      begin_authenticated(entry, std::move(call));
    } else {
      entry.unary(std::move(call));
    }
    return MORTISE_OK;
  }
  Cancellable* cancellable = entry.cancellable(std::move(call));
  if (out != nullptr) *out = reinterpret_cast<mortise_call*>(cancellable);
  return MORTISE_OK;
}

namespace {

// Stands for a stream that is refused: it has ended before it began.
class RefusedStream : public rpc::ServerStream {
 public:
  void on_message(rpc::Payload) override {}
  void on_half_close() override {}
  void on_grant(uint64_t) override {}
  void on_cancel() override {}
};

}  // namespace

mortise_status Service::stream_open(const mortise_host* host, uint32_t method,
                                    const mortise_caller* caller,
                                    const mortise_stream_events* events, void* context,
                                    mortise_stream** out) {
  Service* self = g_service_of(host);
  if (!self->serving_) return MORTISE_E_STOPPED;
  if (method >= self->methods_.size()) return MORTISE_E_INVALID;
  const MethodEntry& entry = methods()[method];
  if (entry.kind == MORTISE_UNARY) return MORTISE_E_INVALID;
  const Seen seen(caller, self->identify_);
  caller = seen.get();
  // Counts what passes, and stands for the client from here on.
  std::shared_ptr<CountedStream> counted;
  mortise_stream_events counted_events{};
  if (MethodCounters* counters = self->count(method, *caller, true)) {
    counted = std::make_shared<CountedStream>(counters, events, context);
    counted_events = counted->open();
    events = &counted_events;
    context = counted.get();
  }
  RpcStatus refused =
      entry.stream == nullptr ? not_served(entry) : self->admit_stream(entry, *caller);
  auto credentials = credentials_of(self->context_, *caller);
  bool waits = must_wait(self->context_, credentials.get());
  auto warrant = make_warrant(self->context_, std::move(credentials));
  // Without a leader such a stream is ended later, too.
  std::shared_ptr<LedStream> led;
  bool needs_leader = (caller->flags & MORTISE_CALLER_REQUIRE_LEADER) != 0;
  if (refused.ok() && (needs_leader || waits)) {
    led = self->led_streams_.open(events, context, needs_leader);
  }
  const auto hand_out = [&](rpc::ServerStream* opened) {
    if (counted) counted->begin(opened);
    if (counted) opened = counted.get();
    *out = reinterpret_cast<mortise_stream*>(opened);
  };
  if (refused.ok() && waits) {
    hand_out(led.get());
    self->open_late(entry, std::move(led), std::move(warrant));
    return MORTISE_OK;
  }
  rpc::ClientStream client = led ? led->client() : rpc::ClientStream(events, context);
  rpc::ServerStream* stream = nullptr;
  if (refused.ok()) {
    refused = begin_stream(entry, self->context_, client, std::move(warrant), &stream);
  }
  if (led && stream != nullptr) {
    led->begin(stream);
    stream = led.get();
  }
  if (stream == nullptr) {
    static RefusedStream refused_stream;
    *out = reinterpret_cast<mortise_stream*>(static_cast<rpc::ServerStream*>(&refused_stream));
    client.end(refused);
    return MORTISE_OK;
  }
  hand_out(stream);
  return MORTISE_OK;
}

// The client's login is applied at another member and not here yet.
void Service::open_late(const MethodEntry& entry, std::shared_ptr<LedStream> led,
                        std::shared_ptr<auth::Warrant> warrant) {
  context_.node->when_linearizable([this, &entry, led, warrant](const RpcStatus&) {
    rpc::ClientStream client = led->client();
    rpc::ServerStream* stream = nullptr;
    RpcStatus refused = begin_stream(entry, context_, client, warrant, &stream);
    if (stream == nullptr) return client.end(refused);
    led->begin(stream);
  });
}

void Service::transport_drained(const mortise_host* host) {
  Service* self = g_service_of(host);
  if (self->on_drained_) self->on_drained_(host);
}

}  // namespace mortise::api
