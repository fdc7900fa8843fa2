// One RocksDB database in a store's directory, opened with its sixteen keyspaces.
//
// A keyspace is a column family; the default column family holds the applied position, written in
// the same batch as the rows it belongs to. Readers and the store share ownership; whoever lets go
// last closes the database, and removes it if it was superseded. Any thread may use it, as RocksDB
// allows.
#pragma once

#include <rocksdb/db.h>

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "mortise/abi/backend.h"
#include "plugins/backend_rocksdb/errors.h"
#include "plugins/backend_rocksdb/settings.h"

namespace mortise::backend_rocksdb {

struct Position {
  uint64_t index = 0;
  uint64_t term = 0;
};

class Generation {
 public:
  // Opens the database in `path`, or makes it if `create`. `options` are those of the engine.
  static Status open(const std::string& path, const rocksdb::Options& options, bool create,
                     std::shared_ptr<Generation>& out);
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  rocksdb::DB& db() const { return *db_; }
  const std::string& path() const { return path_; }
  rocksdb::ColumnFamilyHandle* keyspace(uint32_t number) const { return keyspaces_[number]; }

  // All column families, the one of the position first.
  const std::vector<rocksdb::ColumnFamilyHandle*>& families() const { return handles_; }

  // Adds the position to a batch.
  rocksdb::Status put_position(rocksdb::WriteBatch& batch, Position position) const;
  // The position of the newest visible commit; {0, 0} if there was none.
  Status read_position(Position& out) const;

  // Makes everything written so far durable, in one step over all keyspaces.
  Status flush() const;

  // Removes the files when the last user has gone.
  void doom() { doomed_.store(true, std::memory_order_relaxed); }

 private:
  explicit Generation(std::string path) : path_(std::move(path)) {}

  const std::string path_;
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> handles_;
  std::array<rocksdb::ColumnFamilyHandle*, MORTISE_KEYSPACE_COUNT_MAX> keyspaces_{};
  std::atomic<bool> doomed_{false};
};

}  // namespace mortise::backend_rocksdb
