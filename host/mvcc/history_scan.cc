#include "host/mvcc/history_scan.h"

namespace mortise::mvcc {

Result<HistoryScan> HistoryScan::open(const store::Reader& reader, const KeyRange& range,
                                      int64_t revision) {
  HistoryScan scan;
  scan.reader_ = &reader;
  scan.revision_ = revision;
  MORTISE_ASSIGN_OR_RETURN(scan.cursor_, reader.cursor(store::kKeyHistory));
  std::string lower = history_prefix(range.lower);
  std::string upper;
  if (range.single) {
    upper = lower;
    upper.back() = '\x01';  // Behind all rows of the key, before those of the next one.
  } else if (!range.upper.empty()) {
    upper = history_prefix(range.upper);
  }
  MORTISE_RETURN_IF_ERROR(scan.cursor_.seek(lower, upper));
  scan.step();
  return scan;
}

void HistoryScan::step() {
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

bool HistoryScan::next(bool value, std::string_view* key_value) {
  while (has_row_) {
    prefix_.assign(row_prefix_);
    bool exists = false;
    for (; has_row_ && row_prefix_ == prefix_; step()) {
      if (row_main_ > revision_) continue;
      exists = true;
      main_ = row_main_;
      if (!decode_history_value(row_value_, &version_)) {
        status_ = corruption("a key history row is malformed");
        return false;
      }
    }
    if (!status_.ok()) return false;
    if (!exists || version_.tombstone) continue;
    if (!value) return true;
    return load(key_value);
  }
  return false;
}

bool HistoryScan::load(std::string_view* key_value) {
  char name[kRevisionBytesMax];
  size_t size = write_revision(name, Revision{main_, version_.sub}, false);
  bool found;
  status_ = reader_->get(store::kRevisions, std::string_view(name, size), &found, key_value);
  if (status_.ok() && !found) {
    status_ = corruption("revision " + std::to_string(main_) + " of a key's history is not stored");
  }
  return status_.ok();
}

}  // namespace mortise::mvcc
