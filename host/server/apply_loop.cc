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
  if (waiting_.entries.empty()) {
    waiting_.entries = std::move(entries);
  } else {
    waiting_.entries.insert(waiting_.entries.end(), std::make_move_iterator(entries.begin()),
                            std::make_move_iterator(entries.end()));
  }
  work_.notify_one();
}

void ApplyLoop::install(uint64_t index, std::function<Status()> task) {
  std::lock_guard lock(mutex_);
  waiting_.installs.push_back({index, std::move(task)});
  work_.notify_one();
}

uint64_t ApplyLoop::store_number() {
  std::lock_guard lock(mutex_);
  return store_number_;
}

bool ApplyLoop::remove(std::unique_ptr<mvcc::Removal> removal, uint64_t store_number) {
  std::unique_lock lock(mutex_);
  removal_taken_.wait(lock, [&] { return stopping_ || waiting_.removal == nullptr; });
  if (stopping_ || store_number != store_number_) return false;
  waiting_.removal = std::move(removal);
  work_.notify_one();
  return true;
}

bool ApplyLoop::run_between_commits(std::function<void()> task) {
  std::lock_guard lock(mutex_);
  if (stopping_) return false;
  waiting_.tasks.push_back(std::move(task));
  work_.notify_one();
  return true;
}

void ApplyLoop::wait_removed() {
  std::unique_lock lock(mutex_);
  removal_taken_.wait(lock,
                      [&] { return stopping_ || (waiting_.removal == nullptr && !removing_); });
}

// False at the end.
bool ApplyLoop::take(Work* work) {
  std::unique_lock lock(mutex_);
  removing_ = false;
  removal_taken_.notify_all();
  work_.wait(lock, [&] {
    return stopping_ || !waiting_.entries.empty() || !waiting_.installs.empty() ||
           waiting_.removal != nullptr || !waiting_.tasks.empty();
  });
  if (stopping_ && waiting_.entries.empty() && waiting_.installs.empty() &&
      waiting_.tasks.empty()) {
    return false;
  }
  work->entries.swap(waiting_.entries);
  work->installs.swap(waiting_.installs);
  work->tasks.swap(waiting_.tasks);
  work->removal = std::move(waiting_.removal);
  removing_ = work->removal != nullptr;
  return true;
}

Status ApplyLoop::apply_entries(std::span<const raft::EntryRef> entries) {
  if (entries.empty()) return Status();
  MORTISE_RETURN_IF_ERROR(applier_->apply(entries));
  hooks_.applied(entries.back()->index);
  return Status();
}

Status ApplyLoop::apply(Work* work) {
  std::span<const raft::EntryRef> entries(work->entries);
  for (const Install& install : work->installs) {
    size_t covered = 0;
    while (covered < entries.size() && entries[covered]->index <= install.index) ++covered;
    MORTISE_RETURN_IF_ERROR(apply_entries(entries.first(covered)));
    MORTISE_RETURN_IF_ERROR(install.task());
    hooks_.applied(install.index);
    entries = entries.subspan(covered);
    std::lock_guard lock(mutex_);
    ++store_number_;
    waiting_.removal.reset();
    work->removal.reset();
  }
  MORTISE_RETURN_IF_ERROR(apply_entries(entries));
  return work->removal == nullptr ? Status() : applier_->remove(*work->removal);
}

void ApplyLoop::run() {
  Work work;
  while (take(&work)) {
    Status status = apply(&work);
    if (!status.ok()) {
      hooks_.failed(status);
      return;
    }
    for (auto& task : work.tasks) task();
    work.tasks.clear();
    work.entries.clear();
    work.installs.clear();
    work.removal.reset();
  }
}

}  // namespace mortise::server
