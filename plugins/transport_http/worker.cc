#include "plugins/transport_http/worker.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <future>
#include <vector>

#include "plugins/transport_http/connection.h"

namespace mortise::transport_http {
namespace {

constexpr uint64_t kSweepMsMin = 20;
constexpr uint64_t kSweepMsMax = 1000;

// Half of the shortest limit.
std::chrono::milliseconds sweep_interval(const Options& o) {
  const uint64_t shortest =
      std::min({o.header_timeout_ms, o.body_timeout_ms, o.idle_timeout_ms, o.write_timeout_ms});
  return std::chrono::milliseconds(std::clamp(shortest / 2, kSweepMsMin, kSweepMsMax));
}

}  // namespace

Worker::Worker(Context& c) : context(c), sweep_timer_(loop) {}

Worker::~Worker() { stop(); }

void Worker::start() {
  sweep();
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "http-worker");
    loop.run();
  });
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  loop.post([this] {
    for_all([](Watched* watched) { watched->close(); });
    stopping_ = true;
    sweep_timer_.cancel();
    loop.finish();
  });
  thread_.join();
}

void Worker::adopt(int fd, uint32_t serves, bool is_tls, std::string listener, std::string remote,
                   std::string common_name) {
  loop.post([=, this, listener = std::move(listener), remote = std::move(remote),
             common_name = std::move(common_name)]() mutable {
    now_ = Clock::now();
    Peer peer{serves, is_tls, std::move(listener), std::move(remote), std::move(common_name)};
    std::make_shared<Connection>(*this, fd, std::move(peer))->begin();
  });
}

template <class Function>
void Worker::for_all(Function&& function) {
  // The function may remove some.
  const std::vector<Watched*> all(watched_.begin(), watched_.end());
  for (Watched* watched : all) {
    if (watched_.contains(watched)) function(watched);
  }
}

template <class Function>
void Worker::for_all_and_wait(Function function) {
  std::promise<void> done;
  loop.post([&] {
    for_all(function);
    done.set_value();
  });
  done.get_future().wait();
}

void Worker::begin_drain() {
  for_all_and_wait([](Watched* watched) { watched->begin_drain(); });
}

void Worker::give_up() {
  for_all_and_wait([](Watched* watched) { watched->give_up(); });
}

void Worker::close_all() {
  loop.post([this] { for_all([](Watched* watched) { watched->close(); }); });
}

void Worker::sweep() {
  if (stopping_) return;
  now_ = Clock::now();
  for_all([this](Watched* watched) { watched->sweep(now_); });
  sweep_timer_.start(sweep_interval(context.options), [this] { sweep(); });
}

}  // namespace mortise::transport_http
