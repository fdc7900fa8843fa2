// Views of a store, and the readers and cursors on them.
//
// A View is a RocksDB snapshot. All readers opened between two commits share one, so that opening a
// reader takes no lock of RocksDB's. A Reader and its cursors belong to one thread at a time; the
// spans they give live until the next call on the same object.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/iterator.h>
#include <rocksdb/options.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "plugins/backend_rocksdb/errors.h"
#include "plugins/backend_rocksdb/generation.h"

namespace mortise::backend_rocksdb {

class View {
 public:
  explicit View(std::shared_ptr<Generation> generation);
  ~View();
  View(const View&) = delete;
  View& operator=(const View&) = delete;

  const Generation& generation() const { return *generation_; }
  // For lookups in this view.
  const rocksdb::ReadOptions& read_options() const { return read_options_; }

 private:
  const std::shared_ptr<Generation> generation_;
  rocksdb::ReadOptions read_options_;
};

class Cursor {
 public:
  Cursor(const View& view, uint32_t keyspace, uint32_t flags);

  Status seek(std::string_view lower, std::string_view upper);
  Status next(std::string_view& key, std::string_view& value);

 private:
  enum class State { kUnpositioned, kAtFirst, kOnPair, kEnd };

  Status finish();

  const View& view_;
  rocksdb::ColumnFamilyHandle* const keyspace_;
  const bool reverse_;
  const bool keys_only_;
  State state_ = State::kUnpositioned;
  bool bounded_above_ = false;
  std::string lower_;
  std::string upper_;
  // RocksDB holds pointers to these while the iterator lives.
  rocksdb::Slice lower_slice_;
  rocksdb::Slice upper_slice_;
  rocksdb::ReadOptions read_options_;
  std::unique_ptr<rocksdb::Iterator> iterator_;
};

class Reader {
 public:
  using Cursor = backend_rocksdb::Cursor;

  explicit Reader(std::shared_ptr<const View> view) : view_(std::move(view)) {}

  Status get(uint32_t keyspace, std::string_view key, std::string_view& value);
  Status cursor_open(uint32_t keyspace, uint32_t flags, std::unique_ptr<Cursor>& out);

 private:
  const std::shared_ptr<const View> view_;
  rocksdb::PinnableSlice value_;
};

}  // namespace mortise::backend_rocksdb
