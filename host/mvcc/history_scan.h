// Keys of a range as they were at a revision, in key order, from the keyspace key_history.
//
// Made and used by one thread for one read; the reader outlives it. A key with many versions costs
// two searches, so the walk is as long as the number of keys, deleted ones included.
#pragma once

#include <string>
#include <utility>

#include "host/mvcc/view.h"

namespace mortise::mvcc {

// What is wanted of each key.
enum class Want {
  kNothing,    // Only that it is there.
  kRevisions,  // KeyValue bytes whose value and lease do not count, and may be missing.
  kKeyValue,
};

class HistoryScan {
 public:
  // A single-key range is allowed.
  static Result<HistoryScan> open(const store::Reader& reader, const KeyRange& range,
                                  int64_t revision);
  // The next live key, and of it what is wanted. *key_value is valid until the next call.
  bool next(Want want, std::string_view* key_value);

  // The same in parts, for who must not walk over deleted keys for long: the next key of any kind,
  // whether it lives, what it is called, and what is wanted of a live one.
  bool next_key();
  bool is_live() const { return is_live_; }
  Status user_key(std::string* key) const;
  bool read(Want want, std::string_view* key_value);
  // What the calls since the last one have cost, in bytes of values passed over.
  uint64_t take_cost_bytes() { return std::exchange(cost_bytes_, 0); }

  const Status& status() const { return status_; }

 private:
  void step();
  bool take_version(int64_t main, std::string_view value);
  Status find_newest();
  bool skip_versions();
  bool load(std::string_view* key_value);

  const store::Reader* reader_ = nullptr;
  store::Cursor cursor_;
  store::Cursor newest_;  // Reverse; opened when needed.
  std::string upper_;
  int64_t revision_ = 0;
  uint64_t cost_bytes_ = 0;
  Status status_;

  // Where the cursor stands: the first row of the next key.
  bool has_row_ = false;
  std::string_view row_prefix_;
  std::string_view row_value_;
  int64_t row_main_ = 0;

  // The key that next_key() has come to, and its newest version at or below the revision.
  std::string prefix_;
  bool is_live_ = false;
  int64_t main_ = 0;
  HistoryValue version_;
  std::string bytes_;  // What read() has made.
};

}  // namespace mortise::mvcc
