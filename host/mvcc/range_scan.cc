#include "host/mvcc/range_scan.h"

namespace mortise::mvcc {
namespace {

// A stretch that has cost this much is dear if it had fewer keys: more than 2 KiB each.
constexpr uint64_t kStretchBytes = 64 << 10;
constexpr uint64_t kStretchKeysMin = 32;

}  // namespace

Result<RangeScan> RangeScan::open(const ReadContext& context, const KeyRange& range,
                                  int64_t revision, Want want) {
  RangeScan scan;
  scan.context_ = &context;
  scan.range_ = range;
  scan.revision_ = revision;
  scan.want_ = want;
  scan.in_history_ = revision != context.revision;
  scan.may_change_ = want != Want::kKeyValue && !scan.in_history_ && context.overlay == nullptr;
  MORTISE_RETURN_IF_ERROR(scan.begin(range));
  return scan;
}

Status RangeScan::begin(const KeyRange& range) {
  if (in_history_) {
    MORTISE_ASSIGN_OR_RETURN(history_, HistoryScan::open(*context_->reader, range, revision_));
    return Status();
  }
  // Where values are not wanted, their sizes tell whether it is dear to pass them.
  uint32_t flags = want_ == Want::kNothing && !may_change_ ? MORTISE_CURSOR_KEYS_ONLY : 0;
  MORTISE_ASSIGN_OR_RETURN(current_, CurrentScan::open(*context_, range.lower, range.upper, flags));
  if (want_ == Want::kNothing) current_.spend_for_keys_only();
  return Status();
}

Status RangeScan::status() const {
  if (!status_.ok()) return status_;
  return in_history_ ? history_.status() : current_.status();
}

bool RangeScan::step(Want want, std::string_view* key_value) {
  if (!may_change_) {
    return in_history_ ? history_.next(want, key_value) : current_.next(&key_, key_value);
  }
  for (;;) {
    if (is_dear()) {
      status_ = change_keyspace();
      if (!status_.ok()) return false;
    }
    if (!in_history_) {
      if (!current_.next(&key_, key_value)) return false;
      stretch_bytes_ += key_value->size();
      ++stretch_keys_;
      return true;
    }
    if (!history_.next_key()) return false;
    stretch_bytes_ += history_.take_cost_bytes();
    if (!history_.is_live()) continue;
    ++stretch_keys_;
    return history_.read(want, key_value);
  }
}

bool RangeScan::is_dear() {
  if (stretch_bytes_ < kStretchBytes) return false;
  bool is_dear = stretch_keys_ < kStretchKeysMin;
  stretch_bytes_ = stretch_keys_ = 0;
  return is_dear;
}

// What is read next comes behind the last key, dead or alive.
Status RangeScan::change_keyspace() {
  std::string lower(key_);
  if (in_history_) MORTISE_RETURN_IF_ERROR(history_.user_key(&lower));
  lower.push_back('\0');
  KeyRange rest = range_;
  rest.lower = lower;
  in_history_ = !in_history_;
  return begin(rest);
}

}  // namespace mortise::mvcc
