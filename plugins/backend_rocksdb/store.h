// A store of the backend interface on RocksDB; mortise/abi/backend.h says what it promises.
//
// Commits are RocksDB write batches without its log. They are in memory until a flush, and a flush
// writes all keyspaces and the applied position as one group, so that a crash leaves the state
// after some commit. sync() is such a flush. RocksDB also flushes by itself when the write buffers
// are full.
//
// commit() and replace() come from one thread; everything else from any. The mutex guards which
// generation is current, its view and the position; it is held for moments only, never across I/O.
#pragma once

#include <rocksdb/write_batch.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "mortise/abi/backend.h"
#include "mortise/sdk/host.h"
#include "plugins/backend_rocksdb/errors.h"
#include "plugins/backend_rocksdb/generation.h"
#include "plugins/backend_rocksdb/reader.h"
#include "plugins/backend_rocksdb/settings.h"
#include "plugins/backend_rocksdb/store_dir.h"

namespace mortise::backend_rocksdb {

class Store {
 public:
  using Reader = backend_rocksdb::Reader;

  static Status open(sdk::Host host, const std::string& path, std::string_view config_json,
                     std::unique_ptr<Store>& out);

  Status commit(const mortise_commit_request& request);
  Status sync(uint64_t& index);
  Status applied(uint64_t& index, uint64_t& term);
  Status reader_open(std::unique_ptr<Reader>& out);
  Status size(mortise_store_size& out);
  Status reclaim();
  Status checkpoint(const std::string& path);
  Status replace(uint64_t index, uint64_t term, mortise_source_fn source, void* context);

 private:
  Store(sdk::Host host, std::unique_ptr<StoreDir> dir, Engine engine)
      : host_(host), dir_(std::move(dir)), engine_(std::move(engine)) {}

  Status open_generation(uint64_t number, bool create, std::shared_ptr<Generation>& out) const;
  // Makes a new store's first generation.
  Status create();
  std::shared_ptr<Generation> current();
  Status reclaim_keyspace(const Generation& generation, uint32_t keyspace);

  const sdk::Host host_;
  const std::unique_ptr<StoreDir> dir_;
  const Engine engine_;
  rocksdb::WriteBatch batch_;  // Of commit(), kept for its buffer.

  std::mutex mutex_;
  std::shared_ptr<Generation> generation_;
  std::shared_ptr<const View> view_;  // Of the newest commit; null until a reader needs it.
  Position position_;
};

}  // namespace mortise::backend_rocksdb
