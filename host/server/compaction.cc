#include "host/server/compaction.h"

namespace mortise::server {

CompactionRunner::CompactionRunner(store::Store* store, ApplyLoop* loop,
                                   CompactionRunnerOptions options)
    : store_(store), loop_(loop), options_(std::move(options)) {}

CompactionRunner::~CompactionRunner() { stop(); }

void CompactionRunner::start(int64_t finished, int64_t compacted) {
  finished_ = finished;
  wanted_ = compacted;
  thread_ = std::thread([this] { run(); });
}

void CompactionRunner::stop() {
  std::multimap<int64_t, std::function<void(bool)>> waiting;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
    waiting.swap(waiting_);
  }
  if (thread_.joinable()) thread_.join();
  for (auto& [revision, done] : waiting) done(false);
}

void CompactionRunner::schedule(int64_t revision) {
  std::lock_guard lock(mutex_);
  wanted_ = std::max(wanted_, revision);
  wake_.notify_all();
}

void CompactionRunner::when_finished(int64_t revision, std::function<void(bool)> done) {
  {
    std::lock_guard lock(mutex_);
    if (finished_ < revision && !stopping_) {
      waiting_.emplace(revision, std::move(done));
      return;
    }
  }
  done(finished_ >= revision);
}

void CompactionRunner::run() {
  for (;;) {
    int64_t revision;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || wanted_ > finished_; });
      if (stopping_) return;
      revision = wanted_;
    }
    Status status = compact(revision);
    if (status.code() == StatusCode::kStopped) return;
    if (!status.ok()) {
      options_.on_failed(status);
      return;
    }
    report(revision);
  }
}

Status CompactionRunner::compact(int64_t revision) {
  auto started = std::chrono::steady_clock::now();
  mvcc::CompactionOptions options;
  options.batch_versions_max = options_.batch_versions_max;
  options.pause = [&] {
    std::unique_lock lock(mutex_);
    return !wake_.wait_for(lock, options_.pause, [&] { return stopping_; });
  };
  uint64_t removed = 0;
  MORTISE_RETURN_IF_ERROR(mvcc::find_removals(
      *store_, finished_, revision, options,
      [&](std::unique_ptr<mvcc::Removal> removal) { loop_->remove(std::move(removal)); },
      &removed));
  loop_->wait_removed();
  options_.on_finished(revision, removed, std::chrono::steady_clock::now() - started);
  return Status();
}

void CompactionRunner::report(int64_t finished) {
  std::vector<std::function<void(bool)>> ready;
  {
    std::lock_guard lock(mutex_);
    finished_ = finished;
    auto end = waiting_.upper_bound(finished);
    for (auto it = waiting_.begin(); it != end; ++it) ready.push_back(std::move(it->second));
    waiting_.erase(waiting_.begin(), end);
  }
  for (auto& done : ready) done(true);
}

}  // namespace mortise::server
