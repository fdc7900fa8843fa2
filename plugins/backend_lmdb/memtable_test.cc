#include "plugins/backend_lmdb/memtable.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <string>
#include <thread>

#include "plugins/backend_lmdb/crc32c.h"

namespace mortise::lmdb {
namespace {

TEST(MemtableTest, VersionsAreSeenByTheirSequence) {
  Memtable table;
  table.put(1, "k", "a", 4);
  table.put(1, "k", "b", 7);
  table.remove(1, "k", 9);
  table.put(1, "k", "c", 9);
  EXPECT_EQ(table.find(1, "k", 3), nullptr);
  EXPECT_EQ(table.find(1, "k", 4)->value(), "a");
  EXPECT_EQ(table.find(1, "k", 8)->value(), "b");
  EXPECT_EQ(table.find(1, "k", 9)->value(), "c");
  EXPECT_EQ(table.find(2, "k", 9), nullptr);
  EXPECT_EQ(table.list(1).count(), 1u);
}

TEST(MemtableTest, OneValueUnderTwoKeysIsKeptOnce) {
  Memtable table;
  const std::string value(1000, 'v');
  table.put(0, "a", value, 1);
  table.put(1, "b", value, 1);
  EXPECT_EQ(table.find(0, "a", 1)->data, table.find(1, "b", 1)->data);
}

TEST(MemtableTest, OrderAndSearchAgainstMap) {
  Memtable table;
  std::map<std::string, std::string> oracle;
  std::mt19937_64 random(3);
  for (uint64_t i = 1; i <= 5000; ++i) {
    const std::string key = std::to_string(random() % 3000);
    oracle[key] = std::to_string(i);
    table.put(0, key, oracle[key], i);
  }
  const SkipList& list = table.list(0);
  const Node* node = list.first();
  for (const auto& [key, value] : oracle) {
    ASSERT_NE(node, nullptr);
    ASSERT_EQ(node->key(), key);
    ASSERT_EQ(node->visible(5000)->value(), value);
    node = node->next(0);
  }
  EXPECT_EQ(node, nullptr);
  EXPECT_EQ(list.last()->key(), oracle.rbegin()->first);
  for (int i = 0; i < 3000; ++i) {
    const std::string key = std::to_string(random() % 4000);
    const auto ge = oracle.lower_bound(key);
    const Node* found = list.find_ge(key);
    ASSERT_EQ(found == nullptr ? "" : found->key(), ge == oracle.end() ? "" : ge->first);
    const Node* before = list.find_lt(key);
    ASSERT_EQ(before == nullptr ? "" : before->key(),
              ge == oracle.begin() ? "" : std::prev(ge)->first);
  }
}

// Commit s writes s under all keys: a reader at s sees s everywhere, whatever is being written.
TEST(MemtableTest, ReadersBesideTheWriter) {
  constexpr uint64_t kCommits = 300;
  constexpr int kKeys = 40;
  Memtable table;
  std::atomic<uint64_t> published{0};
  std::atomic<int> wrong{0};
  const auto read = [&] {
    for (uint64_t seq = 0; seq < kCommits;) {
      seq = published.load(std::memory_order_acquire);
      if (seq == 0) continue;
      int seen = 0;
      for (const Node* node = table.list(0).first(); node != nullptr; node = node->next(0)) {
        const Version* version = node->visible(seq);
        if (version == nullptr) continue;
        ++seen;
        if (version->value() != std::to_string(seq)) ++wrong;
      }
      if (seen < kKeys) ++wrong;
      if (table.find(0, "key-7", seq) == nullptr) ++wrong;
    }
  };
  std::thread first(read), second(read);
  for (uint64_t seq = 1; seq <= kCommits; ++seq) {
    for (int k = 0; k < kKeys; ++k)
      table.put(0, "key-" + std::to_string(k), std::to_string(seq), seq);
    table.put(1, "other-" + std::to_string((seq * 77) % 1000), "", seq);
    published.store(seq, std::memory_order_release);
  }
  first.join();
  second.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(Crc32cTest, KnownValue) { EXPECT_EQ(crc32c(0, "123456789", 9), 0xe3069283u); }

}  // namespace
}  // namespace mortise::lmdb
