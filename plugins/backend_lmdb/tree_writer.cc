#include "plugins/backend_lmdb/tree_writer.h"

#include <vector>

#include "plugins/backend_lmdb/logical_cursor.h"

namespace mortise::lmdb {

TreeWriter::~TreeWriter() {
  for (Table& table : tables_) {
    if (table.cursor != nullptr) ::mdb_cursor_close(table.cursor);
  }
  if (long_table_.cursor != nullptr) ::mdb_cursor_close(long_table_.cursor);
}

int TreeWriter::open_table(Table& table, MDB_dbi dbi) {
  if (table.cursor != nullptr) return 0;
  int rc = ::mdb_cursor_open(txn_, dbi, &table.cursor);
  if (rc != 0) return rc;
  MDB_val key, value;
  rc = ::mdb_cursor_get(table.cursor, &key, &value, MDB_LAST);
  if (rc == 0) table.last.assign(to_view(key));
  return rc == MDB_NOTFOUND ? 0 : rc;
}

int TreeWriter::put_row(Table& table, MDB_dbi dbi, std::string_view key, std::string_view value) {
  int rc = open_table(table, dbi);
  if (rc != 0) return rc;
  MDB_val k = to_val(key);
  MDB_val v = to_val(value);
  if (key <= table.last) return ::mdb_cursor_put(table.cursor, &k, &v, 0);
  rc = ::mdb_cursor_put(table.cursor, &k, &v, MDB_APPEND);
  if (rc == MDB_KEYEXIST) rc = ::mdb_cursor_put(table.cursor, &k, &v, 0);
  if (rc == 0) table.last.assign(key);
  return rc;
}

int TreeWriter::remove_row(Table& table, MDB_dbi dbi, std::string_view key) {
  int rc = open_table(table, dbi);
  if (rc != 0) return rc;
  MDB_val k = to_val(key);
  MDB_val v;
  rc = ::mdb_cursor_get(table.cursor, &k, &v, MDB_SET);
  if (rc == MDB_NOTFOUND) return 0;
  return rc == 0 ? ::mdb_cursor_del(table.cursor, 0) : rc;
}

int TreeWriter::find_stub(Table& table, MDB_dbi dbi, std::string_view row, uint64_t& tree) {
  int rc = open_table(table, dbi);
  if (rc != 0) return rc;
  MDB_val k = to_val(row);
  MDB_val v;
  rc = ::mdb_cursor_get(table.cursor, &k, &v, MDB_SET);
  if (rc != 0) return rc;
  return stub_tree(v, tree) ? 0 : MDB_CORRUPTED;
}

int TreeWriter::find_or_make_stub(Table& table, MDB_dbi dbi, std::string_view row, uint64_t& tree) {
  const int rc = find_stub(table, dbi, row, tree);
  if (rc != MDB_NOTFOUND) return rc;
  tree = next_tree_++;
  std::string number;
  long_row_key(tree, {}, number);
  return put_row(table, dbi, row, number);
}

int TreeWriter::put_long(uint32_t keyspace, std::string_view key, std::string_view value) {
  uint64_t tree = 0;
  int rc = find_or_make_stub(tables_[keyspace], generation_.keyspace(keyspace),
                             key.substr(0, kStubBytes), tree);
  size_t at = kStubBytes;
  for (; rc == 0 && key.size() - at >= kChunkBytes; at += kChunkBytes) {
    long_row_key(tree, key.substr(at, kChunkBytes), row_);
    rc = find_or_make_stub(long_table_, generation_.long_keys(), row_, tree);
  }
  if (rc != 0) return rc;
  long_row_key(tree, key.substr(at), row_);
  return put_row(long_table_, generation_.long_keys(), row_, value);
}

int TreeWriter::tree_is_empty(uint64_t tree, bool& empty) {
  long_row_key(tree, {}, row_);
  const std::string number = row_;
  MDB_val k = to_val(number);
  MDB_val v;
  const int rc = ::mdb_cursor_get(long_table_.cursor, &k, &v, MDB_SET_RANGE);
  empty = rc == MDB_NOTFOUND || (rc == 0 && !to_view(k).starts_with(number));
  return rc == MDB_NOTFOUND ? 0 : rc;
}

int TreeWriter::remove_long(uint32_t keyspace, std::string_view key) {
  const MDB_dbi main = generation_.keyspace(keyspace);
  std::vector<uint64_t> trees(1);
  int rc = find_stub(tables_[keyspace], main, key.substr(0, kStubBytes), trees[0]);
  size_t at = kStubBytes;
  for (; rc == 0 && key.size() - at >= kChunkBytes; at += kChunkBytes) {
    uint64_t tree = 0;
    long_row_key(trees.back(), key.substr(at, kChunkBytes), row_);
    rc = find_stub(long_table_, generation_.long_keys(), row_, tree);
    trees.push_back(tree);
  }
  if (rc == MDB_NOTFOUND) return 0;
  if (rc != 0) return rc;
  long_row_key(trees.back(), key.substr(at), row_);
  rc = remove_row(long_table_, generation_.long_keys(), row_);
  while (rc == 0) {
    bool empty = false;
    rc = tree_is_empty(trees.back(), empty);
    if (rc != 0 || !empty) return rc;
    trees.pop_back();
    if (trees.empty()) {
      return remove_row(tables_[keyspace], main, key.substr(0, kStubBytes));
    }
    at -= kChunkBytes;
    long_row_key(trees.back(), key.substr(at, kChunkBytes), row_);
    rc = remove_row(long_table_, generation_.long_keys(), row_);
  }
  return rc;
}

int TreeWriter::put(uint32_t keyspace, std::string_view key, std::string_view value) {
  if (key.size() >= kStubBytes) return put_long(keyspace, key, value);
  return put_row(tables_[keyspace], generation_.keyspace(keyspace), key, value);
}

int TreeWriter::remove(uint32_t keyspace, std::string_view key) {
  if (key.size() >= kStubBytes) return remove_long(keyspace, key);
  return remove_row(tables_[keyspace], generation_.keyspace(keyspace), key);
}

}  // namespace mortise::lmdb
