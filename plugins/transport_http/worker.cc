#include "plugins/transport_http/worker.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "plugins/transport_http/connection.h"

namespace mortise::transport_http {
namespace {

std::chrono::milliseconds shortest_limit(const Options& o) {
  return std::chrono::milliseconds(
      std::min({o.header_timeout_ms, o.body_timeout_ms, o.idle_timeout_ms, o.write_timeout_ms}));
}

}  // namespace

Worker::Worker(Context& c)
    : transport_common::Worker("http-worker", sweep_interval(shortest_limit(c.options))),
      context(c) {}

void Worker::adopt(int fd, uint32_t serves, bool is_tls, std::string listener, std::string remote,
                   std::string common_name) {
  loop.post([=, this, listener = std::move(listener), remote = std::move(remote),
             common_name = std::move(common_name)]() mutable {
    look_at_the_clock();
    Peer peer{serves, is_tls, std::move(listener), std::move(remote), std::move(common_name)};
    std::make_shared<Connection>(*this, fd, std::move(peer))->begin();
  });
}

}  // namespace mortise::transport_http
