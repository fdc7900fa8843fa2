// Ranges with keys_only: the same as with values but for these, from rows of every form, and
// without reading what is large. How much is read is what a ReadBudget counts.
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdlib>
#include <random>
#include <set>

#include "host/mvcc/range.h"
#include "host/mvcc/test_model.h"
#include "host/mvcc/writer.h"

namespace mortise::mvcc {
namespace {

namespace pb = ::etcdserverpb;
using testing::TestStore;

// The plugin's table, with a count of the pairs that cursors over `current` have come to.
const mortise_backend_v1* plugin = nullptr;
std::set<mortise_cursor*> current_cursors;
uint64_t current_steps = 0;

const mortise_backend_v1* count_steps(const mortise_backend_v1* table) {
  static mortise_backend_v1 counting;
  plugin = table;
  counting = *table;
  counting.cursor_open = [](mortise_reader* reader, uint32_t keyspace, uint32_t flags,
                            mortise_cursor** out, mortise_error* error) {
    mortise_status status = plugin->cursor_open(reader, keyspace, flags, out, error);
    if (*out != nullptr && keyspace == store::kCurrent) current_cursors.insert(*out);
    return status;
  };
  counting.cursor_next = [](mortise_cursor* cursor, mortise_bytes* key, mortise_bytes* value,
                            mortise_error* error) {
    current_steps += current_cursors.count(cursor);
    return plugin->cursor_next(cursor, key, value, error);
  };
  counting.cursor_close = [](mortise_cursor* cursor) {
    current_cursors.erase(cursor);
    plugin->cursor_close(cursor);
  };
  return &counting;
}

class KeysOnlyTest : public ::testing::TestWithParam<std::string> {
 protected:
  KeysOnlyTest() { EXPECT_TRUE(writer_.open().ok()); }

  void put(const std::string& key, const std::string& value, int64_t lease = 0) {
    wire::PutRequest request;
    request.key = key;
    request.value = value;
    request.lease = lease;
    Outcome outcome;
    ASSERT_TRUE(writer_.put(request, false, &outcome).ok());
    commit_some();
  }
  void remove(const std::string& key, const std::string& range_end = "") {
    Outcome outcome;
    wire::DeleteRangeRequest request{key, range_end};
    ASSERT_TRUE(writer_.delete_range(request, false, &outcome).ok());
    commit_some();
  }
  void commit() {
    std::shared_ptr<EventBatch> ignored;
    ASSERT_TRUE(writer_.commit(++applied_, 1, &ignored).ok());
    uncommitted_ = 0;
  }
  int64_t revision() const { return writer_.revision(); }
  // Writes rows of key_history as they were before they had create revision and version.
  template <typename Choose>
  void make_rows_old(const Choose& choose) {
    testing::Rows old;
    for (const auto& [name, value] : store_.rows(store::kKeyHistory)) {
      if (!choose()) continue;
      HistoryValue row;
      ASSERT_TRUE(decode_history_value(value, &row));
      char bytes[kHistoryValueBytesMax];
      old[name].assign(bytes, write_history_value(bytes, {row.sub, row.tombstone}));
    }
    store::WriteBatch batch;
    for (const auto& [name, value] : old) batch.put(store::kKeyHistory, name, value);
    ASSERT_TRUE(store_.get()->commit(batch, ++applied_, 1).ok());
    ASSERT_TRUE(writer_.refresh().ok());
  }

  // The response's fields, or why it could not be read, within `budget_bytes` if there are any.
  std::string read(const wire::RangeRequest& request, uint64_t budget_bytes = 0) {
    View view = View::open(*store_.get()).value();
    store::ReadBudget budget(budget_bytes);
    if (budget_bytes > 0) view.limit(&budget);
    StoredBlockCounts counts(&view.reader());
    ReadContext context{&view.reader(), nullptr, &counts, view.state().revision,
                        view.state().compacted};
    ByteBuffer out;
    RangeResult result;
    Status status = range(context, request, &out, &result);
    if (!status.ok()) return status.message();
    EXPECT_TRUE(result.rpc.ok());
    append_range_tail(result, &out);
    return std::string(out.view());
  }
  // Reads the range in chunks of so many keys, without its tail.
  std::string read_chunks(wire::RangeRequest request, int64_t keys, uint64_t budget_bytes = 0) {
    View view = View::open(*store_.get()).value();
    store::ReadBudget budget(budget_bytes);
    if (budget_bytes > 0) view.limit(&budget);
    ReadContext context{&view.reader(), nullptr, nullptr, view.state().revision,
                        view.state().compacted};
    ByteBuffer out;
    std::string next;
    for (RangeChunk chunk{{}, 0, true, {}}; chunk.more;) {
      Status status = range_chunk(context, request, {keys, 1 << 20}, &out, &chunk);
      if (!status.ok()) return status.message();
      next = chunk.last_key + '\0';
      request.key = next;
    }
    return std::string(out.view());
  }
  // The same from values.
  std::string expected(wire::RangeRequest request) {
    request.keys_only = false;
    pb::RangeResponse response;
    if (request.count_only) {
      wire::RangeRequest all;
      all.key = request.key;
      all.range_end = request.range_end;
      all.revision = request.revision;
      EXPECT_TRUE(response.ParseFromString(read(all)));
      pb::RangeResponse count;
      count.set_count(response.kvs_size());
      return count.SerializeAsString();
    }
    EXPECT_TRUE(response.ParseFromString(read(request)));
    for (auto& kv : *response.mutable_kvs()) {
      kv.clear_value();
      if (request.sort_target != wire::kSortValue) kv.clear_lease();
    }
    return response.SerializeAsString();
  }

  static wire::RangeRequest all_keys() {
    wire::RangeRequest request;
    request.key = request.range_end = std::string_view("\0", 1);
    request.keys_only = true;
    return request;
  }

 private:
  void commit_some() {
    if (++uncommitted_ == 50) commit();
  }
  TestStore store_{GetParam(), count_steps};
  Writer writer_{store_.get(), [](int64_t) { return true; }, [] { return false; }};
  uint64_t applied_ = 0;
  int uncommitted_ = 0;
};

std::vector<std::string> backends() {
  std::string plugins = std::string(std::getenv("MORTISE_BUILD_DIR")) + "/plugins/";
  std::vector<std::string> names = {"memory"};
  for (const char* name : {"rocksdb", "lmdb"}) {
    if (access((plugins + "backend_" + name + ".so").c_str(), R_OK) == 0) names.push_back(name);
  }
  return names;
}
INSTANTIATE_TEST_SUITE_P(Backend, KeysOnlyTest, ::testing::ValuesIn(backends()),
                         [](const auto& info) { return info.param; });

std::string name(const char* prefix, int i) {
  char text[32];
  std::snprintf(text, sizeof text, "%s%05d", prefix, i);
  return text;
}

constexpr int kLargeKeys = 400;
constexpr size_t kLargeBytes = 20'000;  // 8 MB together.
constexpr uint64_t kBudgetBytes = 512 << 10;

TEST_P(KeysOnlyTest, LargeValuesAreNotRead) {
  for (int i = 0; i < 1000; ++i) put(name("a", i), "small");
  for (int i = 0; i < kLargeKeys; ++i) put(name("b", i), std::string(kLargeBytes, 'v'), 1 + i % 2);
  commit();
  wire::RangeRequest request = all_keys();
  request.keys_only = false;
  ASSERT_LT(read(request, kBudgetBytes).size(), kLargeBytes) << "the values fit into the budget";
  request.keys_only = true;
  EXPECT_EQ(read(request, kBudgetBytes), expected(request));
  request.limit = 1000 + kLargeKeys / 2;
  EXPECT_EQ(read(request, kBudgetBytes), expected(request));
  request.min_mod_revision = 1100;
  request.max_create_revision = 1300;
  EXPECT_EQ(read(request, kBudgetBytes), expected(request));
  for (int32_t target : {wire::kSortKey, wire::kSortVersion, wire::kSortCreate, wire::kSortMod}) {
    request.sort_target = target;
    request.sort_order = wire::kSortDescend;
    EXPECT_EQ(read(request, kBudgetBytes), expected(request)) << "sorted by " << target;
  }
  EXPECT_EQ(read_chunks(all_keys(), 2000, kBudgetBytes), [&] {
    pb::RangeResponse response;
    EXPECT_TRUE(response.ParseFromString(expected(all_keys())));
    response.clear_count();
    return response.SerializeAsString();
  }());
  // At an older revision no value is read at all.
  put("c", "");
  commit();
  request = all_keys();
  request.revision = revision() - 1;
  EXPECT_EQ(read(request, kBudgetBytes), expected(request));
}

// A count walks the blocks of keys at the ends of its range.
TEST_P(KeysOnlyTest, CountsDoNotPassLargeValues) {
  for (int i = 0; i < kLargeKeys; ++i) put(name("b", i), std::string(kLargeBytes, 'v'));
  for (int i = 0; i < 1000; ++i) put(name("a", i), std::string(100, 's'));
  remove(name("b", 7));
  commit();
  auto count = [&](std::string_view key, std::string_view range_end, uint64_t budget_bytes) {
    wire::RangeRequest request;
    request.key = key;
    request.range_end = range_end;
    request.count_only = true;
    pb::RangeResponse response;
    EXPECT_TRUE(response.ParseFromString(read(request, budget_bytes)));
    return response.count();
  };
  current_steps = 0;
  EXPECT_EQ(count("b", "c", kBudgetBytes), kLargeKeys - 1);
  EXPECT_EQ(count("b00100", "b00300", kBudgetBytes), 200);
  EXPECT_LT(current_steps, 100u);
  // Small values are passed where they are, and only their keys are spent for.
  current_steps = 0;
  EXPECT_EQ(count("a00100", "a00300", 200 * (store::ReadBudget::kRowBytes + 8) + 1024), 200);
  EXPECT_GE(current_steps, 200u);
}

// Where much was deleted and not compacted, key_history is as long as it was.
TEST_P(KeysOnlyTest, DeletedKeysAreNotWalkedOver) {
  for (int i = 0; i < kLargeKeys; ++i) put(name("a", i), std::string(kLargeBytes, 'v'));
  for (int i = 0; i < 10'000; ++i) put(name("b", i), "small");
  remove("b", "c");
  for (int i = 0; i < kLargeKeys; ++i) put(name("c", i), std::string(kLargeBytes, 'v'));
  commit();
  EXPECT_EQ(read(all_keys(), kBudgetBytes), expected(all_keys()));
}

TEST_P(KeysOnlyTest, VersionsOfAKeyAreNotWalkedOver) {
  put("a", "1");
  int64_t first = revision() + 1;
  for (int i = 0; i < 10'000; ++i) put("hot", std::to_string(i));
  put("z", "1");
  commit();
  for (int64_t at : {first - 1, first, first + 1, first + 62, first + 63, first + 64, first + 65,
                     first + 5000, first + 9999, first + 10'000}) {
    wire::RangeRequest request = all_keys();
    request.revision = at;
    request.keys_only = false;
    pb::RangeResponse response;
    ASSERT_TRUE(response.ParseFromString(read(request, 16 << 10))) << "at " << at;
    int keys = 1 + (at >= first) + (at == first + 10'000);
    ASSERT_EQ(response.kvs_size(), keys) << "at " << at;
    EXPECT_EQ(response.count(), keys);
    EXPECT_EQ(response.kvs(0).key(), "a");
    if (at < first) continue;
    int64_t version = std::min(at, first + 9999) - first + 1;
    EXPECT_EQ(response.kvs(1).key(), "hot");
    EXPECT_EQ(response.kvs(1).version(), version);
    EXPECT_EQ(response.kvs(1).value(), std::to_string(version - 1));
    request.keys_only = true;
    EXPECT_EQ(read(request, 16 << 10), expected(request));
  }
}

TEST_P(KeysOnlyTest, OldRowsFallBackOnTheirValues) {
  for (int i = 0; i < 100; ++i) put(name("a", i % 50), std::string(kLargeBytes, 'v'), 7);
  commit();
  wire::RangeRequest request = all_keys();
  std::string before = read(request);
  int64_t then = revision();
  make_rows_old([] { return true; });
  EXPECT_EQ(read(request), before);
  put("b", "");
  commit();
  request.revision = then;
  EXPECT_EQ(read(request), before);
}

class RandomRanges {
 public:
  explicit RandomRanges(uint64_t seed) : random_(seed) {}
  uint64_t below(uint64_t n) { return random_() % n; }
  std::string key() {
    static const char kAlphabet[] = {'\0', 'a', 'b', '\xff'};
    std::string key(1 + below(3), '\0');
    for (char& c : key) c = kAlphabet[below(4)];
    return key;
  }
  std::string value() {
    return std::string(below(10) == 0 ? 10'000 + below(60'000) : below(9), 'v');
  }
  // `key` and `range_end` outlive the request.
  wire::RangeRequest request(std::string* key, std::string* range_end, int64_t revision) {
    *key = below(2) == 0 ? std::string(1, '\0') : this->key();
    *range_end = below(2) == 0 ? std::string(1, '\0') : this->key();
    wire::RangeRequest request;
    request.keys_only = true;
    request.key = *key;
    request.range_end = *range_end;
    request.count_only = below(8) == 0;
    if (below(2) == 0) request.limit = static_cast<int64_t>(below(60));
    if (below(4) == 0) request.sort_order = static_cast<int32_t>(below(3));
    if (below(4) == 0) request.sort_target = static_cast<int32_t>(below(5));
    auto some = [&] { return 1 + static_cast<int64_t>(below(static_cast<uint64_t>(revision))); };
    if (below(4) == 0) request.revision = some();
    if (below(8) == 0) request.min_mod_revision = some();
    if (below(8) == 0) request.max_mod_revision = some();
    if (below(8) == 0) request.min_create_revision = some();
    if (below(8) == 0) request.max_create_revision = some();
    return request;
  }

 private:
  std::mt19937_64 random_;
};

TEST_P(KeysOnlyTest, AnswersAsARangeWithValues) {
  RandomRanges random(11);
  for (int i = 0; i < 1500; ++i) {
    std::string key = random.key();
    if (random.below(4) == 0) key = "hot" + std::to_string(random.below(3));
    if (random.below(5) == 0) {
      remove(key);
    } else {
      put(key, random.value(), static_cast<int64_t>(random.below(3)));
    }
  }
  commit();
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 150; ++i) {
      std::string key, range_end;
      wire::RangeRequest request = random.request(&key, &range_end, revision());
      ASSERT_EQ(read(request), expected(request)) << "round " << round << ", request " << i;
    }
    make_rows_old([&] { return random.below(3) == 0; });
  }
}

}  // namespace
}  // namespace mortise::mvcc
