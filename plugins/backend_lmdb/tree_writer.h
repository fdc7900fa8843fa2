// Writes logical keys (see logical_cursor.h) inside one LMDB write transaction.
//
// Made for one transaction, used by its thread, gone before it ends. Return codes are LMDB's. Rows
// that come in ascending order are cheap; those beyond the end of their database are appended,
// which leaves full pages.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "plugins/backend_lmdb/generation.h"

namespace mortise::lmdb {

class TreeWriter {
 public:
  // `next_tree` is the state's; it is raised as trees are made.
  TreeWriter(const Generation& generation, MDB_txn* txn, uint64_t& next_tree)
      : generation_(generation), txn_(txn), next_tree_(next_tree) {}
  ~TreeWriter();
  TreeWriter(const TreeWriter&) = delete;
  TreeWriter& operator=(const TreeWriter&) = delete;

  int put(uint32_t keyspace, std::string_view key, std::string_view value);
  // A key that is not there is fine.
  int remove(uint32_t keyspace, std::string_view key);

 private:
  struct Table {
    MDB_cursor* cursor = nullptr;
    std::string last;  // Not less than any key in the database.
  };

  int open_table(Table& table, MDB_dbi dbi);
  int put_row(Table& table, MDB_dbi dbi, std::string_view key, std::string_view value);
  int remove_row(Table& table, MDB_dbi dbi, std::string_view key);
  int put_long(uint32_t keyspace, std::string_view key, std::string_view value);
  int remove_long(uint32_t keyspace, std::string_view key);
  int find_stub(Table& table, MDB_dbi dbi, std::string_view row, uint64_t& tree);
  int find_or_make_stub(Table& table, MDB_dbi dbi, std::string_view row, uint64_t& tree);
  int tree_is_empty(uint64_t tree, bool& empty);

  const Generation& generation_;
  MDB_txn* txn_;
  uint64_t& next_tree_;
  std::array<Table, MORTISE_KEYSPACE_COUNT_MAX> tables_;
  Table long_table_;
  std::string row_;
};

}  // namespace mortise::lmdb
