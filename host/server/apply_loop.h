// The apply loop: one thread that applies committed entries in batches, and commits removals of
// compacted rows in between.
//
// A snapshot takes the place of everything that was applied: install() brings the step that puts
// the store in its place, between the entries that the snapshot covers and those behind it. What a
// compaction wanted to remove until then was found in the old store, and is forgotten.
//
// enqueue() and install() come from the raft thread; what waits is bounded by the core's
// unapplied_bytes_max. remove() comes from the compactor's thread and waits until the piece before
// has been taken. run_between_commits() comes from any thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
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
  // `task` makes the state that of `index`, on the loop's thread.
  void install(uint64_t index, std::function<Status()> task);
  // Removals of this number are those of the present store.
  uint64_t store_number();
  // False if the loop has stopped, or has another store by now.
  bool remove(std::unique_ptr<mvcc::Removal> removal, uint64_t store_number);
  // Runs a short task on the loop's thread, where no commit is running. False if the loop has
  // stopped: the task never runs.
  bool run_between_commits(std::function<void()> task);
  // Returns once everything handed to remove() is committed.
  void wait_removed();

 private:
  struct Install {
    uint64_t index = 0;
    std::function<Status()> task;
  };
  struct Work {
    std::vector<raft::EntryRef> entries;
    std::deque<Install> installs;
    std::unique_ptr<mvcc::Removal> removal;
    std::vector<std::function<void()>> tasks;
  };
  void run();
  bool take(Work* work);
  Status apply(Work* work);
  Status apply_entries(std::span<const raft::EntryRef> entries);

  apply::Applier* applier_;
  const ApplyLoopHooks hooks_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable removal_taken_;
  Work waiting_;
  uint64_t store_number_ = 0;
  bool removing_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace mortise::server
