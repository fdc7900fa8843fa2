// What a read sees: a stable view of the store, its revision, and, on the apply thread, the writes
// of the batch that is not committed yet.
#pragma once

#include <functional>
#include <map>
#include <string_view>

#include "host/base/status.h"
#include "host/mvcc/revision.h"
#include "host/store/store.h"

namespace mortise::mvcc {

// The first revision of an empty store; the first write makes 2, as in etcd.
constexpr int64_t kFirstRevision = 1;
// No compaction has happened.
constexpr int64_t kNeverCompacted = -1;

// Row "state" of the meta keyspace: 8 bytes revision, 8 bytes compacted, little endian.
struct State {
  int64_t revision = kFirstRevision;
  int64_t compacted = kNeverCompacted;
};
constexpr std::string_view kStateKey = "state";
constexpr size_t kStateBytes = 16;
void write_state(char* p, const State& state);

// Newest KeyValue bytes of keys changed by the batch; a null view is a deleted key.
using Overlay = std::map<std::string_view, std::string_view>;

// Number of keys in each block of the key space, visited from the block that holds `lower` on.
// Returns false to stop.
class BlockCounts {
 public:
  virtual ~BlockCounts() = default;
  // Calls visit(block's lower bound, keys in it) in order until it returns false or blocks end.
  virtual Status visit(std::string_view lower,
                       const std::function<bool(std::string_view, uint64_t)>& visit) const = 0;
};

// Everything a read needs. Borrowed parts outlive it.
struct ReadContext {
  const store::Reader* reader = nullptr;
  const Overlay* overlay = nullptr;  // Null outside the apply thread.
  const BlockCounts* counts = nullptr;
  int64_t revision = kFirstRevision;  // The newest that this read sees.
  int64_t compacted = kNeverCompacted;
};

// A view of the committed store for any thread.
class View {
 public:
  static Result<View> open(const store::Store& store);
  const State& state() const { return state_; }
  const store::Reader& reader() const { return reader_; }
  void limit(store::ReadBudget* budget) { reader_.limit(budget); }

 private:
  store::Reader reader_;
  State state_;
};

Result<State> read_state(const store::Reader& reader);

// Keys in order with their newest KeyValue bytes: the current keyspace, with the overlay laid over
// it.
class CurrentScan {
 public:
  // Empty `upper`: to the end. Spans of next() live until the next call.
  static Result<CurrentScan> open(const ReadContext& context, std::string_view lower,
                                  std::string_view upper, uint32_t cursor_flags = 0);
  bool next(std::string_view* key, std::string_view* key_value);
  void spend_for_keys_only() { cursor_.spend_for_keys_only(); }
  const Status& status() const { return cursor_.status(); }

 private:
  void step_cursor() { has_row_ = cursor_.next(&row_key_, &row_value_); }
  store::Cursor cursor_;
  const Overlay* overlay_ = nullptr;
  Overlay::const_iterator at_;
  Overlay::const_iterator end_;
  bool has_row_ = false;
  bool step_due_ = false;
  std::string_view row_key_;
  std::string_view row_value_;
};

// Newest KeyValue bytes of one key; *found false if there is none. The view lives until the next
// read.
Status get_current(const ReadContext& context, std::string_view key, bool* found,
                   std::string_view* key_value);

// Bounds of a request's key and range_end as etcd reads them: an empty range_end is one key, "\0"
// all keys from `key` on.
struct KeyRange {
  bool single = true;
  bool empty = false;
  std::string_view lower;
  std::string_view upper;  // Empty: no end.
};
KeyRange key_range(std::string_view key, std::string_view range_end);

}  // namespace mortise::mvcc
