// The thread that writes the log. It takes all requests that wait, makes one batch of them, writes
// and syncs it, and says which Ready is persisted.
//
// Who calls: submit(), defer_hard_state() and stop() from one producer thread, the raft thread;
// release() and counters() from any. Callbacks run on the writer's thread, without a lock held;
// they may call release() and nothing else of the Writer.
//
// Ownership: owns the Wal and copies what a request holds before submit() returns.
//
// Errors: after a failed write or sync the log is not trusted. on_failed() is called once, nothing
// more is written or acknowledged, and submit() answers the failure. The host then stops.
//
// Limits: waiting requests hold at most WriterOptions::waiting_bytes_max, or one request that is
// larger; submit() waits for room. Two buffers of that size exist at most, and each gives its
// memory back above keep_bytes_max after use.
//
// Where processor time is short a sync for a few entries is dear, and those that wait for it wait
// for a processor anyway. So on a busy machine, after a batch of kGatherRecordsMin records or more,
// the next one is written gather_time after the last at the earliest, unless it is large or a term,
// a vote or a snapshot is in it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>

#include "host/wal/wal.h"

namespace mortise::wal {

struct WriteRequest {
  uint64_t number = 0;  // Of the Ready; above that of the request before.
  // Written in this order: snapshot, entries, hard_state. Entries and their data are borrowed for
  // the call of submit().
  std::optional<SnapshotMark> snapshot;
  std::span<const EntryRecord> entries;
  std::optional<HardState> hard_state;
  // Must be durable before it is acknowledged. A request with entries, a snapshot, or another term
  // or vote than before always is, so in effect only a hard state with a new commit index can do
  // without: it is acknowledged at once and goes into the next batch that is written, or is written
  // by stop(). Unsynced writes do not exist.
  bool must_sync = false;
};

struct WriterOptions {
  // All requests up to this number are persisted, as far as their must_sync asks for it.
  std::function<void(uint64_t number)> on_persisted;
  std::function<void(const Status&)> on_failed;
  // Old segments could not be deleted; the log goes on. May be empty.
  std::function<void(const Status&)> on_release_failed;
  size_t waiting_bytes_max = 16 << 20;
  size_t keep_bytes_max = 1 << 20;

  // Asked after each batch, on the thread. Empty: never.
  std::function<bool()> machine_is_busy;
  std::chrono::nanoseconds gather_time = std::chrono::milliseconds(2);
};

class Writer {
 public:
  static constexpr uint32_t kGatherRecordsMin = 8;
  static constexpr size_t kGatherBytesMax = 1 << 20;

  Writer(std::unique_ptr<Wal> wal, WriterOptions options);
  ~Writer();  // stop()
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Queues the request; waits while there is no room. kStopped after stop(), the failure after a
  // failure, kInvalid for a request beyond the format's limit of 1 GiB; nothing is queued then.
  Status submit(const WriteRequest& request);

  // Puts a hard state with nothing but a new commit index into the next batch, without a Ready
  // number, a wake-up of the thread or an acknowledgement.
  void defer_hard_state(const HardState& state);

  // Segments with entries up to `index` only may go: the backend has synced them. The newest call
  // counts.
  void release(uint64_t index);

  // Writes what waits, deferred hard states too, acknowledges it and ends the thread. Answers the
  // failure if there was one.
  Status stop();

  const Counters& counters() const { return wal_->counters(); }

 private:
  void run();
  bool has_work() const;  // With the lock held, as the next ones.
  bool changes_vote(const WriteRequest& request) const;
  bool must_not_gather() const;
  void gather(std::unique_lock<std::mutex>& lock);
  bool write_waiting(std::unique_lock<std::mutex>& lock);
  void release_segments(std::unique_lock<std::mutex>& lock);

  const std::unique_ptr<Wal> wal_;  // The thread's, but for counters().
  const WriterOptions options_;

  std::mutex mutex_;  // Guards what follows.
  std::condition_variable work_;
  std::condition_variable room_;
  BatchBuffer waiting_;
  bool waiting_sync_ = false;  // waiting_ has something that must be written now.
  bool urgent_ = false;        // Without gathering.
  bool gathering_ = false;     // The thread wants to hear of what must_not_gather() only.
  HardState newest_state_;     // The last one submitted, or recovered.
  uint64_t submitted_ = 0;     // Number of the last request taken.
  uint64_t acknowledged_ = 0;
  uint64_t release_index_ = 0;  // Asked for.
  uint64_t released_index_ = 0;
  bool stopping_ = false;
  Status failed_;

  BatchBuffer writing_;  // The thread's, as what follows.
  bool gathers_ = false;
  std::chrono::steady_clock::time_point last_write_;
  std::thread thread_;
};

}  // namespace mortise::wal
