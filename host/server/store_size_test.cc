#include "host/server/store_size.h"

#include <gtest/gtest.h>

namespace mortise::server {
namespace {

constexpr int64_t kMiB = 1 << 20;

mortise_store_size on_disk(uint64_t allocated, uint64_t in_use) {
  mortise_store_size size{};
  size.allocated_bytes = allocated;
  size.in_use_bytes = in_use;
  return size;
}

TEST(StoreSize, AnEmptyStoreCountsTheSameOnAnyBackend) {
  StoreSize size;
  for (uint64_t bytes : {0, 4 << 10, 110 << 10}) {
    size.refresh(on_disk(bytes, bytes));
    EXPECT_EQ(size.figures().bytes, kEmptyStoreCountedBytes);
    EXPECT_EQ(size.figures().in_use, kEmptyStoreCountedBytes);
  }
}

TEST(StoreSize, WhatIsNotOnDiskYetCountsOnce) {
  StoreSize size;
  size.refresh(on_disk(kEmptyStoreBytesMax, kEmptyStoreBytesMax));
  size.written(10 * kMiB);
  EXPECT_EQ(size.figures().bytes, kEmptyStoreCountedBytes + 10 * kMiB);
  EXPECT_EQ(size.figures().in_use, kEmptyStoreCountedBytes + 10 * kMiB);
  // The backend wrote most of it by itself.
  size.refresh(on_disk(kEmptyStoreBytesMax + 9 * kMiB, kEmptyStoreBytesMax + 8 * kMiB));
  EXPECT_EQ(size.figures().bytes, kEmptyStoreCountedBytes + 10 * kMiB);
  EXPECT_EQ(size.figures().in_use, kEmptyStoreCountedBytes + 9 * kMiB);
  // And the rest in a sync, beside which more came.
  int64_t before = size.unflushed();
  size.written(kMiB);
  size.synced(before);
  EXPECT_EQ(size.unflushed(), kMiB);
  size.synced(5 * kMiB);
  EXPECT_EQ(size.unflushed(), 0);
}

TEST(StoreSize, MemoryOfABackendIsBounded) {
  StoreSize size;
  for (int i = 0; i < 100; ++i) size.written(10 * kMiB);
  EXPECT_EQ(size.unflushed(), kUnflushedBytesMax);
}

}  // namespace
}  // namespace mortise::server
