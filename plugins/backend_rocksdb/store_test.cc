#include "plugins/backend_rocksdb/store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace mortise::backend_rocksdb {
namespace {

namespace fs = std::filesystem;
using Pairs = std::vector<std::pair<std::string, std::string>>;

// The operations of one commit, with their bytes.
class Batch {
 public:
  Batch& put(uint32_t keyspace, const std::string& key, const std::string& value) {
    return add(MORTISE_OP_PUT, keyspace, key, value);
  }
  Batch& del(uint32_t keyspace, const std::string& key) {
    return add(MORTISE_OP_DELETE, keyspace, key, "");
  }
  Batch& del_range(uint32_t keyspace, const std::string& key, const std::string& end) {
    return add(MORTISE_OP_DELETE_RANGE, keyspace, key, end);
  }
  Batch& add(mortise_op_kind kind, uint32_t keyspace, const std::string& key,
             const std::string& value) {
    rows_.push_back({kind, keyspace, key, value});
    return *this;
  }
  Status commit(Store& store, uint64_t index, bool sync = false) const {
    std::vector<mortise_write_op> ops;
    for (const Row& row : rows_) {
      ops.push_back({row.kind, row.keyspace, sdk::bytes(row.key), sdk::bytes(row.value)});
    }
    mortise_commit_request request{};
    request.struct_size = sizeof request;
    request.sync = sync ? 1 : 0;
    request.applied_index = index;
    request.applied_term = 7;
    request.ops = ops.data();
    request.op_count = ops.size();
    return store.commit(request);
  }

 private:
  struct Row {
    mortise_op_kind kind;
    uint32_t keyspace;
    std::string key;
    std::string value;
  };
  std::vector<Row> rows_;
};

// Bytes that no compression makes smaller.
std::string noise(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

Pairs read(Reader& reader, uint32_t keyspace, std::string_view lower = "",
           std::string_view upper = "", uint32_t flags = 0) {
  std::unique_ptr<Cursor> cursor;
  EXPECT_TRUE(reader.cursor_open(keyspace, flags, cursor).ok());
  EXPECT_TRUE(cursor->seek(lower, upper).ok());
  Pairs out;
  std::string_view key;
  std::string_view value;
  for (;;) {
    const Status status = cursor->next(key, value);
    if (status.code == MORTISE_E_NOT_FOUND) return out;
    EXPECT_TRUE(status.ok()) << status.message;
    if (!status.ok()) return out;
    out.emplace_back(key, value);
  }
}

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "mortise-rocksdb-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    path_ = root_ + "/store";
    fs::create_directory(path_);
  }
  void TearDown() override {
    store_.reset();
    fs::remove_all(root_);
  }

  Status open(std::string_view config = "{\"memory_limit\":\"16MB\"}") {
    store_.reset();
    return Store::open(sdk::Host(), path_, config, store_);
  }
  std::unique_ptr<Reader> reader() {
    std::unique_ptr<Reader> out;
    EXPECT_TRUE(store_->reader_open(out).ok());
    return out;
  }
  Pairs all(uint32_t keyspace) { return read(*reader(), keyspace); }
  uint64_t applied() {
    uint64_t index = 0;
    uint64_t term = 0;
    EXPECT_TRUE(store_->applied(index, term).ok());
    return index;
  }

  std::string root_;
  std::string path_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, ReadersKeepTheirView) {
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(applied(), 0u);
  ASSERT_TRUE(Batch().put(1, "a", "1").put(1, "b", "").put(2, "a", "x").commit(*store_, 5).ok());
  const auto old = reader();
  ASSERT_TRUE(Batch().put(1, "a", "2").del(1, "b").commit(*store_, 6).ok());
  EXPECT_EQ(read(*old, 1), (Pairs{{"a", "1"}, {"b", ""}}));
  EXPECT_EQ(all(1), (Pairs{{"a", "2"}}));
  EXPECT_EQ(all(2), (Pairs{{"a", "x"}}));
  std::string_view value;
  EXPECT_TRUE(old->get(1, "a", value).ok());
  EXPECT_EQ(value, "1");
  EXPECT_EQ(old->get(1, "c", value).code, MORTISE_E_NOT_FOUND);
  EXPECT_EQ(old->get(16, "c", value).code, MORTISE_E_INVALID);
  EXPECT_EQ(applied(), 6u);
}

TEST_F(StoreTest, CursorsGoBothWaysWithinBounds) {
  ASSERT_TRUE(open().ok());
  Batch batch;
  for (const char* key : {"a", "ab", "b", "c", "d"}) batch.put(0, key, key);
  ASSERT_TRUE(batch.commit(*store_, 1).ok());
  const auto r = reader();
  EXPECT_EQ(read(*r, 0, "ab", "d"), (Pairs{{"ab", "ab"}, {"b", "b"}, {"c", "c"}}));
  EXPECT_EQ(read(*r, 0, "b", "", MORTISE_CURSOR_REVERSE),
            (Pairs{{"d", "d"}, {"c", "c"}, {"b", "b"}}));
  EXPECT_EQ(read(*r, 0, "", "b", MORTISE_CURSOR_REVERSE | MORTISE_CURSOR_KEYS_ONLY),
            (Pairs{{"ab", ""}, {"a", ""}}));
  EXPECT_TRUE(read(*r, 0, "b", "b").empty());
  EXPECT_TRUE(read(*r, 0, "c", "b").empty());
  EXPECT_TRUE(read(*r, 3).empty());
  std::unique_ptr<Cursor> cursor;
  ASSERT_TRUE(r->cursor_open(0, 0, cursor).ok());
  std::string_view key;
  std::string_view value;
  EXPECT_EQ(cursor->next(key, value).code, MORTISE_E_INVALID);
  for (const char* lower : {"c", "a", "d"}) {
    ASSERT_TRUE(cursor->seek(lower, "").ok());
    ASSERT_TRUE(cursor->next(key, value).ok());
    EXPECT_EQ(key, lower);
  }
  EXPECT_EQ(cursor->next(key, value).code, MORTISE_E_NOT_FOUND);
  EXPECT_EQ(cursor->next(key, value).code, MORTISE_E_NOT_FOUND);
}

TEST_F(StoreTest, RefusesBadCommitsAndChangesNothing) {
  ASSERT_TRUE(open().ok());
  ASSERT_TRUE(Batch().put(0, "a", "1").commit(*store_, 3).ok());
  EXPECT_EQ(Batch().put(0, "b", "1").commit(*store_, 2).code, MORTISE_E_INVALID);
  EXPECT_EQ(Batch().put(0, "b", "1").add(9, 0, "x", "").commit(*store_, 4).code, MORTISE_E_INVALID);
  EXPECT_EQ(Batch().put(0, "b", "1").put(16, "x", "").commit(*store_, 4).code, MORTISE_E_INVALID);
  EXPECT_EQ(Batch().put(0, "b", "1").put(0, "", "").commit(*store_, 4).code, MORTISE_E_INVALID);
  EXPECT_EQ(all(0), (Pairs{{"a", "1"}}));
  EXPECT_EQ(applied(), 3u);
  EXPECT_TRUE(Batch().commit(*store_, 4).ok());
  EXPECT_EQ(applied(), 4u);
}

// Random operations against a map, with flushes, reclaims and reopens in between.
TEST_F(StoreTest, RandomOperationsAgreeWithAMap) {
  ASSERT_TRUE(open().ok());
  std::mt19937_64 random(1);
  std::map<std::string, std::string> model;
  const auto key = [&] { return std::string(1 + random() % 3, static_cast<char>(random() % 256)); };
  for (uint64_t index = 1; index <= 400; ++index) {
    Batch batch;
    for (uint64_t n = random() % 12; n > 0; --n) {
      std::string a = key();
      std::string b = random() % 8 == 0 ? "" : key();
      switch (random() % 6) {
        case 0:
          batch.del(4, a);
          model.erase(a);
          break;
        case 1:
          batch.del_range(4, a, b);
          if (b.empty() || a < b) {
            model.erase(model.lower_bound(a), b.empty() ? model.end() : model.lower_bound(b));
          }
          break;
        default: batch.put(4, a, b); model[a] = b;
      }
    }
    ASSERT_TRUE(batch.commit(*store_, index).ok());
    uint64_t durable = 0;
    if (index % 37 == 0) {
      ASSERT_TRUE(store_->sync(durable).ok());
      EXPECT_EQ(durable, index);
    }
    if (index % 83 == 0) {
      ASSERT_TRUE(store_->reclaim().ok());
    }
    if (index % 111 == 0) {
      ASSERT_TRUE(store_->sync(durable).ok());
      ASSERT_TRUE(open().ok());
      ASSERT_EQ(applied(), index);
    }
    ASSERT_EQ(all(4), Pairs(model.begin(), model.end())) << "after commit " << index;
  }
}

TEST_F(StoreTest, LongRangesAreDeletedAndReclaimed) {
  ASSERT_TRUE(open().ok());
  for (uint64_t round = 0; round < 20; ++round) {
    Batch batch;
    for (uint64_t i = 0; i < 1000; ++i) {
      const uint64_t number = round * 1000 + i;
      batch.put(0, "k" + std::to_string(100'000 + number), noise(256, number));
    }
    ASSERT_TRUE(batch.commit(*store_, round + 1, true).ok());
  }
  mortise_store_size before{};
  ASSERT_TRUE(store_->size(before).ok());
  EXPECT_LE(before.in_use_bytes, before.allocated_bytes);
  const auto old = reader();
  ASSERT_TRUE(
      Batch().put(0, "z", "1").del_range(0, "k", "").put(0, "k1", "2").commit(*store_, 50).ok());
  EXPECT_EQ(all(0), (Pairs{{"k1", "2"}}));
  EXPECT_EQ(read(*old, 0).size(), 20'000u);
  ASSERT_TRUE(store_->reclaim().ok());
  EXPECT_EQ(read(*old, 0).size(), 20'000u);
  std::string_view value;
  EXPECT_TRUE(reader()->get(0, "k1", value).ok());
}

TEST_F(StoreTest, ReclaimGivesSpaceBack) {
  ASSERT_TRUE(open().ok());
  Batch batch;
  for (uint64_t i = 0; i < 8; ++i) batch.put(0, "key" + std::to_string(i), noise(1 << 20, i));
  ASSERT_TRUE(batch.commit(*store_, 1, true).ok());
  mortise_store_size full{};
  ASSERT_TRUE(store_->size(full).ok());
  EXPECT_GT(full.allocated_bytes, uint64_t{7} << 20);
  ASSERT_TRUE(Batch().del_range(0, "key1", "").commit(*store_, 2).ok());
  ASSERT_TRUE(store_->reclaim().ok());
  mortise_store_size after{};
  ASSERT_TRUE(store_->size(after).ok());
  EXPECT_LT(after.allocated_bytes, uint64_t{3} << 20);
}

TEST_F(StoreTest, ACheckpointIsAStore) {
  ASSERT_TRUE(open().ok());
  ASSERT_TRUE(Batch().put(0, "a", "1").put(9, "b", "2").commit(*store_, 3).ok());
  const std::string copy = root_ + "/copy";
  ASSERT_TRUE(store_->checkpoint(copy).ok());
  EXPECT_EQ(store_->checkpoint(copy).code, MORTISE_E_INVALID);
  ASSERT_TRUE(Batch().put(0, "a", "9").commit(*store_, 4).ok());
  path_ = copy;
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(all(0), (Pairs{{"a", "1"}}));
  EXPECT_EQ(all(9), (Pairs{{"b", "2"}}));
  EXPECT_EQ(applied(), 3u);
}

struct Source {
  std::vector<std::pair<uint32_t, std::pair<std::string, std::string>>> rows;
  size_t next = 0;
  mortise_status at_end = MORTISE_E_NOT_FOUND;

  static mortise_status step(void* context, uint32_t* keyspace, mortise_bytes* key,
                             mortise_bytes* value) {
    auto& self = *static_cast<Source*>(context);
    if (self.next == self.rows.size()) return self.at_end;
    const auto& [ks, pair] = self.rows[self.next++];
    *keyspace = ks;
    *key = sdk::bytes(pair.first);
    *value = sdk::bytes(pair.second);
    return MORTISE_OK;
  }
};

TEST_F(StoreTest, ReplaceIsOneStepAndReadersKeepTheirView) {
  ASSERT_TRUE(open().ok());
  ASSERT_TRUE(Batch().put(0, "a", "1").commit(*store_, 30).ok());
  const auto old = reader();
  Source source{{{0, {"x", "1"}}, {0, {"y", "2"}}, {5, {"a", "3"}}}};
  ASSERT_TRUE(store_->replace(20, 2, &Source::step, &source).ok());
  EXPECT_EQ(applied(), 20u);
  EXPECT_EQ(read(*old, 0), (Pairs{{"a", "1"}}));
  EXPECT_EQ(all(0), (Pairs{{"x", "1"}, {"y", "2"}}));
  Source unordered{{{0, {"y", "1"}}, {0, {"x", "2"}}}};
  EXPECT_EQ(store_->replace(40, 2, &Source::step, &unordered).code, MORTISE_E_INVALID);
  Source broken{{{0, {"y", "1"}}}, 0, MORTISE_E_IO};
  EXPECT_EQ(store_->replace(40, 2, &Source::step, &broken).code, MORTISE_E_IO);
  EXPECT_EQ(read(*old, 0), (Pairs{{"a", "1"}}));
  EXPECT_EQ(all(5), (Pairs{{"a", "3"}}));
  ASSERT_TRUE(Batch().put(0, "z", "4").commit(*store_, 21, true).ok());
}

TEST_F(StoreTest, AReplacedStoreReopens) {
  ASSERT_TRUE(open().ok());
  ASSERT_TRUE(Batch().put(0, "a", "1").commit(*store_, 30, true).ok());
  Source source{{{0, {"x", "1"}}}};
  ASSERT_TRUE(store_->replace(20, 2, &Source::step, &source).ok());
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(all(0), (Pairs{{"x", "1"}}));
  EXPECT_EQ(applied(), 20u);
  EXPECT_FALSE(fs::exists(path_ + "/gen-000001"));
}

TEST_F(StoreTest, RefusesWhatIsNotItsOwn) {
  ASSERT_TRUE(open().ok());
  std::unique_ptr<Store> second;
  Status status = Store::open(sdk::Host(), path_, "{}", second);
  EXPECT_EQ(status.code, MORTISE_E_IN_USE);
  EXPECT_NE(status.message.find(path_), std::string::npos);
  store_.reset();
  std::ofstream(path_ + "/STORE") << "mortise-backend-rocksdb\nformat 2\nshape new\n";
  EXPECT_EQ(open().code, MORTISE_E_NEWER_FORMAT);
  std::ofstream(path_ + "/STORE") << "mortise-backend-rocksdb\nformat 1\ngeneration x\n";
  EXPECT_EQ(open().code, MORTISE_E_CORRUPTION);
  std::ofstream(path_ + "/STORE") << "mortise-backend-rocksdb\nformat 1\ngeneration 9\n";
  EXPECT_EQ(open().code, MORTISE_E_CORRUPTION);
  std::ofstream(path_ + "/STORE") << "something else";
  EXPECT_EQ(open().code, MORTISE_E_INVALID);
  path_ = root_ + "/foreign";
  fs::create_directory(path_);
  std::ofstream(path_ + "/data.mdb") << "x";
  status = open();
  EXPECT_EQ(status.code, MORTISE_E_INVALID);
  EXPECT_NE(status.message.find(path_), std::string::npos);
  EXPECT_FALSE(fs::exists(path_ + "/LOCK"));
}

TEST_F(StoreTest, DamageIsCorruption) {
  ASSERT_TRUE(open().ok());
  ASSERT_TRUE(Batch().put(0, "a", "1").commit(*store_, 1, true).ok());
  store_.reset();
  fs::remove(path_ + "/gen-000001/CURRENT");
  EXPECT_EQ(open().code, MORTISE_E_CORRUPTION);
}

TEST_F(StoreTest, OptionsAreCheckedByName) {
  const auto refused = [&](std::string_view config, std::string_view named) {
    const Status status = open(config);
    EXPECT_EQ(status.code, MORTISE_E_INVALID) << config;
    EXPECT_NE(status.message.find(named), std::string::npos) << status.message;
  };
  refused("{\"speed\":1}", "speed");
  refused("{\"memory_limit\":\"1MB\"}", "memory_limit");
  refused("{\"compression\":\"zip\"}", "compression");
  refused("{\"compaction\":\"none\"}", "compaction");
  EXPECT_TRUE(open("{\"compaction\":\"leveled\"}").ok());
  refused("{\"rocksdb_options\":\"no_such_thing=1\"}", "no_such_thing");
  EXPECT_TRUE(open("{\"memory_limit\":\"32MB\",\"rocksdb_options\":\"atomic_flush=false\"}").ok());
}

constexpr const char* kChildStore = "MORTISE_TEST_CHILD_STORE";
constexpr const char* kChildReport = "MORTISE_TEST_CHILD_REPORT";

// Commits and syncs, and reports what is durable, until it is killed.
void write_until_killed(const std::string& path, int report) {
  std::unique_ptr<Store> store;
  const std::string config = "{\"memory_limit\":\"16MB\",\"write_buffer_limit\":\"4MB\"}";
  if (!Store::open(sdk::Host(), path, config, store).ok()) ::_exit(1);
  uint64_t index = 0;
  uint64_t term = 0;
  if (!store->applied(index, term).ok()) ::_exit(1);
  const std::string filler(400, 'f');
  for (;;) {
    ++index;
    Batch batch;
    for (uint32_t ks = 0; ks < 4; ++ks) {
      batch.put(ks, "n", std::to_string(index)).put(ks, "row" + std::to_string(index), filler);
    }
    if (!batch.commit(*store, index).ok()) ::_exit(1);
    uint64_t durable = 0;
    if (index % 500 != 0) continue;
    if (!store->sync(durable).ok()) ::_exit(1);
    if (::write(report, &durable, sizeof durable) != sizeof durable) ::_exit(1);
  }
}

// Not a test of its own: the process that the next test starts and kills. RocksDB's threads do not
// survive a fork, so it has to be a program of its own.
TEST(StoreChild, WritesUntilKilled) {
  const char* path = std::getenv(kChildStore);
  if (path == nullptr) GTEST_SKIP() << "is run by AKilledStoreHoldsTheStateAfterSomeCommit";
  write_until_killed(path, std::atoi(std::getenv(kChildReport)));
}

pid_t start_writer(const std::string& path, int report) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::setenv(kChildStore, path.c_str(), 1);
  ::setenv(kChildReport, std::to_string(report).c_str(), 1);
  ::execl("/proc/self/exe", "store_test", "--gtest_filter=StoreChild.*",
          static_cast<char*>(nullptr));
  ::_exit(127);
}

// What is left of a killed writer must be the state after one of its commits.
TEST_F(StoreTest, AKilledStoreHoldsTheStateAfterSomeCommit) {
  for (int round = 0; round < 5; ++round) {
    int pipe_fds[2];
    ASSERT_EQ(::pipe(pipe_fds), 0);
    const pid_t child = start_writer(path_, pipe_fds[1]);
    ASSERT_GE(child, 0);
    ::close(pipe_fds[1]);
    uint64_t durable = 0;
    uint64_t reported = 0;
    for (int i = 0; i < 3 + round; ++i) {
      ASSERT_EQ(::read(pipe_fds[0], &reported, sizeof reported), ssize_t{sizeof reported});
      durable = reported;
    }
    ::usleep(static_cast<useconds_t>(round) * 7000);
    ::kill(child, SIGKILL);
    while (::read(pipe_fds[0], &reported, sizeof reported) == ssize_t{sizeof reported}) {
      durable = reported;
    }
    ::close(pipe_fds[0]);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    ASSERT_TRUE(open().ok());
    const uint64_t index = applied();
    EXPECT_GE(index, durable);
    for (uint32_t ks = 0; ks < 4; ++ks) {
      std::string_view value;
      const auto r = reader();
      ASSERT_TRUE(r->get(ks, "n", value).ok());
      EXPECT_EQ(value, std::to_string(index));
      EXPECT_EQ(read(*r, ks, "row", "").size(), index);
    }
    store_.reset();
  }
}

}  // namespace
}  // namespace mortise::backend_rocksdb
