#include "plugins/transport_common/worker.h"

#include <pthread.h>

#include <algorithm>
#include <future>
#include <vector>

namespace mortise::transport_common {
namespace {

constexpr std::chrono::milliseconds kSweepMin{20};
constexpr std::chrono::milliseconds kSweepMax{1000};

}  // namespace

std::chrono::milliseconds Worker::sweep_interval(std::chrono::milliseconds shortest) {
  return std::clamp(shortest / 2, kSweepMin, kSweepMax);
}

Worker::Worker(const char* thread_name, std::chrono::milliseconds sweep_interval)
    : thread_name_(thread_name), sweep_interval_(sweep_interval), sweep_timer_(loop) {}

Worker::~Worker() { stop(); }

void Worker::start() {
  sweep();
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), thread_name_);
    loop.run();
  });
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  loop.post([this] {
    for_all([](Watched* watched) { watched->close(); });
    stopping_ = true;
    on_stop();
    sweep_timer_.cancel();
    loop.finish();
  });
  thread_.join();
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
  sweep_timer_.start(sweep_interval_, [this] { sweep(); });
}

}  // namespace mortise::transport_common
