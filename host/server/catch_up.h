// Who waits until what was committed when they came is applied here, as etcd waits for a second
// before it says that there is no such lease.
//
// wait() is for any thread, applied() the apply thread's, check_time() for whoever has the time.
// Those who wait go on through Options::run, not on the thread that brought the news.
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <vector>

#include "host/base/rpc_error.h"
#include "host/base/status.h"

namespace mortise::server {

class CatchUp {
 public:
  using Clock = std::chrono::steady_clock;
  using Done = std::function<void(const RpcStatus&)>;
  static constexpr std::chrono::seconds kTimeLimit{1};

  struct Options {
    std::function<uint64_t()> committed;
    std::function<uint64_t()> applied;
    // Runs a task elsewhere; not ok if it never will.
    std::function<Status(std::function<void()>)> run;
  };
  explicit CatchUp(Options options) : options_(std::move(options)) {}

  // At once if nothing is missing.
  void wait(Done done);
  void applied(uint64_t index);
  void check_time(Clock::time_point now);
  void stop();

 private:
  struct Waiting {
    uint64_t index;
    Clock::time_point deadline;
    Done done;
  };
  template <typename Chosen>
  void release(const RpcStatus& status, Chosen chosen);

  const Options options_;
  std::atomic<bool> any_{false};
  std::mutex mutex_;  // Guards what follows.
  std::vector<Waiting> waiting_;
  bool stopped_ = false;
};

}  // namespace mortise::server
