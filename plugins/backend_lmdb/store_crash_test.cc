// kill -9 in the middle of commits and flushes, then reopen: the store is the state after some
// commit, not older than the newest one that a sync covered.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "plugins/backend_lmdb/test_util.h"

namespace mortise::lmdb {
namespace {

constexpr char kSmall[] = R"({"write_buffer": "64KB", "flush_txn": "64KB", "map_size": "2MB"})";
constexpr uint64_t kSlots = 50;

std::string slot_key(uint64_t slot) {
  return "slot-" + std::to_string(slot) + std::string(slot * 20, '.');
}

// Commit i writes i under one slot, in two keyspaces, and moves a counter: any torn state shows.
Batch commit_of(uint64_t i) {
  Batch batch;
  const std::string value = std::to_string(i) + std::string(500, 'v');
  batch.put(0, slot_key(i % kSlots), value);
  batch.put(1, slot_key((i * 7) % kSlots), value);
  batch.put(2, "counter", std::to_string(i));
  return batch;
}

void expect_state_after(Reader& reader, uint64_t last) {
  Oracle oracle;
  for (uint64_t i = 1; i <= last; ++i) {
    const std::string value = std::to_string(i) + std::string(500, 'v');
    oracle[0][slot_key(i % kSlots)] = value;
    oracle[1][slot_key((i * 7) % kSlots)] = value;
    oracle[2]["counter"] = std::to_string(i);
  }
  ASSERT_NO_FATAL_FAILURE(expect_equal(reader, oracle));
}

[[noreturn]] void write_until_killed(const std::string& path, std::atomic<uint64_t>& synced,
                                     bool reclaims) {
  std::unique_ptr<Store> store;
  if (!Store::open(sdk::Host(nullptr), path, kSmall, store).ok()) ::_exit(3);
  uint64_t index = 0, term = 0;
  if (!store->applied(index, term).ok()) ::_exit(4);
  std::thread([&] {
    for (;;) {
      uint64_t durable = 0;
      if (!store->sync(durable).ok()) ::_exit(5);
      synced.store(durable);
      if (reclaims && !store->reclaim().ok()) ::_exit(6);
    }
  }).detach();
  for (;;) {
    ++index;
    if (!commit_of(index).commit(*store, index).ok()) ::_exit(7);
  }
}

TEST(StoreCrashTest, KilledStoreIsWholeAndHoldsWhatWasSynced) {
  TempDir dir;
  void* memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* synced = new (memory) std::atomic<uint64_t>(0);
  for (int round = 0; round < 8; ++round) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) write_until_killed(dir.path(), *synced, round % 2 == 1);
    ::usleep(static_cast<useconds_t>(30000 + round * 37000));
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    int how = 0;
    ASSERT_EQ(::waitpid(child, &how, 0), child);
    ASSERT_TRUE(WIFSIGNALED(how)) << "the writer gave up with " << WEXITSTATUS(how);
    auto store = open_store(dir.path(), kSmall);
    uint64_t index = 0, term = 0;
    ASSERT_TRUE(store->applied(index, term).ok());
    EXPECT_GE(index, synced->load());
    ASSERT_NO_FATAL_FAILURE(expect_state_after(*open_reader(*store), index));
  }
  ::munmap(memory, 4096);
}

Status open_status(const std::string& path, std::string_view config = "{}") {
  std::unique_ptr<Store> store;
  return Store::open(sdk::Host(nullptr), path, config, store);
}

TEST(StoreFilesTest, RefusesWhatItCannotServeAndNamesIt) {
  TempDir dir;
  {
    auto store = open_store(dir.path());
    ASSERT_TRUE(Batch().put(0, "a", std::string(100000, 'x')).commit(*store, 1, 1, true).ok());
    const Status twice = open_status(dir.path());
    EXPECT_EQ(twice.code, MORTISE_E_IN_USE);
    EXPECT_NE(twice.message.find(dir.path()), std::string::npos);
  }
  EXPECT_EQ(open_status(dir.path(), R"({"wite_buffer": 1})").code, MORTISE_E_INVALID);
  std::filesystem::resize_file(dir.path() + "/gen-1/data.mdb", 40960);
  EXPECT_EQ(open_status(dir.path()).code, MORTISE_E_CORRUPTION);
  std::ofstream(dir.path() + "/CURRENT") << "mortise-lmdb 2\nsomething else\n";
  EXPECT_EQ(open_status(dir.path()).code, MORTISE_E_NEWER_FORMAT);
  std::ofstream(dir.path() + "/CURRENT") << "mortise-lmdb 1\ngeneration 1\nstate ready\ncrc32c 0\n";
  EXPECT_EQ(open_status(dir.path()).code, MORTISE_E_CORRUPTION);
  std::filesystem::remove(dir.path() + "/CURRENT");
  EXPECT_EQ(open_status(dir.path()).code, MORTISE_E_CORRUPTION);

  TempDir foreign;
  std::ofstream(foreign.path() + "/000012.sst") << "x";
  const Status status = open_status(foreign.path());
  EXPECT_EQ(status.code, MORTISE_E_INVALID);
  EXPECT_NE(status.message.find(foreign.path()), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(foreign.path() + "/LOCK"));
}

TEST(StoreGrowthTest, MapGrowsWhileReadersAreOpen) {
  TempDir dir;
  auto store = open_store(dir.path(), kSmall);
  Oracle oracle;
  std::unique_ptr<Reader> early;
  Oracle early_oracle;
  for (uint64_t i = 1; i <= 60; ++i) {
    std::string key = "k" + std::to_string(i);
    oracle[0][key] = std::string(200000, char('a' + i % 26));
    ASSERT_TRUE(Batch().put(0, key, oracle[0][key]).commit(*store, i).ok());
    if (i == 3) {
      uint64_t index = 0;
      ASSERT_TRUE(store->sync(index).ok());
      early = open_reader(*store);
      early_oracle = oracle;
    }
  }
  uint64_t index = 0;
  ASSERT_TRUE(store->sync(index).ok());
  ASSERT_NO_FATAL_FAILURE(expect_equal(*early, early_oracle));
  ASSERT_NO_FATAL_FAILURE(expect_equal(*open_reader(*store), oracle));
  early.reset();
  store.reset();
  store = open_store(dir.path(), kSmall);
  ASSERT_NO_FATAL_FAILURE(expect_equal(*open_reader(*store), oracle));
}

TEST(StoreReclaimTest, GivesSpaceBackAndKeepsOpenReaders) {
  TempDir dir;
  auto store = open_store(dir.path(), kSmall);
  for (uint64_t i = 1; i <= 100; ++i) {
    ASSERT_TRUE(Batch().put(0, std::to_string(i), std::string(50000, 'x')).commit(*store, i).ok());
  }
  auto reader = open_reader(*store);
  const Pairs before = read_range(*reader, 0);
  ASSERT_TRUE(Batch().remove_range(0, "", "").put(0, "z", "left").commit(*store, 101).ok());
  ASSERT_TRUE(store->reclaim().ok());
  EXPECT_EQ(read_range(*reader, 0), before);
  EXPECT_EQ(read_range(*open_reader(*store), 0), (Pairs{{"z", "left"}}));
  reader.reset();
  store.reset();
  store = open_store(dir.path(), kSmall);
  mortise_store_size size{};
  ASSERT_TRUE(store->size(size).ok());
  EXPECT_LT(size.allocated_bytes, 1000000u);
  EXPECT_LE(size.in_use_bytes, size.allocated_bytes);
}

TEST(StoreCheckpointTest, CopyOpensAndIsNoOlderThanTheCall) {
  TempDir dir, target;
  auto store = open_store(dir.path(), kSmall);
  Oracle oracle;
  Workload work(5, true);
  for (uint64_t i = 1; i <= 100; ++i) ASSERT_NO_FATAL_FAILURE(work.commit(*store, oracle, i));
  const std::string path = target.path() + "/copy";
  ASSERT_TRUE(store->checkpoint(path).ok());
  auto copy = open_store(path, kSmall);
  uint64_t index = 0, term = 0;
  ASSERT_TRUE(copy->applied(index, term).ok());
  EXPECT_EQ(index, 100u);
  ASSERT_NO_FATAL_FAILURE(expect_equal(*open_reader(*copy), oracle));
}

struct MapSource {
  const Oracle* oracle;
  uint32_t keyspace = 0;
  Map::const_iterator at;
  int fail_after = -1;

  static mortise_status next(void* context, uint32_t* keyspace, mortise_bytes* key,
                             mortise_bytes* value) {
    auto& self = *static_cast<MapSource*>(context);
    if (self.fail_after-- == 0) return MORTISE_E_IO;
    while (self.at == (*self.oracle)[self.keyspace].end()) {
      if (self.keyspace + 1 == self.oracle->size()) return MORTISE_E_NOT_FOUND;
      self.at = (*self.oracle)[++self.keyspace].begin();
    }
    *keyspace = self.keyspace;
    *key = sdk::bytes(self.at->first);
    *value = sdk::bytes(self.at->second);
    ++self.at;
    return MORTISE_OK;
  }
};

TEST(StoreReplaceTest, TakesEverythingOrNothing) {
  TempDir dir;
  auto store = open_store(dir.path(), kSmall);
  Oracle old, next;
  Workload work(6, true);
  for (uint64_t i = 1; i <= 60; ++i) ASSERT_NO_FATAL_FAILURE(work.commit(*store, old, i));
  for (int i = 0; i < 800; ++i) next[static_cast<uint32_t>(i % 16)][work.key()] = work.value();
  auto reader = open_reader(*store);
  MapSource failing{&next, 0, next[0].begin(), 100};
  EXPECT_EQ(store->replace(7, 3, &MapSource::next, &failing).code, MORTISE_E_IO);
  ASSERT_NO_FATAL_FAILURE(expect_equal(*open_reader(*store), old));
  MapSource source{&next, 0, next[0].begin()};
  const Status status = store->replace(7, 3, &MapSource::next, &source);
  ASSERT_TRUE(status.ok()) << status.message;
  ASSERT_NO_FATAL_FAILURE(expect_equal(*reader, old));
  ASSERT_NO_FATAL_FAILURE(expect_equal(*open_reader(*store), next));
  reader.reset();
  store.reset();
  store = open_store(dir.path(), kSmall);
  uint64_t index = 0, term = 0;
  ASSERT_TRUE(store->applied(index, term).ok());
  EXPECT_EQ(index, 7u);
  EXPECT_EQ(term, 3u);
  ASSERT_NO_FATAL_FAILURE(expect_equal(*open_reader(*store), next));
}

}  // namespace
}  // namespace mortise::lmdb
