#include "host/etcd_dir/log.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "host/etcd_dir/raftpb.h"
#include "host/wire/codec.h"

namespace mortise::etcd_dir {
namespace {

namespace fs = std::filesystem;

// Snapshots that no hard state has shown to be committed yet.
constexpr size_t kOpenSnapshotsMax = 10000;

struct Segment {
  uint64_t sequence = 0;
  uint64_t first_index = 0;  // Of the entry that comes first in it, if it has one.
  std::string name;
};

bool parse_hex16(std::string_view text, uint64_t* out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out, 16);
  return text.size() == 16 && error == std::errc() && end == text.data() + text.size();
}

bool parse_segment_name(std::string_view name, Segment* segment) {
  constexpr std::string_view kSuffix = ".wal";
  if (name.size() != 16 + 1 + 16 + kSuffix.size() || name[16] != '-' || !name.ends_with(kSuffix)) {
    return false;
  }
  segment->name = name;
  return parse_hex16(name.substr(0, 16), &segment->sequence) &&
         parse_hex16(name.substr(17, 16), &segment->first_index);
}

// In order.
Result<std::vector<Segment>> list_segments(const std::string& dir) {
  std::vector<Segment> segments;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(dir, error)) {
    Segment segment;
    if (parse_segment_name(entry.path().filename().string(), &segment)) {
      segments.push_back(std::move(segment));
    }
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return errno_status(error.value(), "cannot read directory " + dir);
  }
  std::sort(segments.begin(), segments.end(),
            [](const Segment& a, const Segment& b) { return a.sequence < b.sequence; });
  for (size_t i = 1; i < segments.size(); ++i) {
    if (segments[i].sequence != segments[i - 1].sequence + 1) {
      return corruption("a file of the log is missing in " + dir + " between " +
                        segments[i - 1].name + " and " + segments[i].name);
    }
  }
  return segments;
}

// Takes the records that are about the whole log.
class Summary {
 public:
  Status take(const WalReader& reader, const WalRecord& record);
  // The newest snapshot that is committed.
  void settle(Log* log);

 private:
  Status take_metadata(const WalReader& reader, std::string_view data);
  void note_commit();

  bool has_metadata_ = false;
  std::string metadata_;
  uint64_t member_id_ = 0;
  uint64_t cluster_id_ = 0;
  raft::HardState state_;
  SnapshotPoint committed_;
  std::vector<SnapshotPoint> open_;
};

Status Summary::take_metadata(const WalReader& reader, std::string_view data) {
  if (has_metadata_) {
    return data == metadata_ ? Status() : reader.refuse("the log is of two different members");
  }
  has_metadata_ = true;
  metadata_ = data;
  wire::FieldReader fields(data);
  wire::Field f;
  while (fields.next(&f)) {
    if (f.is_varint(1)) member_id_ = f.varint;
    if (f.is_varint(2)) cluster_id_ = f.varint;
  }
  if (fields.failed() || member_id_ == 0) return reader.refuse("malformed metadata");
  return Status();
}

void Summary::note_commit() {
  std::erase_if(open_, [this](SnapshotPoint& point) {
    if (point.index > state_.commit) return false;
    committed_ = std::move(point);
    return true;
  });
}

Status Summary::take(const WalReader& reader, const WalRecord& record) {
  switch (record.type) {
    case kMetadataRecord: return take_metadata(reader, record.data);
    case kEntryRecord: {
      LogEntry entry;
      return decode_entry(record.data, &entry) ? Status() : reader.refuse("malformed entry");
    }
    case kStateRecord:
      if (!decode_hard_state(record.data, &state_)) return reader.refuse("malformed hard state");
      note_commit();
      return Status();
    case kSnapshotRecord:
      if (!decode_snapshot_point(record.data, &open_.emplace_back())) {
        return reader.refuse("malformed snapshot record");
      }
      if (open_.size() > kOpenSnapshotsMax) return reader.refuse("too many snapshot records");
      return Status();
    default: return reader.refuse("a record of unknown type " + std::to_string(record.type));
  }
}

void Summary::settle(Log* log) {
  note_commit();
  log->member_id = member_id_;
  log->cluster_id = cluster_id_;
  log->state = state_;
  log->snapshot = std::move(committed_);
}

// Where reading for the entries behind `index` begins; kCorruption if they are not all there.
Result<size_t> first_needed(const Log& log) {
  for (size_t i = log.segments.size(); i-- > 0;) {
    Segment segment;
    parse_segment_name(fs::path(log.segments[i]).filename().string(), &segment);
    if (segment.first_index <= log.snapshot.index) return i;
  }
  return corruption(log.segments.front() + ": offset 0: the log begins behind entry " +
                    std::to_string(log.snapshot.index) + ", its last snapshot");
}

}  // namespace

bool is_segment_name(std::string_view name) {
  Segment segment;
  return parse_segment_name(name, &segment);
}

bool has_log(const std::string& dir) {
  auto segments = list_segments(dir);
  return !segments.ok() || !segments->empty();
}

Result<Log> read_log(const std::string& dir) {
  MORTISE_ASSIGN_OR_RETURN(const auto segments, list_segments(dir));
  if (segments.empty()) return not_found("there is no log in " + dir);
  Log log;
  for (const Segment& segment : segments) log.segments.push_back(dir + "/" + segment.name);
  WalReader reader(log.segments);
  Summary summary;
  WalRecord record;
  for (;;) {
    MORTISE_ASSIGN_OR_RETURN(const bool more, reader.next(&record));
    if (!more) break;
    MORTISE_RETURN_IF_ERROR(summary.take(reader, record));
  }
  summary.settle(&log);
  log.end = reader.end();
  if (log.member_id == 0) {
    return corruption(log.segments.front() + ": offset 0: the log does not say whose it is");
  }
  return log;
}

Result<uint64_t> read_entries(const Log& log, const std::function<Status(const LogEntry&)>& visit) {
  MORTISE_ASSIGN_OR_RETURN(const size_t begin, first_needed(log));
  WalReader reader({log.segments.begin() + static_cast<ptrdiff_t>(begin), log.segments.end()});
  uint64_t last = log.snapshot.index;
  WalRecord record;
  for (;;) {
    MORTISE_ASSIGN_OR_RETURN(const bool more, reader.next(&record));
    if (!more) return last;
    LogEntry entry;
    if (record.type != kEntryRecord || !decode_entry(record.data, &entry)) continue;
    if (entry.index <= log.snapshot.index) continue;
    if (entry.index > last + 1) {
      return reader.refuse("entry " + std::to_string(entry.index) + " comes after entry " +
                           std::to_string(last));
    }
    MORTISE_RETURN_IF_ERROR(visit(entry));
    last = entry.index;
  }
}

}  // namespace mortise::etcd_dir
