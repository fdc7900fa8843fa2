#include "host/server/store_size.h"

#include <algorithm>

namespace mortise::server {

// Files that have grown hold what was in memory before.
void StoreSize::refresh(const mortise_store_size& size) {
  std::lock_guard lock(mutex_);
  int64_t grown = static_cast<int64_t>(size.allocated_bytes) - on_disk_;
  if (grown > 0) unflushed_ -= std::min(unflushed_, grown);
  on_disk_ = static_cast<int64_t>(size.allocated_bytes);
  in_use_ = static_cast<int64_t>(size.in_use_bytes);
}

void StoreSize::written(int64_t bytes) {
  std::lock_guard lock(mutex_);
  unflushed_ = std::min(unflushed_ + bytes, kUnflushedBytesMax);
}

int64_t StoreSize::unflushed() const {
  std::lock_guard lock(mutex_);
  return unflushed_;
}

void StoreSize::synced(int64_t unflushed) {
  std::lock_guard lock(mutex_);
  unflushed_ -= std::min(unflushed_, unflushed);
}

StoreSize::Figures StoreSize::figures() const {
  std::lock_guard lock(mutex_);
  auto counted = [&](int64_t on_disk) {
    return kEmptyStoreCountedBytes + std::max<int64_t>(on_disk - kEmptyStoreBytesMax, 0) +
           unflushed_;
  };
  return {counted(on_disk_), counted(in_use_)};
}

}  // namespace mortise::server
