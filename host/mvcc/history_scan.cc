#include "host/mvcc/history_scan.h"

#include "host/wire/key_value.h"

namespace mortise::mvcc {
namespace {

// Of one key: about as many as the two searches cost that then take their place.
constexpr int64_t kRowsWalkedMax = 64;
// Of values passed over in `current`, which take as long as a step here.
constexpr uint64_t kStepCostBytes = 256;

// Behind all rows of the key, before those of the next one.
std::string behind(std::string prefix) {
  prefix.back() = '\x01';
  return prefix;
}

}  // namespace

Result<HistoryScan> HistoryScan::open(const store::Reader& reader, const KeyRange& range,
                                      int64_t revision) {
  HistoryScan scan;
  scan.reader_ = &reader;
  scan.revision_ = revision;
  MORTISE_ASSIGN_OR_RETURN(scan.cursor_, reader.cursor(store::kKeyHistory));
  std::string lower = history_prefix(range.lower);
  if (range.single) {
    scan.upper_ = behind(lower);
  } else if (!range.upper.empty()) {
    scan.upper_ = history_prefix(range.upper);
  }
  MORTISE_RETURN_IF_ERROR(scan.cursor_.seek(lower, scan.upper_));
  scan.step();
  return scan;
}

void HistoryScan::step() {
  cost_bytes_ += kStepCostBytes;
  std::string_view row;
  has_row_ = cursor_.next(&row, &row_value_);
  if (!has_row_) {
    if (!cursor_.status().ok()) status_ = cursor_.status();
    return;
  }
  if (!split_history_key(row, &row_prefix_, &row_main_)) {
    status_ = corruption("a key history row has a malformed name");
    has_row_ = false;
  }
}

bool HistoryScan::take_version(int64_t main, std::string_view value) {
  main_ = main;
  if (!decode_history_value(value, &version_)) {
    status_ = corruption("a key history row is malformed");
    return false;
  }
  is_live_ = !version_.tombstone;
  return true;
}

bool HistoryScan::next(Want want, std::string_view* key_value) {
  while (next_key()) {
    if (is_live_) return read(want, key_value);
  }
  return false;
}

bool HistoryScan::next_key() {
  is_live_ = false;
  if (!has_row_) return false;
  prefix_.assign(row_prefix_);
  for (int64_t rows = 0; has_row_ && row_prefix_ == prefix_; ++rows, step()) {
    if (rows == kRowsWalkedMax) return skip_versions();
    if (row_main_ <= revision_ && !take_version(row_main_, row_value_)) return false;
  }
  return status_.ok();
}

bool HistoryScan::skip_versions() {
  if (row_main_ <= revision_) status_ = find_newest();
  if (status_.ok()) status_ = cursor_.seek(behind(prefix_), upper_);
  if (!status_.ok()) return false;
  cost_bytes_ += kRowsWalkedMax * kStepCostBytes;
  step();
  return status_.ok();
}

Status HistoryScan::find_newest() {
  if (!newest_.is_open()) {
    MORTISE_ASSIGN_OR_RETURN(newest_, reader_->cursor(store::kKeyHistory, MORTISE_CURSOR_REVERSE));
  }
  std::string upper = prefix_ + std::string(8, '\0');
  put_u64_be(upper.data() + prefix_.size(), static_cast<uint64_t>(revision_) + 1);
  MORTISE_RETURN_IF_ERROR(newest_.seek(prefix_, upper));
  std::string_view row, value, prefix;
  int64_t main;
  if (!newest_.next(&row, &value)) return newest_.status();
  if (!split_history_key(row, &prefix, &main)) {
    return corruption("a key history row has a malformed name");
  }
  take_version(main, value);
  return status_;
}

Status HistoryScan::user_key(std::string* key) const {
  if (decode_history_prefix(prefix_, key)) return Status();
  return corruption("a key history row has a malformed name");
}

bool HistoryScan::read(Want want, std::string_view* key_value) {
  if (want == Want::kNothing) return true;
  if (want == Want::kKeyValue || version_.version == 0) return load(key_value);
  std::string key;
  status_ = user_key(&key);
  if (!status_.ok()) return false;
  wire::KeyValue kv;
  kv.key = key;
  kv.create_revision = version_.create_revision;
  kv.mod_revision = main_;
  kv.version = version_.version;
  bytes_.clear();
  wire::append_key_value(&bytes_, kv);
  *key_value = bytes_;
  return true;
}

bool HistoryScan::load(std::string_view* key_value) {
  char name[kRevisionBytesMax];
  size_t size = write_revision(name, Revision{main_, version_.sub}, false);
  bool found;
  status_ = reader_->get(store::kRevisions, std::string_view(name, size), &found, key_value);
  if (status_.ok() && !found) {
    status_ = corruption("revision " + std::to_string(main_) + " of a key's history is not stored");
  }
  if (status_.ok()) cost_bytes_ += key_value->size();
  return status_.ok();
}

}  // namespace mortise::mvcc
