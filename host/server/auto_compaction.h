// Compaction by itself, by etcd's rules.
//
// periodic: the revision is noted ten times in each interval, which is the retention, but an hour
// at most. Once the retention has passed, and then once in each interval, it compacts at the
// revision noted a retention ago. revision: every five minutes it compacts so that the newest
// revisions stay, as many as the retention says.
//
// AutoCompactionPlan decides and is given the time; AutoCompactor is the thread that asks it and
// compacts. Only a leader compacts.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "host/base/rpc_error.h"
#include "host/server/log.h"

namespace mortise::server {

struct AutoCompactionOptions {
  bool by_revision = false;
  int64_t retention = 0;  // Nanoseconds, or revisions.
};

class AutoCompactionPlan {
 public:
  using Clock = std::chrono::steady_clock;

  AutoCompactionPlan(const AutoCompactionOptions& options, Clock::time_point now);

  // Notes the revision; then interval() passes; then due() says where to compact.
  void note(int64_t revision);
  std::chrono::nanoseconds interval() const;
  std::optional<int64_t> due(Clock::time_point now, int64_t revision);
  // due() was carried out.
  void compacted(int64_t revision, Clock::time_point now);

 private:
  std::chrono::nanoseconds period() const { return std::chrono::nanoseconds(options_.retention); }

  const AutoCompactionOptions options_;
  std::deque<int64_t> noted_;  // The first is from one retention ago, once that many are there.
  int64_t last_ = 0;
  Clock::time_point last_time_;
  std::chrono::nanoseconds wait_;
};

struct AutoCompactionHooks {
  std::function<int64_t()> revision;
  std::function<bool()> leads;
  // Compacts and waits for the answer.
  std::function<RpcStatus(int64_t revision)> compact;
};

class AutoCompactor {
 public:
  AutoCompactor(const AutoCompactionOptions& options, AutoCompactionHooks hooks, Log* log);
  ~AutoCompactor() { stop(); }
  void stop();

 private:
  void run();
  void compact(AutoCompactionPlan* plan, int64_t revision);

  const AutoCompactionOptions options_;
  const AutoCompactionHooks hooks_;
  Log* const log_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace mortise::server
