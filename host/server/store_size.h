// How large the store is for a user: what status shows and what the quota judges are one figure.
// It is what the backend has on disk and what was committed since and is not there yet. An empty
// store counts as much as etcd's does, whatever its backend takes.
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <mutex>

#include "host/store/store.h"

namespace mortise::server {

// So much the files of an empty store may take on any backend, and so much they are counted for.
constexpr int64_t kEmptyStoreBytesMax = 128 << 10;
constexpr int64_t kEmptyStoreCountedBytes = 20 << 10;
// More than this a backend does not keep in memory, so more is not counted twice.
constexpr int64_t kUnflushedBytesMax = 64 << 20;

class StoreSize {
 public:
  struct Figures {
    int64_t bytes = 0;
    int64_t in_use = 0;  // Of these, what reclaiming would not give back.
  };

  // What the backend says now.
  void refresh(const mortise_store_size& size);
  // So much was committed, and the backend has it in memory or on disk.
  void written(int64_t bytes);
  // What was written before the call of unflushed() is on disk.
  int64_t unflushed() const;
  void synced(int64_t unflushed);

  Figures figures() const;

 private:
  mutable std::mutex mutex_;
  int64_t on_disk_ = 0;
  int64_t in_use_ = 0;
  int64_t unflushed_ = 0;
};

}  // namespace mortise::server
