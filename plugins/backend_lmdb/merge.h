// What a reader sees: memtables over LMDB, joined so that the newest version of a key wins and a
// deleted key is not there.
//
// A View names memtables and a generation that belong together. It is immutable and shared; the
// store publishes a new one when a memtable is frozen, has been unloaded, or the generation
// changes. A Snapshot adds a sequence number and an LMDB transaction, both fixed when it is opened.
//
// Invariant that makes the parts fit: LMDB may hold rows of the oldest frozen memtable of a view
// that is being unloaded, wholly or in part. A snapshot opened then has a sequence number not less
// than any in that memtable, and sees these rows in the memtable first; one opened before has an
// older LMDB transaction.
//
// A Snapshot is used by one thread at a time.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/backend_lmdb/generation.h"
#include "plugins/backend_lmdb/logical_cursor.h"
#include "plugins/backend_lmdb/memtable.h"

namespace mortise::lmdb {

struct View {
  std::vector<std::shared_ptr<Memtable>> memtables;  // Newest first; [0] is the active one.
  std::shared_ptr<Generation> generation;
};

class Snapshot {
 public:
  Snapshot() = default;
  ~Snapshot();
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  // The caller keeps the view from being replaced during the call. An LMDB return code.
  int open(std::shared_ptr<const View> view, uint64_t seq);
  Status get(uint32_t keyspace, std::string_view key, std::string_view& value);

  const View& view() const { return *view_; }
  uint64_t seq() const { return seq_; }
  MDB_txn* txn() const { return txn_; }
  Status read_error(int rc) const;

 private:
  std::shared_ptr<const View> view_;
  uint64_t seq_ = 0;
  MDB_txn* txn_ = nullptr;
};

// Walks one keyspace of a snapshot that outlives it, in either direction.
class MergeCursor {
 public:
  MergeCursor(Snapshot& snapshot, uint32_t keyspace, bool reverse);

  Status open();
  // Before the first key of [lower, upper), or after the last if reverse; an empty bound is none.
  Status seek(std::string_view lower, std::string_view upper);
  // Spans live until the next call. NOT_FOUND at the end.
  Status next(std::string_view& key, std::string_view& value);

 private:
  // A memtable's part of the walk: stands on a node that the snapshot sees, or nowhere.
  struct Layer {
    const SkipList* list = nullptr;
    const Node* node = nullptr;
    const Version* version = nullptr;
    bool step_first = false;  // The node was handed out: step before the next comparison.
  };

  void settle(Layer& layer);
  void step(Layer& layer);
  Status step_base();
  bool is_before(std::string_view a, std::string_view b) const;  // In the direction of the walk.
  bool in_bounds(std::string_view key) const;

  Snapshot& snapshot_;
  const uint32_t keyspace_;
  const bool reverse_;
  bool done_ = true;
  bool step_base_first_ = false;
  std::vector<Layer> layers_;  // Newest first.
  LogicalCursor base_;
  uint64_t walked_bytes_ = 0;
  std::string lower_;
  std::string upper_;
  bool has_upper_ = false;
};

}  // namespace mortise::lmdb
