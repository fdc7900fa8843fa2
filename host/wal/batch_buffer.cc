#include "host/wal/batch_buffer.h"

#include <algorithm>

#include "host/base/check.h"

namespace mortise::wal {
namespace {

constexpr size_t kFirstCapacityBytes = 16 << 10;

char* put_record_header(char* out, RecordType type, uint8_t tag, size_t body_bytes) {
  out[0] = static_cast<char>(type);
  out[1] = static_cast<char>(tag);
  store_le<uint16_t>(out + 2, 0);
  store_le<uint32_t>(out + 4, static_cast<uint32_t>(body_bytes));
  return out + kRecordHeaderBytes;
}

char* put_hard_state(char* out, const HardState& state) {
  out = put_record_header(out, RecordType::kHardState, 0, kHardStateBytes);
  store_le<uint64_t>(out, state.term);
  store_le<uint64_t>(out + 8, state.vote);
  store_le<uint64_t>(out + 16, state.commit);
  return out + kHardStateBytes;
}

char* put_mark(char* out, const SnapshotMark& mark) {
  out = put_record_header(out, RecordType::kSnapshotMark, mark.replaces_log ? kMarkReplacesLog : 0,
                          kSnapshotMarkBytes);
  store_le<uint64_t>(out, mark.index);
  store_le<uint64_t>(out + 8, mark.term);
  return out + kSnapshotMarkBytes;
}

}  // namespace

char* BatchBuffer::extend(size_t bytes) {
  const size_t wanted = end_ + bytes;
  if (wanted > capacity_) {
    const size_t capacity = std::max({wanted, capacity_ * 2, kFirstCapacityBytes});
    std::unique_ptr<char[]> grown(new char[capacity]);  // Not zeroed: every byte is written.
    if (data_) {
      std::memcpy(grown.get() + kFrontBytes, data_.get() + kFrontBytes, end_ - kFrontBytes);
    }
    data_ = std::move(grown);
    capacity_ = capacity;
  }
  char* out = data_.get() + end_;
  end_ = wanted;
  return out;
}

void BatchBuffer::add_entry(const EntryRecord& entry) {
  MORTISE_CHECK(!finished_, "a batch is sealed once");
  MORTISE_CHECK(entry.index > 0, "entries count from 1");
  if (last_index_ != 0) {
    MORTISE_CHECK(entry.index <= last_index_ + 1, "gap in the log: entry " +
                                                      std::to_string(entry.index) + " after " +
                                                      std::to_string(last_index_));
  } else if (!replaced_) {
    joins_at_ = entry.index;
  }
  last_index_ = entry.index;
  max_index_ = std::max(max_index_, entry.index);
  const size_t body = kEntryPrefixBytes + entry.data.size();
  char* out =
      put_record_header(extend(kRecordHeaderBytes + body), RecordType::kEntry, entry.type, body);
  store_le<uint64_t>(out, entry.term);
  store_le<uint64_t>(out + 8, entry.index);
  if (!entry.data.empty()) {
    std::memcpy(out + kEntryPrefixBytes, entry.data.data(), entry.data.size());
  }
  ++records_;
}

void BatchBuffer::add_snapshot_mark(const SnapshotMark& mark) {
  MORTISE_CHECK(!finished_, "a batch is sealed once");
  if (mark.replaces_log) {
    replaced_ = true;
    last_index_ = mark.index;
  }
  mark_ = mark;
  put_mark(extend(kRecordHeaderBytes + kSnapshotMarkBytes), mark);
  ++records_;
}

size_t BatchBuffer::payload_bytes() const {
  const bool pending = hard_state_ && !finished_;
  return end_ - kFrontBytes + (pending ? kRecordHeaderBytes + kHardStateBytes : 0);
}

uint64_t BatchBuffer::first_extent_max() const {
  return kSegmentHeaderBytes + batch_extent(payload_bytes() + kCarriedBytesMax);
}

void BatchBuffer::clear(size_t keep_bytes) {
  if (capacity_ > keep_bytes) {
    data_.reset();
    capacity_ = 0;
  }
  end_ = kFrontBytes;
  records_ = 0;
  finished_ = false;
  hard_state_.reset();
  mark_.reset();
  joins_at_ = last_index_ = max_index_ = 0;
  replaced_ = false;
}

void BatchBuffer::finish() {
  MORTISE_CHECK(!finished_, "a batch is sealed once");
  if (hard_state_) {
    put_hard_state(extend(kRecordHeaderBytes + kHardStateBytes), *hard_state_);
    ++records_;
  }
  finished_ = true;
  // The padding is not part of the payload, so end_ goes back over it; seal_batch() completes it.
  std::memset(extend(kBatchAlignBytes), 0, kBatchAlignBytes);
  end_ -= kBatchAlignBytes;
}

std::string_view BatchBuffer::seal_at(char* batch, size_t payload, BatchHeader& header,
                                      uint32_t chain, uint32_t segment_crc, uint64_t offset) {
  MORTISE_CHECK(payload <= kPayloadBytesMax + kFrontBytes, "a batch over the format's limit");
  header.payload_bytes = static_cast<uint32_t>(payload);
  header.records = records_;
  std::memset(batch, 0, kBatchHeaderBytes);
  seal_batch(header, chain, segment_crc, offset, batch);
  return {batch, batch_extent(payload)};
}

std::string_view BatchBuffer::seal(BatchHeader& header, uint32_t chain, uint32_t segment_crc,
                                   uint64_t offset) {
  finish();
  return seal_at(data_.get() + kFrontBytes - kBatchHeaderBytes, end_ - kFrontBytes, header, chain,
                 segment_crc, offset);
}

std::string_view BatchBuffer::seal_first(BatchHeader& header, SegmentHeader& segment,
                                         const std::optional<HardState>& carried_state,
                                         const std::optional<SnapshotMark>& carried_mark) {
  finish();
  const size_t carried = (carried_state ? kRecordHeaderBytes + kHardStateBytes : 0) +
                         (carried_mark ? kRecordHeaderBytes + kSnapshotMarkBytes : 0);
  char* const payload = data_.get() + kFrontBytes - carried;
  char* out = payload;
  if (carried_mark) {
    // It has done its replacing; repeated as such it would drop the entries after it.
    out = put_mark(out, {carried_mark->index, carried_mark->term, false});
    ++records_;
  }
  if (carried_state) {
    put_hard_state(out, *carried_state);
    ++records_;
  }
  char* const batch = payload - kBatchHeaderBytes;
  char* const begin = batch - kSegmentHeaderBytes;
  encode_segment_header(segment, begin);
  const auto bytes = seal_at(batch, end_ - kFrontBytes + carried, header, segment.crc, segment.crc,
                             kSegmentHeaderBytes);
  return {begin, kSegmentHeaderBytes + bytes.size()};
}

}  // namespace mortise::wal
