#include "plugins/transport_grpc/worker.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "plugins/transport_grpc/connection.h"

namespace mortise::transport_grpc {
namespace {

std::chrono::milliseconds shortest_limit(const mortise_host_rpc_v1& rpc) {
  std::chrono::nanoseconds shortest = Connection::kLingerMax;
  for (const uint64_t ns : {rpc.keepalive_interval_ns, rpc.keepalive_timeout_ns}) {
    if (ns > 0) shortest = std::min(shortest, std::chrono::nanoseconds(ns));
  }
  return std::chrono::duration_cast<std::chrono::milliseconds>(shortest);
}

}  // namespace

Worker::Worker(Context& c)
    : transport_common::Worker("grpc-worker", sweep_interval(shortest_limit(*c.rpc))),
      context(c),
      poller(loop, [this] { gather(); }),
      deadlines(loop) {}

Worker::~Worker() { stop(); }

void Worker::start() {
  poller.start();
  transport_common::Worker::start();
}

void Worker::gather() {
  if (load_.busy(transport_common::Clock::now())) std::this_thread::sleep_for(kGatherTime);
}

void Worker::on_stop() {
  deadlines.stop();
  poller.stop();
}

void Worker::adopt(int fd, std::string remote, std::string common_name) {
  loop.post([this, fd, remote = std::move(remote), common_name = std::move(common_name)]() mutable {
    look_at_the_clock();
    Connection::begin(*this, fd, std::move(remote), std::move(common_name));
  });
}

void Worker::flush_later(Connection& connection) {
  if (!connection.mark_flush()) return;
  connection.ref();
  waiting_.push_back(&connection);
  if (waiting_.size() == 1) loop.post([this] { flush_all(); });
}

void Worker::flush_all() {
  flushing_.swap(waiting_);
  for (Connection* connection : flushing_) {
    connection->flush();
    connection->unref();
  }
  flushing_.clear();
}

}  // namespace mortise::transport_grpc
