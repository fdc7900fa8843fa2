// What the connections of one transport share. Outlives them all; any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "mortise/abi/rpc.h"
#include "mortise/sdk/host.h"
#include "plugins/transport_common/counts.h"
#include "plugins/transport_common/loop.h"
#include "plugins/transport_common/output.h"
#include "plugins/transport_common/worker.h"
#include "plugins/transport_http/options.h"
#include "plugins/transport_http/routes.h"

namespace mortise::transport_http {

using transport_common::BodyBudget;
using transport_common::Clock;
using transport_common::Completion;
using transport_common::HeldCompletions;
using transport_common::LiveCount;
using transport_common::Loop;
using transport_common::Output;
using transport_common::Socket;
using transport_common::SocketOwner;
using transport_common::Timer;
using transport_common::Watched;

// A place among the calls and streams that may run at once. As in etcd, whose gateway is one client
// of its own server, all connections share them.
class CallSlots {
 public:
  explicit CallSlots(uint64_t max) : max_(max >= kUnlimited ? 0 : max) {}
  // False if there is none; `waiter` then completes on `loop` when it has got one.
  bool take(Loop& loop, Completion* waiter);
  void give_back();

 private:
  static constexpr uint64_t kUnlimited = UINT32_MAX;
  struct Waiter {
    Loop* loop;
    Completion* completion;
  };
  const uint64_t max_;  // 0: no limit.
  std::mutex mutex_;
  uint64_t taken_ = 0;
  std::deque<Waiter> waiters_;
};

struct Context {
  Context(sdk::Host h, const mortise_host_rpc_v1* r, Options o);

  // JSON to the request of `method`. On failure `error` is what to tell the client.
  bool to_message(const mortise_method& method, std::string_view json, mortise_buffer& out,
                  std::string& error) const;
  bool to_json(const mortise_method& method, std::string_view message, sdk::Buffer& out) const;
  bool host_allowed(std::string_view authority) const;
  // For the header; empty if the origin is not allowed.
  std::string_view cors_origin(std::string_view origin) const;
  // Browsers let any page open a WebSocket to anywhere and read it: nothing but this keeps pages
  // away that --cors does not name. Who says no origin is no browser.
  bool may_open_websocket(std::string_view origin, std::string_view authority, bool is_tls) const;

  const sdk::Host host;
  const mortise_host_rpc_v1* const rpc;
  const mortise_host_json_v1* const json;    // May be null.
  const mortise_host_pages_v1* const pages;  // May be null.
  const Options options;
  const uint64_t body_bytes_max;
  const Routes routes;
  const bool any_origin;
  const bool any_host;
  CallSlots slots;
  BodyBudget bodies;
  LiveCount calls;  // Calls, streams and pages that the host works on.
  LiveCount connections;
  std::atomic<bool> draining{false};
};

// The name or address in "host:port", without brackets.
std::string_view host_of(std::string_view authority);

}  // namespace mortise::transport_http
