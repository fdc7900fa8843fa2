#include "host/wal/recovery.h"

#include <algorithm>
#include <utility>

namespace mortise::wal {
namespace {

std::string hex(uint64_t value) {
  char text[20];
  std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace

Status Recovery::list() {
  MORTISE_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                           file_system_.list_dir(options_.dir));
  for (const std::string& name : names) {
    if (name.ends_with(kTemporarySuffix)) {
      leftovers_.push_back(name);
    } else if (name.ends_with(kSegmentSuffix)) {
      const auto parsed = parse_segment_file_name(name);
      if (!parsed) return corruption("wal: " + path(name) + " is not a segment's file name");
      found_.push_back({name, *parsed});
    }
  }
  std::sort(found_.begin(), found_.end(),
            [](const Found& a, const Found& b) { return a.name < b.name; });
  return Status();
}

Result<Identity> Recovery::identity() {
  if (found_.empty()) return not_found("wal: no segment in " + options_.dir);
  const std::string newest = path(found_.back().name);
  MORTISE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                           file_system_.open_file(newest, OpenMode::kRead));
  SegmentReader reader(*file, newest);
  MORTISE_RETURN_IF_ERROR(reader.read_header());
  return Identity{reader.header().cluster_id, reader.header().member_id, found_.size()};
}

Status Recovery::read() {
  for (size_t i = 1; i < found_.size(); ++i) {
    const uint64_t want = found_[i - 1].parsed.sequence + 1;
    if (found_[i].parsed.sequence != want) {
      const bool twice = found_[i].parsed.sequence < want;
      return corruption("wal: segment " + std::string(twice ? "present twice" : "missing") +
                        " in " + options_.dir + ": sequence " + hex(want - (twice ? 1 : 0)) +
                        (twice ? " at " : " before ") + found_[i].name);
    }
  }
  for (size_t i = 0; i < found_.size(); ++i) {
    MORTISE_RETURN_IF_ERROR(read_segment(found_[i], i + 1 == found_.size()));
  }
  return Status();
}

Status Recovery::read_segment(const Found& found, bool newest) {
  MORTISE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                           file_system_.open_file(path(found.name), OpenMode::kRead));
  SegmentReader reader(*file, path(found.name));
  MORTISE_RETURN_IF_ERROR(reader.read_header());
  MORTISE_RETURN_IF_ERROR(check_header(reader, found));
  if (!segments_.empty()) MORTISE_RETURN_IF_ERROR(check_link(reader));
  segments_.push_back({found.name, 0});
  MORTISE_RETURN_IF_ERROR(read_batches(reader, newest));
  tail_.sequence = found.parsed.sequence;
  tail_.offset = reader.offset();
  tail_.segment_crc = reader.header().crc;
  tail_.chain = reader.chain();
  tail_.next_batch = reader.next_number();
  previous_path_ = reader.path();
  return Status();
}

Status Recovery::check_header(const SegmentReader& reader, const Found& found) {
  const SegmentHeader& header = reader.header();
  if (header.cluster_id != options_.cluster_id || header.member_id != options_.member_id) {
    return invalid("wal segment " + reader.path() + ": belongs to member " + hex(header.member_id) +
                   " of cluster " + hex(header.cluster_id) + ", not to member " +
                   hex(options_.member_id) + " of cluster " + hex(options_.cluster_id));
  }
  if (header.sequence != found.parsed.sequence || header.first_batch != found.parsed.first_batch) {
    return reader.refuse(0, "the header says sequence " + hex(header.sequence) +
                                " and first batch " + hex(header.first_batch) +
                                ", the file name does not");
  }
  return Status();
}

// A segment ends where the next one says; the place is in the older file, whose end is gone.
Status Recovery::check_link(const SegmentReader& reader) {
  const SegmentHeader& header = reader.header();
  if (header.first_batch == tail_.next_batch && header.previous_chain == tail_.chain) {
    return Status();
  }
  return corruption("wal segment " + previous_path_ + ": offset " + std::to_string(tail_.offset) +
                    ": ends before batch " + std::to_string(tail_.next_batch) + ", but " +
                    reader.path() + " continues with batch " + std::to_string(header.first_batch) +
                    (header.first_batch == tail_.next_batch ? " of another chain" : ""));
}

Status Recovery::read_batches(SegmentReader& reader, bool newest) {
  while (true) {
    MORTISE_ASSIGN_OR_RETURN(const SegmentReader::Step step, reader.next());
    if (step == SegmentReader::Step::kBatch) {
      MORTISE_RETURN_IF_ERROR(apply_batch(reader));
      tail_.last_batch_offset = reader.batch().offset;
      ++recovered_.batches;
      continue;
    }
    const bool bad = step == SegmentReader::Step::kBad;
    // A segment gets its name after its first batch is on disk, so that one cannot be torn.
    if (reader.offset() == kSegmentHeaderBytes) {
      return reader.refuse(reader.offset(),
                           bad ? reader.damage().reason : "the segment's first batch is missing");
    }
    if (newest) return judge_tail(reader, bad);
    if (bad) return reader.refuse(reader.offset(), reader.damage().reason);
    return Status();  // check_link() of the next segment says whether this is its true end.
  }
}

Status Recovery::judge_tail(SegmentReader& reader, bool bad) {
  const uint64_t at = reader.offset();
  if (bad && !reader.damage().may_be_torn) return reader.refuse(at, reader.damage().reason);
  MORTISE_ASSIGN_OR_RETURN(
      const SegmentReader::Rest rest,
      reader.scan_rest(bad ? reader.damage().scan_from : at + kBatchHeaderBytes));
  if (rest.later_batch_at != 0) {
    return reader.refuse(at, (bad ? reader.damage().reason : "batch header is zero") +
                                 ", yet a later batch was written at offset " +
                                 std::to_string(rest.later_batch_at));
  }
  if (bad && reader.damage().in_header && !rest.all_zero) {
    return reader.refuse(at, reader.damage().reason);
  }
  tail_.torn = bad || !rest.all_zero;
  if (tail_.torn) {
    recovered_.torn_segment = reader.path();
    recovered_.torn_offset = at;
  }
  return Status();
}

Status Recovery::apply_batch(const SegmentReader& reader) {
  std::string_view rest = reader.batch().payload;
  for (uint32_t i = 0; i < reader.batch().header.records; ++i) {
    Status status = corruption("record runs over the end");
    if (rest.size() >= kRecordHeaderBytes) {
      const uint32_t size = load_le<uint32_t>(rest.data() + 4);
      if (size <= rest.size() - kRecordHeaderBytes && load_le<uint16_t>(rest.data() + 2) == 0) {
        status = apply_record(static_cast<RecordType>(rest[0]), static_cast<uint8_t>(rest[1]),
                              rest.substr(kRecordHeaderBytes, size));
        rest.remove_prefix(kRecordHeaderBytes + size);
      }
    }
    if (status.ok()) continue;
    if (status.code() != StatusCode::kCorruption) return status;
    return reader.refuse(
        reader.batch().offset,
        "batch " + std::to_string(reader.batch().header.number) + ": " + status.message());
  }
  if (rest.empty()) return Status();
  return reader.refuse(reader.batch().offset, "bytes behind the last record of the batch");
}

Status Recovery::apply_record(RecordType type, uint8_t tag, std::string_view body) {
  const auto field = [&](size_t i) { return load_le<uint64_t>(body.data() + 8 * i); };
  switch (type) {
    case RecordType::kEntry: return apply_entry(tag, body);
    case RecordType::kHardState:
      if (body.size() != kHardStateBytes || tag != 0) return corruption("malformed hard state");
      recovered_.hard_state = HardState{field(0), field(1), field(2)};
      return Status();
    case RecordType::kSnapshotMark:
      if (body.size() != kSnapshotMarkBytes || tag > kMarkReplacesLog) {
        return corruption("malformed snapshot mark");
      }
      apply_mark({field(0), field(1), tag == kMarkReplacesLog});
      return Status();
  }
  return corruption("unknown record type " + std::to_string(static_cast<int>(type)));
}

Status Recovery::apply_entry(uint8_t type, std::string_view body) {
  if (body.size() < kEntryPrefixBytes) return corruption("malformed entry");
  const EntryRecord entry{load_le<uint64_t>(body.data()), load_le<uint64_t>(body.data() + 8), type,
                          body.substr(kEntryPrefixBytes)};
  const uint64_t last = recovered_.last_index;
  if (entry.index == 0 || (log_started_ && entry.index > last + 1)) {
    return corruption("entry " + std::to_string(entry.index) + " after entry " +
                      std::to_string(last));
  }
  if (!log_started_ || entry.index < recovered_.first_index) recovered_.first_index = entry.index;
  log_started_ = true;
  recovered_.last_index = entry.index;
  uint64_t& max_index = segments_.back().max_index;
  max_index = std::max(max_index, entry.index);

  if (delivered_last_ >= entry.index) {
    sink_.drop_from(entry.index);
    delivered_last_ = entry.index > options_.first_index ? entry.index - 1 : 0;
  }
  if (entry.index < options_.first_index) return Status();
  delivered_last_ = entry.index;
  return sink_.append(entry);
}

void Recovery::apply_mark(const SnapshotMark& mark) {
  recovered_.snapshot = mark;
  if (!mark.replaces_log) return;
  if (delivered_last_ != 0) sink_.drop_from(0);
  delivered_last_ = 0;
  log_started_ = true;
  recovered_.first_index = mark.index + 1;
  recovered_.last_index = mark.index;
}

}  // namespace mortise::wal
