#include "tests/sim/log_writer.h"

namespace mortise::sim {

LogWriter::LogWriter(Env* env, Random random, wal::SimDisk* disk, const DiskSpeed* speed,
                     LogBugs bugs, std::unique_ptr<wal::Wal> wal, Hooks hooks)
    : env_(env),
      random_(random),
      disk_(disk),
      speed_(speed),
      bugs_(bugs),
      wal_(std::move(wal)),
      hooks_(std::move(hooks)) {}

wal::HardState LogWriter::as_written(wal::HardState state) const {
  if (bugs_.forget_votes) state.vote = 0;
  return state;
}

Status LogWriter::submit(const wal::WriteRequest& request) {
  if (request.snapshot) waiting_.add_snapshot_mark(*request.snapshot);
  for (const wal::EntryRecord& entry : request.entries) waiting_.add_entry(entry);
  if (request.hard_state) waiting_.set_hard_state(as_written(*request.hard_state));
  waiting_number_ = request.number;
  if (!writing_) start();
  return Status();
}

void LogWriter::defer_hard_state(const wal::HardState& state) {
  waiting_.set_hard_state(as_written(state));
}

void LogWriter::release(uint64_t index) {
  release_ = index;
  if (!writing_ && waiting_number_ == 0) (void)wal_->release(release_).ok();
}

void LogWriter::start() {
  writing_ = std::make_unique<wal::BatchBuffer>();
  std::swap(*writing_, waiting_);
  writing_number_ = std::exchange(waiting_number_, 0);
  Micros takes = random_.skewed(speed_->write_min, speed_->write_max);
  if (speed_->stalled_until > env_->now()) takes += speed_->stalled_until - env_->now();
  env_->after(takes, [this, alive = alive_] {
    if (*alive) finish();
  });
  if (bugs_.acknowledge_before_sync) {
    env_->after(1, [this, alive = alive_, number = writing_number_] {
      if (*alive) hooks_.persisted(number);
    });
  }
}

void LogWriter::finish() {
  const Status status = wal_->append(*writing_);
  if (!status.ok()) {
    hooks_.failed(status);
    return;
  }
  const uint64_t number = std::exchange(writing_number_, 0);
  written_ = number;
  writing_.reset();
  if (random_.percent(50)) wal_->prepare_next();
  // As in the server: old segments go between two writes; what cannot be removed stays.
  if (release_ != 0) (void)wal_->release(std::exchange(release_, 0)).ok();
  if (waiting_number_ != 0) start();
  hooks_.persisted(number);
}

void LogWriter::crash(bool power_loss) {
  *alive_ = false;
  if (writing_ && random_.percent(60)) {
    if (power_loss) disk_->lose_power_after(1 + random_.below(5));
    (void)wal_->append(*writing_).ok();
  }
  if (power_loss) disk_->power_loss();
}

}  // namespace mortise::sim
