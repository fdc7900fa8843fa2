// "mortise.host.rpc/1": the interface through which transports reach the handlers.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/api/context.h"
#include "host/api/led_stream.h"
#include "mortise/abi/rpc.h"

namespace mortise::api {

struct MethodEntry;

// Who really calls, where the transport knows only a relay that stands between.
struct KnownCaller {
  std::string remote;
  std::string tls_common_name;
};
using Identify = std::function<std::optional<KnownCaller>(std::string_view remote)>;

struct TransportSettings {
  uint64_t concurrent_streams_max = 0;
  uint64_t keepalive_min_time_ns = 0;
  uint64_t keepalive_interval_ns = 0;
  uint64_t keepalive_timeout_ns = 0;
};

class Service {
 public:
  Service(const Context& context, const TransportSettings& settings);
  // `service_of` finds the Service again from the host object that a transport was given;
  // `on_drained` is told of transports that have drained.
  const mortise_host_rpc_v1* table() const { return &table_; }

  static void set_resolver(Service* (*service_of)(const mortise_host* host));

  void set_on_drained(std::function<void(const mortise_host*)> on_drained) {
    on_drained_ = std::move(on_drained);
  }
  // Asked for each call; before the transports start.
  void set_identify(Identify identify) { identify_ = std::move(identify); }
  // Until then, and after stop_serving(), calls are refused.
  void start_serving() { serving_ = true; }
  void stop_serving() { serving_ = false; }
  // The member has had no leader for long: streams whose clients want one end.
  void leader_lost() { led_streams_.cancel_all(); }

 private:
  static mortise_status call(const mortise_host* host, uint32_t method,
                             const mortise_caller* caller, mortise_buffer request,
                             mortise_done_fn done, void* context, mortise_call** out);
  static mortise_status stream_open(const mortise_host* host, uint32_t method,
                                    const mortise_caller* caller,
                                    const mortise_stream_events* events, void* context,
                                    mortise_stream** out);
  static void transport_drained(const mortise_host* host);
  // Null: nothing is counted.
  MethodCounters* count(uint32_t method, const mortise_caller& caller, bool is_stream);
  RpcStatus admit(const MethodEntry& method, const mortise_caller& caller) const;
  RpcStatus admit_call(const MethodEntry& method, const mortise_caller& caller,
                       std::string_view request) const;
  void open_late(const MethodEntry& method, std::shared_ptr<LedStream> led,
                 std::shared_ptr<auth::Warrant> warrant);
  RpcStatus admit_stream(const MethodEntry& method, const mortise_caller& caller) const;

  const Context context_;
  std::vector<mortise_method> methods_;
  mortise_host_rpc_v1 table_{};
  std::function<void(const mortise_host*)> on_drained_;
  Identify identify_;
  std::atomic<bool> serving_{false};
  LedStreams led_streams_;
};

}  // namespace mortise::api
