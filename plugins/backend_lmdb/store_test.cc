#include "plugins/backend_lmdb/store.h"

#include <gtest/gtest.h>

#include <fstream>

#include "plugins/backend_lmdb/test_util.h"

namespace mortise::lmdb {
namespace {

constexpr char kSmall[] = R"({"write_buffer": "64KB", "flush_txn": "64KB"})";

TEST(StoreTest, NewStoreIsEmpty) {
  TempDir dir;
  auto store = open_store(dir.path());
  uint64_t index = 1, term = 1;
  ASSERT_TRUE(store->applied(index, term).ok());
  EXPECT_EQ(index, 0u);
  EXPECT_EQ(term, 0u);
  auto reader = open_reader(*store);
  expect_equal(*reader, Oracle());
  EXPECT_EQ(get(*reader, 3, "a"), "(none)");
}

TEST(StoreTest, OperationsOfACommitApplyInOrder) {
  TempDir dir;
  auto store = open_store(dir.path());
  ASSERT_TRUE(Batch().put(0, "a", "1").put(0, "b", "1").put(0, "c", "1").commit(*store, 1).ok());
  ASSERT_TRUE(Batch()
                  .put(0, "b", "2")
                  .put(0, "bb", "2")
                  .remove_range(0, "b", "c")
                  .put(0, "bc", "3")
                  .remove(0, "a")
                  .put(0, "a", "4")
                  .commit(*store, 2)
                  .ok());
  auto reader = open_reader(*store);
  EXPECT_EQ(read_range(*reader, 0), (Pairs{{"a", "4"}, {"bc", "3"}, {"c", "1"}}));
}

TEST(StoreTest, ReaderIsUnmovedByLaterCommitsAndFlushes) {
  TempDir dir;
  auto store = open_store(dir.path(), kSmall);
  ASSERT_TRUE(Batch().put(0, "a", "old").put(0, "b", "old").commit(*store, 1).ok());
  auto before = open_reader(*store);
  ASSERT_TRUE(Batch().put(0, "a", "new").remove(0, "b").put(0, "c", "new").commit(*store, 2).ok());
  auto between = open_reader(*store);
  uint64_t index = 0;
  ASSERT_TRUE(store->sync(index).ok());
  EXPECT_EQ(index, 2u);
  ASSERT_TRUE(Batch().remove_range(0, "", "").commit(*store, 3).ok());
  ASSERT_TRUE(store->reclaim().ok());
  EXPECT_EQ(read_range(*before, 0), (Pairs{{"a", "old"}, {"b", "old"}}));
  EXPECT_EQ(read_range(*between, 0), (Pairs{{"a", "new"}, {"c", "new"}}));
  EXPECT_EQ(read_range(*open_reader(*store), 0), Pairs());
}

void random_against_oracle(uint64_t seed, bool long_keys, int commits) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  TempDir dir;
  auto store = open_store(dir.path(), kSmall);
  Oracle oracle;
  Workload work(seed, long_keys);
  std::vector<std::pair<std::unique_ptr<Reader>, Oracle>> pinned;
  for (int i = 1; i <= commits; ++i) {
    ASSERT_NO_FATAL_FAILURE(work.commit(*store, oracle, static_cast<uint64_t>(i)));
    const uint64_t dice = work.below(1000);
    if (dice < 20) pinned.emplace_back(open_reader(*store), oracle);
    if (dice >= 20 && dice < 30 && !pinned.empty()) {
      ASSERT_NO_FATAL_FAILURE(expect_equal(*pinned.front().first, pinned.front().second));
      pinned.erase(pinned.begin());
    }
    if (dice >= 30 && dice < 60) {
      auto reader = open_reader(*store);
      const std::string lower = work.key(), upper = work.key();
      const auto keyspace = static_cast<uint32_t>(work.below(3) * 5);
      const bool reverse = work.below(2) == 0;
      ASSERT_EQ(read_range(*reader, keyspace, lower, upper, reverse),
                expected_range(oracle[keyspace], lower, upper, reverse));
      const auto it = oracle[keyspace].find(lower);
      ASSERT_EQ(get(*reader, keyspace, lower),
                it == oracle[keyspace].end() ? "(none)" : it->second);
    }
    if (dice == 60) {
      ASSERT_TRUE(store->reclaim().ok());
    }
    if (dice == 61 || dice == 62) {
      pinned.clear();
      store.reset();
      store = open_store(dir.path(), kSmall);
      uint64_t index = 0, term = 0;
      ASSERT_TRUE(store->applied(index, term).ok());
      ASSERT_EQ(index, static_cast<uint64_t>(i));
      ASSERT_NO_FATAL_FAILURE(expect_equal(*open_reader(*store), oracle));
    }
  }
  ASSERT_NO_FATAL_FAILURE(expect_equal(*open_reader(*store), oracle));
}

TEST(StoreTest, RandomAgainstMap) {
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    ASSERT_NO_FATAL_FAILURE(random_against_oracle(seed, false, 800));
  }
}

TEST(StoreTest, RandomLongKeysAgainstMap) {
  for (uint64_t seed = 11; seed <= 12; ++seed) {
    ASSERT_NO_FATAL_FAILURE(random_against_oracle(seed, true, 500));
  }
}

}  // namespace
}  // namespace mortise::lmdb
