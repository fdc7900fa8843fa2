// Counting of what is under way. Any thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace mortise::transport_common {

// Counts things that are not destroyed yet. It starts with a share for the transport itself.
class LiveCount {
 public:
  void add() { count_.fetch_add(1, std::memory_order_relaxed); }
  // Whoever drops the last share touches this object only under the lock that wait() needs as well,
  // so the waiter may destroy it.
  void drop() {
    if (count_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    std::lock_guard lock(mutex_);
    none_left_ = true;
    changed_.notify_all();
  }
  bool idle() const { return count_.load(std::memory_order_acquire) == 1; }
  int64_t others() const { return count_.load(std::memory_order_acquire) - 1; }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return none_left_; });
  }

 private:
  std::atomic<int64_t> count_{1};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool none_left_ = false;
};

// Bytes of requests that are not complete yet, over all connections.
class BodyBudget {
 public:
  explicit BodyBudget(uint64_t max) : max_(max) {}
  bool take(uint64_t bytes) {
    if (used_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= max_) return true;
    give_back(bytes);
    return false;
  }
  void give_back(uint64_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }

 private:
  const uint64_t max_;
  std::atomic<uint64_t> used_{0};
};

}  // namespace mortise::transport_common
