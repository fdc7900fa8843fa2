#include "host/server/catch_up.h"

#include <algorithm>

namespace mortise::server {

void CatchUp::wait(Done done) {
  uint64_t index = options_.committed();
  if (options_.applied() >= index) return done(RpcStatus());
  {
    std::unique_lock lock(mutex_);
    if (stopped_) {
      lock.unlock();
      return done(rpc_errors::kStopped);
    }
    waiting_.push_back({index, Clock::now() + kTimeLimit, std::move(done)});
    any_ = true;
  }
  // It may have been applied before the list was seen.
  applied(options_.applied());
}

template <typename Chosen>
void CatchUp::release(const RpcStatus& status, Chosen chosen) {
  std::vector<Waiting> released;
  {
    std::lock_guard lock(mutex_);
    auto first = std::stable_partition(waiting_.begin(), waiting_.end(),
                                       [&](const Waiting& waiting) { return !chosen(waiting); });
    released.assign(std::make_move_iterator(first), std::make_move_iterator(waiting_.end()));
    waiting_.erase(first, waiting_.end());
    any_ = !waiting_.empty();
  }
  for (Waiting& waiting : released) {
    auto task = std::make_shared<Done>(std::move(waiting.done));
    if (!options_.run([task, status] { (*task)(status); }).ok()) (*task)(rpc_errors::kStopped);
  }
}

void CatchUp::applied(uint64_t index) {
  if (!any_.load()) return;
  release(RpcStatus(), [&](const Waiting& waiting) { return waiting.index <= index; });
}

void CatchUp::check_time(Clock::time_point now) {
  if (!any_.load()) return;
  applied(options_.applied());
  release(rpc_errors::kTimeoutWaitApplied,
          [&](const Waiting& waiting) { return waiting.deadline <= now; });
}

void CatchUp::stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  release(rpc_errors::kStopped, [](const Waiting&) { return true; });
}

}  // namespace mortise::server
