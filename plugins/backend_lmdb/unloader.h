// Takes a frozen memtable, or the run file of one, into LMDB.
//
// A small one goes in by one transaction. A large one goes in by several, so that dirty pages in
// memory stay bounded; it must have a durable run file then: the first transaction notes its number
// as `redo_run`, the last one clears it and moves the position. Every transaction is synced as LMDB
// does by default: data, then the meta page, so a power loss never leaves a torn tree.
//
// Used by the store's flush thread, at open, and where a generation is copied; one at a time on a
// generation.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "plugins/backend_lmdb/generation.h"
#include "plugins/backend_lmdb/memtable.h"
#include "plugins/backend_lmdb/run_file.h"
#include "plugins/backend_lmdb/tree_writer.h"

namespace mortise::lmdb {

// The newest rows of a frozen memtable.
class MemtableSource : public EntrySource {
 public:
  explicit MemtableSource(const Memtable& table) : table_(table) { to_keyspace(0); }
  Status next(Entry& entry, bool& more) override;
  void mark() override { marked_ = at_; }
  Status rewind() override {
    at_ = marked_;
    return Status();
  }
  uint64_t count(uint32_t keyspace) const override { return table_.list(keyspace).count(); }

 private:
  struct Place {
    uint32_t keyspace = 0;
    const Node* node = nullptr;
  };
  void to_keyspace(uint32_t keyspace);

  const Memtable& table_;
  Place at_;
  Place marked_;
};

class Unloader {
 public:
  // Called when the map is full: must give back a generation of the same content with a larger map.
  using Grow = std::function<Status(std::shared_ptr<Generation>& generation)>;

  Unloader(std::shared_ptr<Generation>& generation, const Options& options, Grow grow)
      : generation_(generation), options_(options), grow_(std::move(grow)) {}

  // Could this source dirty more pages than one transaction may?
  static bool is_large(const Options& options, const EntrySource& source, uint64_t payload_bytes);

  // Takes all rows in. `large` needs a durable run file of header.run.
  Status unload(EntrySource& source, const RunHeader& header, bool large);
  // Takes in all runs of the directory that come after the generation's state, in order.
  Status unload_runs(const std::string& directory, const std::vector<uint64_t>& runs);

 private:
  // One transaction's worth. MDB_MAP_FULL is handed back with the transaction undone.
  int piece(EntrySource& source, const RunHeader& header, bool large, bool& more, Status& status);
  int fill(MDB_txn* txn, EntrySource& source, State& state, bool large, bool& more, Status& status);
  int estimate(MDB_txn* txn, const EntrySource& source);

  std::shared_ptr<Generation>& generation_;
  const Options& options_;
  Grow grow_;
  std::array<uint64_t, MORTISE_KEYSPACE_COUNT_MAX> row_cost_{};  // Dirty bytes of one row's pages.
};

}  // namespace mortise::lmdb
