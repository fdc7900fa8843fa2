// Keys of any length over LMDB, which takes keys of 511 bytes at most.
//
// A key shorter than kStubBytes is a row of its keyspace's database as it is. All longer keys that
// share their first kStubBytes bytes are in a tree of their own: the keyspace has a stub (those
// bytes -> tree number), and the database "long-keys" has the tree's rows under <tree number,
// big-endian><rest of the key>. A rest of kChunkBytes or more is split the same way again, to any
// depth. Rows are then in memcmp order within a tree, and the whole tree stands where its stub
// stands. A tree is never empty.
//
// Both classes work inside the caller's transaction, on the caller's thread; return codes are
// LMDB's, and MDB_NOTFOUND is the normal end. Spans are into the map, except keys of long rows,
// which are in the cursor.
#pragma once

#include <lmdb.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/backend_lmdb/generation.h"

namespace mortise::lmdb {

constexpr size_t kStubBytes = 500;
constexpr size_t kChunkBytes = 480;

inline MDB_val to_val(std::string_view bytes) {
  return MDB_val{bytes.size(), const_cast<char*>(bytes.data())};
}
inline std::string_view to_view(const MDB_val& val) {
  return std::string_view(static_cast<const char*>(val.mv_data), val.mv_size);
}

// <tree number><chunk>, as a row of "long-keys" has it.
void long_row_key(uint64_t tree, std::string_view chunk, std::string& out);
// The tree number in a stub's value. False if it is none.
bool stub_tree(const MDB_val& value, uint64_t& tree);

// MDB_NOTFOUND if it is not there.
int logical_get(const Generation& generation, MDB_txn* txn, uint32_t keyspace, std::string_view key,
                std::string_view& value);

class LogicalCursor {
 public:
  LogicalCursor() = default;
  ~LogicalCursor();
  LogicalCursor(const LogicalCursor&) = delete;
  LogicalCursor& operator=(const LogicalCursor&) = delete;

  int open(const Generation& generation, MDB_txn* txn, uint32_t keyspace);
  // First key >= `key`; an empty `key` is the start.
  int seek_ge(std::string_view key);
  // Last key < `key`.
  int seek_lt(std::string_view key);
  int first() { return start(MDB_FIRST); }
  int last() { return start(MDB_LAST); }
  // Only while valid.
  int next() { return step(MDB_NEXT); }
  int prev() { return step(MDB_PREV); }

  bool valid() const { return valid_; }
  std::string_view key() const { return key_; }
  std::string_view value() const { return value_; }

 private:
  struct Level {
    uint64_t tree;
    size_t key_offset;  // Where the tree's rests begin in the key.
  };

  int start(MDB_cursor_op op);
  int step(MDB_cursor_op op);
  int open_long();
  // Takes the row that the cursor of the level stands on, and goes down through stubs to a key.
  int take(int rc, MDB_cursor_op direction);
  int descend(const MDB_val& stub, MDB_cursor_op direction);
  // The tree of the last level is left: stands on its stub, then steps.
  int leave(MDB_cursor_op direction);
  int seek_in_tree(std::string_view key, bool& left);
  int fail(int rc);

  const Generation* generation_ = nullptr;
  MDB_txn* txn_ = nullptr;
  MDB_cursor* main_ = nullptr;
  MDB_cursor* long_ = nullptr;  // Opened when the first stub is met.
  std::vector<Level> levels_;
  bool valid_ = false;
  MDB_val row_key_{};
  MDB_val row_value_{};
  std::string long_key_;  // The logical key, while in a tree.
  std::string scratch_;
  std::string_view key_;
  std::string_view value_;
};

}  // namespace mortise::lmdb
