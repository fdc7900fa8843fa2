#include "host/wal/writer.h"

#include <pthread.h>

#include <utility>

#include "host/base/check.h"

namespace mortise::wal {

Writer::Writer(std::unique_ptr<Wal> wal, WriterOptions options)
    : wal_(std::move(wal)), options_(std::move(options)) {
  MORTISE_CHECK(options_.on_persisted && options_.on_failed, "a writer needs its callbacks");
  MORTISE_CHECK(options_.waiting_bytes_max <= kPayloadBytesMax, "over the format's limit");
  newest_state_ = wal_->recovered().hard_state.value_or(HardState{});
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), "wal");
}

Writer::~Writer() {
  // Whoever needs to know has heard of a failure by on_failed().
  static_cast<void>(stop());
}

bool Writer::changes_vote(const WriteRequest& request) const {
  return request.hard_state && (request.hard_state->term != newest_state_.term ||
                                request.hard_state->vote != newest_state_.vote);
}

Status Writer::submit(const WriteRequest& request) {
  size_t bytes = kRecordHeaderBytes * 2 + kSnapshotMarkBytes + kHardStateBytes;
  for (const EntryRecord& entry : request.entries) bytes += BatchBuffer::encoded_bytes(entry);
  if (bytes > kPayloadBytesMax) {
    return invalid("wal: a request of " + std::to_string(bytes) +
                   " bytes is over the format's limit");
  }
  std::unique_lock lock(mutex_);
  MORTISE_CHECK(request.number > submitted_, "request " + std::to_string(request.number) +
                                                 " after " + std::to_string(submitted_));
  room_.wait(lock, [&] {
    const size_t waiting = waiting_.payload_bytes();
    return !failed_.ok() || stopping_ || !waiting_sync_ ||
           waiting + bytes <= options_.waiting_bytes_max;
  });
  if (!failed_.ok()) return failed_;
  if (stopping_) return Status(StatusCode::kStopped, "wal: the writer is stopped");
  const bool urgent = request.snapshot || changes_vote(request);
  if (request.snapshot) waiting_.add_snapshot_mark(*request.snapshot);
  for (const EntryRecord& entry : request.entries) waiting_.add_entry(entry);
  if (request.hard_state) {
    waiting_.set_hard_state(*request.hard_state);
    newest_state_ = *request.hard_state;
  }
  urgent_ = urgent_ || urgent;
  waiting_sync_ = waiting_sync_ || urgent || request.must_sync || !request.entries.empty();
  submitted_ = request.number;
  const bool wake = !gathering_ || must_not_gather();
  lock.unlock();
  if (wake) work_.notify_one();
  return Status();
}

void Writer::defer_hard_state(const HardState& state) {
  std::lock_guard lock(mutex_);
  MORTISE_CHECK(state.term == newest_state_.term && state.vote == newest_state_.vote,
                "a term or a vote may not be deferred");
  newest_state_ = state;
  if (failed_.ok() && !stopping_) waiting_.set_hard_state(state);
}

void Writer::release(uint64_t index) {
  {
    std::lock_guard lock(mutex_);
    if (index <= release_index_) return;
    release_index_ = index;
  }
  work_.notify_one();
}

Status Writer::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_one();
  room_.notify_one();
  if (thread_.joinable()) thread_.join();
  std::lock_guard lock(mutex_);
  return failed_;
}

bool Writer::has_work() const {
  return stopping_ || waiting_sync_ || submitted_ != acknowledged_ ||
         release_index_ != released_index_;
}

void Writer::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [&] { return has_work(); });
    if (gathers_) gather(lock);
    if (!write_waiting(lock)) return;
    if (release_index_ != released_index_) release_segments(lock);
    if (stopping_ && waiting_.empty() && submitted_ == acknowledged_) return;
  }
}

bool Writer::must_not_gather() const {
  return stopping_ || urgent_ || waiting_.payload_bytes() >= kGatherBytesMax;
}

void Writer::gather(std::unique_lock<std::mutex>& lock) {
  gathering_ = true;
  work_.wait_until(lock, last_write_ + options_.gather_time, [&] { return must_not_gather(); });
  gathering_ = false;
}

// Writes and acknowledges; false after a failure. Enters and leaves with the lock held.
bool Writer::write_waiting(std::unique_lock<std::mutex>& lock) {
  const uint64_t number = submitted_;
  const bool acknowledge = number != acknowledged_;
  const bool write = waiting_sync_ || (stopping_ && !waiting_.empty());
  if (write) {
    std::swap(waiting_, writing_);
    waiting_sync_ = false;
    urgent_ = false;
  }
  lock.unlock();
  const uint32_t records = writing_.records();  // None if nothing is written.
  if (write) {
    room_.notify_one();
    last_write_ = std::chrono::steady_clock::now();
    Status status = wal_->append(writing_);
    writing_.clear(options_.keep_bytes_max);
    if (!status.ok()) {
      lock.lock();
      failed_ = status;
      lock.unlock();
      room_.notify_one();
      options_.on_failed(status);
      lock.lock();
      return false;
    }
  }
  if (acknowledge) options_.on_persisted(number);
  if (write) {
    wal_->prepare_next();
    gathers_ =
        records >= kGatherRecordsMin && options_.machine_is_busy && options_.machine_is_busy();
  }
  lock.lock();
  acknowledged_ = number;
  return true;
}

void Writer::release_segments(std::unique_lock<std::mutex>& lock) {
  const uint64_t index = release_index_;
  lock.unlock();
  const Status status = wal_->release(index);
  if (!status.ok() && options_.on_release_failed) options_.on_release_failed(status);
  lock.lock();
  released_index_ = index;
}

}  // namespace mortise::wal
