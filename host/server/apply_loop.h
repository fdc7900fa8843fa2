// The apply loop: one thread that applies committed entries in batches, and commits removals of
// compacted rows in between.
//
// enqueue() comes from the raft thread; what waits is bounded by the core's unapplied_bytes_max.
// remove() comes from the compactor's thread and waits until the piece before has been taken.
// run_between_commits() comes from any thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "host/apply/applier.h"

namespace mortise::server {

struct ApplyLoopHooks {
  std::function<void(uint64_t index)> applied;
  std::function<void(const Status&)> failed;
};

class ApplyLoop {
 public:
  ApplyLoop(apply::Applier* applier, ApplyLoopHooks hooks);
  ~ApplyLoop();

  void start();
  // Applies what has been queued, then ends the thread.
  void stop();

  void enqueue(std::vector<raft::EntryRef> entries);
  // False if the loop has stopped.
  bool remove(std::unique_ptr<mvcc::Removal> removal);
  // Runs a short task on the loop's thread, where no commit is running. False if the loop has
  // stopped: the task never runs.
  bool run_between_commits(std::function<void()> task);
  // Returns once everything handed to remove() is committed.
  void wait_removed();

 private:
  void run();

  apply::Applier* applier_;
  const ApplyLoopHooks hooks_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable removal_taken_;
  std::vector<raft::EntryRef> entries_;
  std::unique_ptr<mvcc::Removal> removal_;
  std::vector<std::function<void()>> tasks_;
  bool removing_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace mortise::server
