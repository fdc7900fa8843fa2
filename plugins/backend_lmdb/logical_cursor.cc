#include "plugins/backend_lmdb/logical_cursor.h"

#include <cstring>

namespace mortise::lmdb {
namespace {

constexpr size_t kTreeBytes = 8;

uint64_t big_endian(const char* from) {
  uint64_t value;
  std::memcpy(&value, from, sizeof(value));
  return __builtin_bswap64(value);
}

}  // namespace

void long_row_key(uint64_t tree, std::string_view chunk, std::string& out) {
  const uint64_t swapped = __builtin_bswap64(tree);
  out.assign(reinterpret_cast<const char*>(&swapped), sizeof(swapped));
  out.append(chunk);
}

bool stub_tree(const MDB_val& value, uint64_t& tree) {
  if (value.mv_size != kTreeBytes) return false;
  tree = big_endian(static_cast<const char*>(value.mv_data));
  return true;
}

int logical_get(const Generation& generation, MDB_txn* txn, uint32_t keyspace, std::string_view key,
                std::string_view& value) {
  MDB_val k = to_val(key.substr(0, kStubBytes));
  MDB_val v;
  int rc = ::mdb_get(txn, generation.keyspace(keyspace), &k, &v);
  if (key.size() >= kStubBytes) {
    std::string row;
    for (size_t at = kStubBytes; rc == 0;) {
      uint64_t tree;
      if (!stub_tree(v, tree)) return MDB_CORRUPTED;
      const std::string_view rest = key.substr(at);
      long_row_key(tree, rest.substr(0, kChunkBytes), row);
      k = to_val(row);
      rc = ::mdb_get(txn, generation.long_keys(), &k, &v);
      if (rest.size() < kChunkBytes) break;
      at += kChunkBytes;
    }
  }
  if (rc == 0) value = to_view(v);
  return rc;
}

LogicalCursor::~LogicalCursor() {
  if (long_ != nullptr) ::mdb_cursor_close(long_);
  if (main_ != nullptr) ::mdb_cursor_close(main_);
}

int LogicalCursor::open(const Generation& generation, MDB_txn* txn, uint32_t keyspace) {
  generation_ = &generation;
  txn_ = txn;
  return ::mdb_cursor_open(txn, generation.keyspace(keyspace), &main_);
}

int LogicalCursor::open_long() {
  if (long_ != nullptr) return 0;
  return ::mdb_cursor_open(txn_, generation_->long_keys(), &long_);
}

int LogicalCursor::fail(int rc) {
  valid_ = false;
  return rc;
}

int LogicalCursor::start(MDB_cursor_op op) {
  levels_.clear();
  const int rc = ::mdb_cursor_get(main_, &row_key_, &row_value_, op);
  return take(rc, op == MDB_FIRST ? MDB_NEXT : MDB_PREV);
}

int LogicalCursor::take(int rc, MDB_cursor_op direction) {
  for (;;) {
    if (levels_.empty()) {
      if (rc != 0) return fail(rc);
      const std::string_view row = to_view(row_key_);
      if (row.size() < kStubBytes) {
        key_ = row;
        break;
      }
      long_key_.assign(row);
      rc = descend(row_value_, direction);
      continue;
    }
    const Level level = levels_.back();
    const std::string_view row = to_view(row_key_);
    const bool in_tree =
        rc == 0 && row.size() >= kTreeBytes && big_endian(row.data()) == level.tree;
    if (rc != 0 && rc != MDB_NOTFOUND) return fail(rc);
    if (!in_tree) {
      rc = leave(direction);
      continue;
    }
    const std::string_view chunk = row.substr(kTreeBytes);
    long_key_.resize(level.key_offset);
    long_key_.append(chunk);
    if (chunk.size() < kChunkBytes) {
      key_ = long_key_;
      break;
    }
    rc = descend(row_value_, direction);
  }
  value_ = to_view(row_value_);
  valid_ = true;
  return 0;
}

// long_key_ ends with the chunk already. A tree that is met has rows: standing at its first or last
// one.
int LogicalCursor::descend(const MDB_val& stub, MDB_cursor_op direction) {
  uint64_t tree;
  if (!stub_tree(stub, tree)) return MDB_CORRUPTED;
  int rc = open_long();
  if (rc != 0) return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
  levels_.push_back({tree, long_key_.size()});
  long_row_key(direction == MDB_NEXT ? tree : tree + 1, {}, scratch_);
  row_key_ = to_val(scratch_);
  rc = ::mdb_cursor_get(long_, &row_key_, &row_value_, MDB_SET_RANGE);
  if (direction == MDB_PREV) {
    // At the row after the tree, or past the end.
    const MDB_cursor_op op = rc == MDB_NOTFOUND ? MDB_LAST : MDB_PREV;
    if (rc == 0 || rc == MDB_NOTFOUND) rc = ::mdb_cursor_get(long_, &row_key_, &row_value_, op);
  }
  return rc;
}

int LogicalCursor::leave(MDB_cursor_op direction) {
  const Level left = levels_.back();
  levels_.pop_back();
  if (levels_.empty()) return ::mdb_cursor_get(main_, &row_key_, &row_value_, direction);
  const Level parent = levels_.back();
  long_row_key(
      parent.tree,
      std::string_view(long_key_).substr(parent.key_offset, left.key_offset - parent.key_offset),
      scratch_);
  row_key_ = to_val(scratch_);
  const int rc = ::mdb_cursor_get(long_, &row_key_, &row_value_, MDB_SET);
  if (rc != 0) return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
  return ::mdb_cursor_get(long_, &row_key_, &row_value_, direction);
}

int LogicalCursor::step(MDB_cursor_op op) {
  MDB_cursor* cursor = levels_.empty() ? main_ : long_;
  return take(::mdb_cursor_get(cursor, &row_key_, &row_value_, op), op);
}

// One level down for a target that goes on below the stub: `left` is false if the stub was not the
// target's, and the cursor then stands on a row after the target.
int LogicalCursor::seek_in_tree(std::string_view key, bool& left) {
  const size_t at = long_key_.size();
  uint64_t tree;
  if (!stub_tree(row_value_, tree)) return MDB_CORRUPTED;
  int rc = open_long();
  if (rc != 0) return rc;
  levels_.push_back({tree, at});
  const std::string_view chunk = key.substr(at, kChunkBytes);
  long_row_key(tree, chunk, scratch_);
  const std::string wanted = scratch_;
  row_key_ = to_val(wanted);
  rc = ::mdb_cursor_get(long_, &row_key_, &row_value_, MDB_SET_RANGE);
  left = rc == 0 && chunk.size() == kChunkBytes && to_view(row_key_) == wanted;
  if (left) long_key_.append(chunk);
  return rc;
}

int LogicalCursor::seek_ge(std::string_view key) {
  if (key.empty()) return first();
  levels_.clear();
  const std::string_view head = key.substr(0, kStubBytes);
  row_key_ = to_val(head);
  int rc = ::mdb_cursor_get(main_, &row_key_, &row_value_, MDB_SET_RANGE);
  bool below = rc == 0 && head.size() == kStubBytes && to_view(row_key_) == head;
  if (below) long_key_.assign(head);
  while (below) rc = seek_in_tree(key, below);
  return take(rc, MDB_NEXT);
}

int LogicalCursor::seek_lt(std::string_view key) {
  if (key.empty()) return fail(MDB_NOTFOUND);
  const int rc = seek_ge(key);
  if (rc == MDB_NOTFOUND) return last();
  return rc == 0 ? prev() : rc;
}

}  // namespace mortise::lmdb
