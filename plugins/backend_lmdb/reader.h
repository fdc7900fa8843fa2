// Readers and cursors as the ABI has them, over a Snapshot. One thread at a time for a reader and
// its cursors.
#pragma once

#include <memory>
#include <string_view>

#include "plugins/backend_lmdb/merge.h"

namespace mortise::lmdb {

class Cursor {
 public:
  Cursor(Snapshot& snapshot, uint32_t keyspace, uint32_t flags);
  Status open() { return merge_.open(); }
  Status seek(std::string_view lower, std::string_view upper) { return merge_.seek(lower, upper); }
  Status next(std::string_view& key, std::string_view& value);

 private:
  MergeCursor merge_;
  const bool keys_only_;
};

class Reader {
 public:
  using Cursor = lmdb::Cursor;

  Status get(uint32_t keyspace, std::string_view key, std::string_view& value);
  Status cursor_open(uint32_t keyspace, uint32_t flags, std::unique_ptr<Cursor>& out);
  Snapshot& snapshot() { return snapshot_; }

 private:
  Snapshot snapshot_;
};

}  // namespace mortise::lmdb
