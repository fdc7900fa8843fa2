// Runs compactions one after another on a thread of its own, and takes up one that a stop
// interrupted. Each leaves the hash of the history that it saw, as etcd's do.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "host/mvcc/compactor.h"
#include "host/server/apply_loop.h"

namespace mortise::server {

struct FinishedCompaction {
  mvcc::PastHash hash;
  bool is_hashed = true;  // Not if an earlier one was interrupted or skipped.
  uint64_t versions = 0;  // Removed.
  std::chrono::nanoseconds took{};
};

struct CompactionRunnerOptions {
  uint64_t batch_versions_max = 1000;
  std::chrono::nanoseconds pause{std::chrono::milliseconds(10)};
  // A piece of the scan was done.
  std::function<void(std::chrono::nanoseconds took)> on_batch;
  // Its rows are gone, and HashKV knows its hash if there is one.
  std::function<void(const FinishedCompaction&)> on_finished;
  std::function<void(const Status&)> on_failed;
};

class CompactionRunner {
 public:
  CompactionRunner(store::Store* store, ApplyLoop* loop, CompactionRunnerOptions options);
  ~CompactionRunner();

  // `finished` and `compacted` as the store has them.
  void start(int64_t finished, int64_t compacted);
  void stop();
  // The store is another one, of which the same is to be known as for start(). From the apply
  // thread, which drops removals found in the old one.
  void restart(int64_t finished, int64_t compacted);
  // Removes what the compaction at `revision` makes superfluous. From the apply thread. If many
  // wait already, those in between are left out: they have no hash then.
  void schedule(int64_t revision);
  // Calls `done` once the rows of the compaction at `revision` are gone, or with false at a stop.
  using Done = std::function<void(bool)>;
  void when_finished(int64_t revision, Done done);
  const mvcc::PastHashes& hashes() const { return hashes_; }

 private:
  struct Wanted {
    int64_t revision;
    bool is_hashed;
    bool is_resumed = false;
    uint64_t start = 0;  // The number of restarts before.
    int64_t previous = mvcc::kNeverCompacted;
  };
  static constexpr size_t kWaitingMax = mvcc::PastHashes::kHashesMax;

  void run();
  Status compact(Wanted wanted);
  // With the lock: compactions are finished up to there. Those who waited for that, to be told.
  std::vector<Done> take_reached(int64_t finished);
  bool is_over(uint64_t start) const { return stopping_ || starts_ != start; }

  store::Store* store_;
  ApplyLoop* loop_;
  const CompactionRunnerOptions options_;
  std::mutex mutex_;
  std::condition_variable wake_;
  int64_t finished_ = mvcc::kNeverCompacted;
  uint64_t starts_ = 0;
  std::deque<Wanted> wanted_;  // Ascending.
  std::multimap<int64_t, Done> waiting_;
  bool stopping_ = false;
  mvcc::PastHashes hashes_;
  std::thread thread_;
};

}  // namespace mortise::server
