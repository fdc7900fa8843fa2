// Live keys of a range as they were at an older revision, in key order.
#pragma once

#include <string>

#include "host/mvcc/view.h"

namespace mortise::mvcc {

class HistoryScan {
 public:
  // `reader` outlives the scan. A single-key range is allowed.
  static Result<HistoryScan> open(const store::Reader& reader, const KeyRange& range,
                                  int64_t revision);
  // The next live key. With `value` *key_value holds its KeyValue bytes, valid until the next call.
  bool next(bool value, std::string_view* key_value);
  const Status& status() const { return status_; }

 private:
  bool load(std::string_view* key_value);

  const store::Reader* reader_ = nullptr;
  store::Cursor cursor_;
  int64_t revision_ = 0;
  Status status_;
  bool has_row_ = false;
  std::string_view row_prefix_;
  std::string_view row_value_;
  int64_t row_main_ = 0;
  void step();

  // The newest row of the current key at or below the revision.
  std::string prefix_;
  int64_t main_ = 0;
  HistoryValue version_;
};

}  // namespace mortise::mvcc
