// Runs compactions one after another on a thread of its own, and takes up one that a stop
// interrupted.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "host/mvcc/compactor.h"
#include "host/server/apply_loop.h"

namespace mortise::server {

struct CompactionRunnerOptions {
  uint64_t batch_versions_max = 1000;
  std::chrono::nanoseconds pause{std::chrono::milliseconds(10)};
  // A compaction has removed its rows.
  std::function<void(int64_t revision, uint64_t versions, std::chrono::nanoseconds took)>
      on_finished;
  std::function<void(const Status&)> on_failed;
};

class CompactionRunner {
 public:
  CompactionRunner(store::Store* store, ApplyLoop* loop, CompactionRunnerOptions options);
  ~CompactionRunner();

  // `finished` and `compacted` as the store has them.
  void start(int64_t finished, int64_t compacted);
  void stop();
  // Removes what the compaction at `revision` makes superfluous. From the apply thread.
  void schedule(int64_t revision);
  // Calls `done` once the rows of the compaction at `revision` are gone, or with false at a stop.
  void when_finished(int64_t revision, std::function<void(bool)> done);

 private:
  void run();
  Status compact(int64_t revision);
  void report(int64_t finished);

  store::Store* store_;
  ApplyLoop* loop_;
  const CompactionRunnerOptions options_;
  std::mutex mutex_;
  std::condition_variable wake_;
  int64_t finished_ = mvcc::kNeverCompacted;
  int64_t wanted_ = mvcc::kNeverCompacted;
  std::multimap<int64_t, std::function<void(bool)>> waiting_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace mortise::server
