#include "host/server/apply_loop.h"

#include <iterator>

namespace mortise::server {

ApplyLoop::ApplyLoop(apply::Applier* applier, ApplyLoopHooks hooks)
    : applier_(applier), hooks_(std::move(hooks)) {}

ApplyLoop::~ApplyLoop() { stop(); }

void ApplyLoop::start() {
  thread_ = std::thread([this] { run(); });
}

void ApplyLoop::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    work_.notify_one();
    removal_taken_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void ApplyLoop::enqueue(std::vector<raft::EntryRef> entries) {
  std::lock_guard lock(mutex_);
  if (entries_.empty()) {
    entries_ = std::move(entries);
  } else {
    entries_.insert(entries_.end(), std::make_move_iterator(entries.begin()),
                    std::make_move_iterator(entries.end()));
  }
  work_.notify_one();
}

bool ApplyLoop::remove(std::unique_ptr<mvcc::Removal> removal) {
  std::unique_lock lock(mutex_);
  removal_taken_.wait(lock, [&] { return stopping_ || removal_ == nullptr; });
  if (stopping_) return false;
  removal_ = std::move(removal);
  work_.notify_one();
  return true;
}

bool ApplyLoop::run_between_commits(std::function<void()> task) {
  std::lock_guard lock(mutex_);
  if (stopping_) return false;
  tasks_.push_back(std::move(task));
  work_.notify_one();
  return true;
}

void ApplyLoop::wait_removed() {
  std::unique_lock lock(mutex_);
  removal_taken_.wait(lock, [&] { return stopping_ || (removal_ == nullptr && !removing_); });
}

void ApplyLoop::run() {
  std::vector<raft::EntryRef> entries;
  std::vector<std::function<void()>> tasks;
  for (;;) {
    std::unique_ptr<mvcc::Removal> removal;
    {
      std::unique_lock lock(mutex_);
      removing_ = false;
      removal_taken_.notify_all();
      work_.wait(lock, [&] {
        return stopping_ || !entries_.empty() || removal_ != nullptr || !tasks_.empty();
      });
      if (stopping_ && entries_.empty() && tasks_.empty()) return;
      entries.swap(entries_);
      tasks.swap(tasks_);
      removal = std::move(removal_);
      removing_ = removal != nullptr;
    }
    Status status;
    if (!entries.empty()) {
      status = applier_->apply(entries);
      if (status.ok()) hooks_.applied(entries.back()->index);
    }
    if (status.ok() && removal != nullptr) status = applier_->remove(*removal);
    if (!status.ok()) {
      hooks_.failed(status);
      return;
    }
    for (auto& task : tasks) task();
    tasks.clear();
    entries.clear();
  }
}

}  // namespace mortise::server
