#include "host/server/auto_compaction.h"

#include <algorithm>

namespace mortise::server {
namespace {

constexpr std::chrono::nanoseconds kIntervalMax = std::chrono::hours(1);
constexpr int kNotesInInterval = 10;
constexpr std::chrono::nanoseconds kNoteIntervalMin = std::chrono::milliseconds(1);
constexpr std::chrono::nanoseconds kRevisionInterval = std::chrono::minutes(5);

}  // namespace

AutoCompactionPlan::AutoCompactionPlan(const AutoCompactionOptions& options, Clock::time_point now)
    : options_(options), last_time_(now), wait_(period()) {}

void AutoCompactionPlan::note(int64_t revision) {
  if (options_.by_revision) return;
  noted_.push_back(revision);
  if (noted_.size() > static_cast<size_t>(period() / interval()) + 1) noted_.pop_front();
}

std::chrono::nanoseconds AutoCompactionPlan::interval() const {
  if (options_.by_revision) return kRevisionInterval;
  return std::max(std::min(period(), kIntervalMax) / kNotesInInterval, kNoteIntervalMin);
}

std::optional<int64_t> AutoCompactionPlan::due(Clock::time_point now, int64_t revision) {
  int64_t at = options_.by_revision ? revision - options_.retention : noted_.front();
  if (at == last_) return std::nullopt;
  if (options_.by_revision) return at > 0 ? std::optional(at) : std::nullopt;
  if (now - last_time_ < wait_) return std::nullopt;
  wait_ = std::min(period(), kIntervalMax);
  return at;
}

void AutoCompactionPlan::compacted(int64_t revision, Clock::time_point now) {
  last_ = revision;
  last_time_ = now;
}

AutoCompactor::AutoCompactor(const AutoCompactionOptions& options, AutoCompactionHooks hooks,
                             Log* log)
    : options_(options), hooks_(std::move(hooks)), log_(log) {
  thread_ = std::thread([this] { run(); });
}

void AutoCompactor::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void AutoCompactor::run() {
  AutoCompactionPlan plan(options_, AutoCompactionPlan::Clock::now());
  for (;;) {
    plan.note(hooks_.revision());
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, plan.interval(), [&] { return stopping_; });
      if (stopping_) return;
    }
    if (!hooks_.leads()) continue;
    auto revision = plan.due(AutoCompactionPlan::Clock::now(), hooks_.revision());
    if (revision) compact(&plan, *revision);
  }
}

void AutoCompactor::compact(AutoCompactionPlan* plan, int64_t revision) {
  const bool by_revision = options_.by_revision;
  Fields fields{{"revision", revision}};
  if (by_revision) {
    fields.emplace_back("revision-compaction-retention", options_.retention);
  } else {
    fields.emplace_back("compact-period",
                        duration_text(std::chrono::nanoseconds(options_.retention)));
  }
  log_->info(
      by_revision ? "starting auto revision compaction" : "starting auto periodic compaction",
      fields);
  auto started = AutoCompactionPlan::Clock::now();
  RpcStatus status = hooks_.compact(revision);
  auto now = AutoCompactionPlan::Clock::now();
  // Somebody else may have compacted further.
  if (status.ok() || status.message() == RpcStatus(rpc_errors::kCompacted).message()) {
    plan->compacted(revision, now);
    fields.emplace_back("took", duration_text(now - started));
    log_->info(
        by_revision ? "completed auto revision compaction" : "completed auto periodic compaction",
        fields);
    return;
  }
  fields.emplace_back("retry-interval", duration_text(plan->interval()));
  fields.emplace_back("error", std::string(status.message()));
  log_->warn(by_revision ? "failed auto revision compaction" : "failed auto periodic compaction",
             fields);
}

}  // namespace mortise::server
