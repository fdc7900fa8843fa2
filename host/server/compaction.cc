#include "host/server/compaction.h"

namespace mortise::server {

CompactionRunner::CompactionRunner(store::Store* store, ApplyLoop* loop,
                                   CompactionRunnerOptions options)
    : store_(store), loop_(loop), options_(std::move(options)) {}

CompactionRunner::~CompactionRunner() { stop(); }

void CompactionRunner::start(int64_t finished, int64_t compacted) {
  finished_ = finished;
  if (compacted > finished) wanted_.push_back({compacted, false, true});
  thread_ = std::thread([this] { run(); });
}

void CompactionRunner::restart(int64_t finished, int64_t compacted) {
  std::vector<Done> reached;
  {
    std::lock_guard lock(mutex_);
    ++starts_;
    wanted_.clear();
    hashes_.clear();
    if (compacted > finished) wanted_.push_back({compacted, false, true});
    wake_.notify_all();
    reached = take_reached(finished);
  }
  for (auto& done : reached) done(true);
}

void CompactionRunner::stop() {
  std::multimap<int64_t, Done> waiting;
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
  if (wanted_.size() < kWaitingMax) {
    wanted_.push_back({revision, true});
  } else {
    wanted_.back() = {revision, false, wanted_.back().is_resumed};
  }
  wake_.notify_all();
}

void CompactionRunner::when_finished(int64_t revision, Done done) {
  bool is_finished = false;
  {
    std::lock_guard lock(mutex_);
    is_finished = finished_ >= revision;
    if (!is_finished && !stopping_) {
      waiting_.emplace(revision, std::move(done));
      return;
    }
  }
  done(is_finished);
}

void CompactionRunner::run() {
  for (;;) {
    Wanted wanted;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || !wanted_.empty(); });
      if (stopping_) return;
      wanted = wanted_.front();
      wanted.start = starts_;
      wanted.previous = finished_;
      wanted_.pop_front();
    }
    Status status = compact(wanted);
    std::vector<Done> reached;
    {
      // What was found half in one store and half in another says nothing.
      std::lock_guard lock(mutex_);
      if (is_over(wanted.start)) continue;
      if (status.ok()) reached = take_reached(wanted.revision);
    }
    if (!status.ok()) {
      options_.on_failed(status);
      return;
    }
    for (auto& done : reached) done(true);
  }
}

Status CompactionRunner::compact(Wanted wanted) {
  auto started = std::chrono::steady_clock::now();
  const uint64_t store_number = loop_->store_number();
  {
    // From here on a restart shows in the number, too.
    std::lock_guard lock(mutex_);
    if (is_over(wanted.start)) return Status(StatusCode::kStopped, "compaction stopped");
  }
  mvcc::CompactionOptions options;
  options.batch_versions_max = options_.batch_versions_max;
  auto batch_began = started;
  options.pause = [&] {
    if (options_.on_batch) options_.on_batch(std::chrono::steady_clock::now() - batch_began);
    std::unique_lock lock(mutex_);
    const bool goes_on =
        !wake_.wait_for(lock, options_.pause, [&] { return is_over(wanted.start); });
    batch_began = std::chrono::steady_clock::now();
    return goes_on;
  };
  if (wanted.is_resumed) options.scan_by = mvcc::ScanBy::kKeys;
  mvcc::ScanResult scan;
  MORTISE_RETURN_IF_ERROR(mvcc::find_removals(
      *store_, wanted.previous, wanted.revision, options,
      [&](std::unique_ptr<mvcc::Removal> removal) {
        loop_->remove(std::move(removal), store_number);
      },
      &scan));
  loop_->wait_removed();
  if (!scan.hash.kept) {
    scan.hash.kept.emplace();
    MORTISE_RETURN_IF_ERROR(
        mvcc::hash_rows_up_to(*store_, wanted.previous, options.pause, &*scan.hash.kept));
  }
  FinishedCompaction finished;
  finished.hash = {mvcc::join(*scan.hash.kept, scan.hash.since), wanted.previous, wanted.revision};
  finished.is_hashed = wanted.is_hashed;
  finished.versions = scan.removed;
  finished.took = std::chrono::steady_clock::now() - started;
  {
    std::lock_guard lock(mutex_);
    if (is_over(wanted.start)) return Status(StatusCode::kStopped, "compaction stopped");
    // HashKV at 0 asks for the newest revision, never for a compaction at 0.
    if (wanted.is_hashed && wanted.revision > 0) hashes_.add(finished.hash);
  }
  options_.on_finished(finished);
  return Status();
}

std::vector<CompactionRunner::Done> CompactionRunner::take_reached(int64_t finished) {
  std::vector<Done> reached;
  finished_ = finished;
  auto end = waiting_.upper_bound(finished);
  for (auto it = waiting_.begin(); it != end; ++it) reached.push_back(std::move(it->second));
  waiting_.erase(waiting_.begin(), end);
  return reached;
}

}  // namespace mortise::server
