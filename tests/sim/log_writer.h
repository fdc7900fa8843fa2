// The write-ahead log of one simulated member: the real wal::Wal on a simulated disk, written at
// simulated times. Like the server's writer it makes one batch of all that waits, and reports what
// is persisted; unlike it, it has no thread: a write takes as long as the disk's speed says.
//
// A crash finds the write under way anywhere between its first and its last operation.
//
// Threads: one. Ownership: borrows the disk, which outlives the process that writes.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "host/wal/sim_file.h"
#include "host/wal/wal.h"
#include "host/wal/writer.h"
#include "tests/sim/env.h"

namespace mortise::sim {

// How fast a member's disk is; chance and the faults change it.
struct DiskSpeed {
  Micros write_min = 200;
  Micros write_max = 3 * kMillisecond;
  Micros stalled_until = 0;
};

// Bugs that are planted in the writer, to be found.
struct LogBugs {
  bool acknowledge_before_sync = false;
  bool forget_votes = false;
};

class LogWriter {
 public:
  struct Hooks {
    std::function<void(uint64_t number)> persisted;
    std::function<void(const Status&)> failed;
  };
  LogWriter(Env* env, Random random, wal::SimDisk* disk, const DiskSpeed* speed, LogBugs bugs,
            std::unique_ptr<wal::Wal> wal, Hooks hooks);
  ~LogWriter() { *alive_ = false; }

  Status submit(const wal::WriteRequest& request);
  void defer_hard_state(const wal::HardState& state);
  // Up to `index` nothing is needed any more.
  void release(uint64_t index);

  // The number of the newest request that is on the disk, whatever was acknowledged.
  uint64_t written() const { return written_; }
  // Everything submitted is on the disk.
  bool idle() const { return !writing_; }
  // The process ends now, in the middle of what it is writing. With `power_loss` what is not synced
  // may be lost or torn.
  void crash(bool power_loss);

 private:
  void start();
  void finish();
  wal::HardState as_written(wal::HardState state) const;

  Env* const env_;
  Random random_;
  wal::SimDisk* const disk_;
  const DiskSpeed* const speed_;
  const LogBugs bugs_;
  const std::unique_ptr<wal::Wal> wal_;
  const Hooks hooks_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  wal::BatchBuffer waiting_;
  uint64_t waiting_number_ = 0;  // 0: nothing waits but a deferred hard state.
  std::unique_ptr<wal::BatchBuffer> writing_;
  uint64_t writing_number_ = 0;
  uint64_t written_ = 0;
  uint64_t release_ = 0;
};

}  // namespace mortise::sim
