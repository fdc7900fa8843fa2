#include "host/loader/executor.h"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <mutex>
#include <unordered_map>

namespace mortise::loader {

struct Executor::Impl {
  explicit Impl(int thread_count) : pool(static_cast<size_t>(thread_count)) {}

  // Whoever takes a timer out of the map decides whether it runs.
  bool take(uint64_t timer) {
    const std::lock_guard lock(mutex);
    const auto it = timers.find(timer);
    if (it == timers.end()) return false;
    auto gone = std::move(it->second);
    timers.erase(it);
    gone->cancel();
    return true;
  }

  boost::asio::thread_pool pool;
  std::mutex mutex;
  bool stopped = false;
  uint64_t next_timer = 1;
  std::unordered_map<uint64_t, std::unique_ptr<boost::asio::steady_timer>> timers;
};

Executor::Executor(int thread_count) : impl_(std::make_unique<Impl>(thread_count)) {}

Executor::~Executor() { stop(); }

bool Executor::post(mortise_task_fn fn, void* context) {
  const std::lock_guard lock(impl_->mutex);
  if (impl_->stopped) return false;
  boost::asio::post(impl_->pool, [fn, context] { fn(context); });
  return true;
}

uint64_t Executor::start_timer(uint64_t delay_ns, mortise_task_fn fn, void* context) {
  constexpr uint64_t kDelayMax = uint64_t{1} << 62;  // Longer than anybody waits; fits the clock.
  const std::lock_guard lock(impl_->mutex);
  if (impl_->stopped) return 0;
  const uint64_t id = impl_->next_timer++;
  const std::chrono::nanoseconds delay(delay_ns < kDelayMax ? delay_ns : kDelayMax);
  auto timer = std::make_unique<boost::asio::steady_timer>(impl_->pool.get_executor(), delay);
  timer->async_wait([impl = impl_.get(), id, fn, context](const boost::system::error_code& error) {
    if (!error && impl->take(id)) fn(context);
  });
  impl_->timers.emplace(id, std::move(timer));
  return id;
}

bool Executor::cancel_timer(uint64_t timer) { return impl_->take(timer); }

void Executor::stop() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopped = true;
    impl_->timers.clear();
  }
  impl_->pool.join();
}

}  // namespace mortise::loader
