// The live keys of a range in key order, as a read sees them: at the newest revision from `current`
// and what is not committed yet, at an older one from `key_history`.
//
// Who does not want values should not read them, and `key_history` has none; but it has deleted
// keys and old versions to walk over. So such a scan at the newest revision begins with `current`,
// and goes over to the other keyspace behind the key where it is, as often as it finds that a
// stretch has cost much for few keys:
//   a, b: 100 bytes     from `current`
//   c: 100 KB           from `current`, and that was dear
//   d, e: 100 KB        from `key_history`
//
// Made and used by one thread for one read; context and range outlive it.
#pragma once

#include "host/mvcc/history_scan.h"
#include "host/mvcc/view.h"

namespace mortise::mvcc {

class RangeScan {
 public:
  static Result<RangeScan> open(const ReadContext& context, const KeyRange& range, int64_t revision,
                                Want want);
  // The next key, and of it at least what is wanted. *key_value is valid until the next call.
  bool next(std::string_view* key_value) { return step(want_, key_value); }
  // The next key, of which nothing is wanted.
  bool skip() {
    std::string_view ignored;
    return step(Want::kNothing, &ignored);
  }
  Status status() const;

 private:
  Status begin(const KeyRange& range);
  bool step(Want want, std::string_view* key_value);
  bool is_dear();
  Status change_keyspace();

  const ReadContext* context_ = nullptr;
  KeyRange range_;
  int64_t revision_ = 0;
  Want want_ = Want::kKeyValue;
  bool in_history_ = false;
  CurrentScan current_;
  HistoryScan history_;
  Status status_;

  bool may_change_ = false;
  std::string_view key_;  // The last one in `current`.
  uint64_t stretch_bytes_ = 0;
  uint64_t stretch_keys_ = 0;
};

}  // namespace mortise::mvcc
