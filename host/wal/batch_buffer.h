// The bytes of one batch while it grows: records are encoded straight into it, with one copy of
// each entry's data, and it is written from where it lies.
//
// Who calls: Writer and tests add records, Wal seals. Threads: one at a time. Ownership: owns its
// memory, borrows nothing after a call returns. Errors: none; a gap between entries is a bug.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "host/wal/format.h"
#include "host/wal/record.h"

namespace mortise::wal {

class BatchBuffer {
 public:
  void add_entry(const EntryRecord& entry);
  void add_snapshot_mark(const SnapshotMark& mark);
  // Kept aside and written as the batch's last record; a later call replaces it.
  void set_hard_state(const HardState& state) { hard_state_ = state; }

  bool empty() const { return records_ == 0 && !hard_state_; }
  uint32_t records() const { return records_; }  // Without the hard state.
  // How much adding such an entry grows the payload.
  static size_t encoded_bytes(const EntryRecord& entry) {
    return kRecordHeaderBytes + kEntryPrefixBytes + entry.data.size();
  }
  // Of the payload as it will be written, without what a new segment repeats.
  size_t payload_bytes() const;

  const std::optional<HardState>& hard_state() const { return hard_state_; }
  const std::optional<SnapshotMark>& mark() const { return mark_; }  // The last one.
  // The index of the first entry that continues the log before this batch; 0 if none does.
  uint64_t joins_at() const { return joins_at_; }
  uint64_t last_index() const { return last_index_; }  // Of the log after this batch; 0: unchanged.
  uint64_t max_index() const { return max_index_; }    // The highest of any entry in the batch.

  // Empties the buffer; gives memory beyond `keep_bytes` back.
  void clear(size_t keep_bytes);

  // For Wal. seal() ends the batch and returns its bytes, valid until the next call. With `segment`
  // they begin with that segment header (sealed here too) and the batch with `carried_state` and
  // `carried_mark`, so that older segments are not needed for them; `offset` is then 0.
  // `header` needs its number set and gets the rest.
  std::string_view seal(BatchHeader& header, uint32_t chain, uint32_t segment_crc, uint64_t offset);
  std::string_view seal_first(BatchHeader& header, SegmentHeader& segment,
                              const std::optional<HardState>& carried_state,
                              const std::optional<SnapshotMark>& carried_mark);
  // An upper bound of what seal_first() returns.
  uint64_t first_extent_max() const;

 private:
  static constexpr size_t kCarriedBytesMax =
      2 * kRecordHeaderBytes + kHardStateBytes + kSnapshotMarkBytes;
  // Room before the payload for headers and carried records.
  static constexpr size_t kFrontBytes = kSegmentHeaderBytes + kBatchHeaderBytes + kCarriedBytesMax;

  char* extend(size_t bytes);  // Room for so many bytes at the end.
  void finish();               // Appends the hard state and zeros for padding.
  std::string_view seal_at(char* batch, size_t payload, BatchHeader& header, uint32_t chain,
                           uint32_t segment_crc, uint64_t offset);

  std::unique_ptr<char[]> data_;
  size_t capacity_ = 0;
  size_t end_ = kFrontBytes;
  uint32_t records_ = 0;
  bool finished_ = false;
  std::optional<HardState> hard_state_;
  std::optional<SnapshotMark> mark_;
  uint64_t joins_at_ = 0;
  uint64_t last_index_ = 0;
  uint64_t max_index_ = 0;
  bool replaced_ = false;  // A mark in this batch replaced the log.
};

}  // namespace mortise::wal
