// Shared by the plugin's tests: a directory that goes away, commits in short form, a store held
// against a std::map.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <array>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mortise/sdk/bytes.h"
#include "plugins/backend_lmdb/store.h"

namespace mortise::lmdb {

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mortise-lmdb-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Operations of one commit; owns their bytes.
class Batch {
 public:
  Batch& put(uint32_t keyspace, std::string key, std::string value) {
    return add(MORTISE_OP_PUT, keyspace, std::move(key), std::move(value));
  }
  Batch& remove(uint32_t keyspace, std::string key) {
    return add(MORTISE_OP_DELETE, keyspace, std::move(key), "");
  }
  Batch& remove_range(uint32_t keyspace, std::string key, std::string end) {
    return add(MORTISE_OP_DELETE_RANGE, keyspace, std::move(key), std::move(end));
  }
  Batch& add(mortise_op_kind kind, uint32_t keyspace, std::string key, std::string value) {
    texts_.push_back(
        std::make_unique<std::pair<std::string, std::string>>(std::move(key), std::move(value)));
    ops_.push_back(mortise_write_op{kind, keyspace, sdk::bytes(texts_.back()->first),
                                    sdk::bytes(texts_.back()->second)});
    return *this;
  }
  Status commit(Store& store, uint64_t index, uint64_t term = 1, bool sync = false) const {
    mortise_commit_request request{};
    request.struct_size = sizeof(request);
    request.sync = sync ? 1 : 0;
    request.applied_index = index;
    request.applied_term = term;
    request.ops = ops_.data();
    request.op_count = ops_.size();
    return store.commit(request);
  }

 private:
  std::vector<mortise_write_op> ops_;
  std::vector<std::unique_ptr<std::pair<std::string, std::string>>> texts_;
};

inline std::unique_ptr<Store> open_store(const std::string& path, std::string_view config = "{}") {
  std::unique_ptr<Store> store;
  const Status status = Store::open(sdk::Host(nullptr), path, config, store);
  EXPECT_TRUE(status.ok()) << status.message;
  return store;
}

inline std::unique_ptr<Reader> open_reader(Store& store) {
  std::unique_ptr<Reader> reader;
  const Status status = store.reader_open(reader);
  EXPECT_TRUE(status.ok()) << status.message;
  return reader;
}

using Map = std::map<std::string, std::string>;
using Oracle = std::array<Map, MORTISE_KEYSPACE_COUNT_MAX>;
using Pairs = std::vector<std::pair<std::string, std::string>>;

// Everything of [lower, upper) as the cursor gives it.
inline Pairs read_range(Reader& reader, uint32_t keyspace, const std::string& lower = "",
                        const std::string& upper = "", bool reverse = false) {
  Pairs out;
  std::unique_ptr<Cursor> cursor;
  Status status = reader.cursor_open(keyspace, reverse ? MORTISE_CURSOR_REVERSE : 0, cursor);
  EXPECT_TRUE(status.ok()) << status.message;
  status = cursor->seek(lower, upper);
  EXPECT_TRUE(status.ok()) << status.message;
  std::string_view key, value;
  while ((status = cursor->next(key, value)).ok()) out.emplace_back(key, value);
  EXPECT_EQ(status.code, MORTISE_E_NOT_FOUND) << status.message;
  EXPECT_EQ(cursor->next(key, value).code, MORTISE_E_NOT_FOUND);
  return out;
}

inline Pairs expected_range(const Map& map, const std::string& lower = "",
                            const std::string& upper = "", bool reverse = false) {
  Pairs out;
  for (const auto& [key, value] : map) {
    if (key >= lower && (upper.empty() || key < upper)) out.emplace_back(key, value);
  }
  if (reverse) std::reverse(out.begin(), out.end());
  return out;
}

inline void expect_equal(Reader& reader, const Oracle& oracle) {
  for (uint32_t keyspace = 0; keyspace < oracle.size(); ++keyspace) {
    ASSERT_EQ(read_range(reader, keyspace), expected_range(oracle[keyspace]));
    ASSERT_EQ(read_range(reader, keyspace, "", "", true),
              expected_range(oracle[keyspace], "", "", true));
  }
}

inline std::string get(Reader& reader, uint32_t keyspace, const std::string& key) {
  std::string_view value;
  const Status status = reader.get(keyspace, key, value);
  if (status.code == MORTISE_E_NOT_FOUND) return "(none)";
  EXPECT_TRUE(status.ok()) << status.message;
  return std::string(value);
}

// Random commits, applied to the store and the oracle alike.
class Workload {
 public:
  Workload(uint64_t seed, bool long_keys) : random_(seed), long_keys_(long_keys) {}

  uint64_t below(uint64_t bound) { return random_() % bound; }
  std::string key() {
    std::string out = std::to_string(below(400));
    if (long_keys_ && below(2) == 0) {
      // Around every border at which a key is split, sharing prefixes.
      static constexpr size_t kLengths[] = {498, 499, 500,  501,  600,  979,
                                            980, 981, 1459, 1460, 1461, 3000};
      std::string prefix(kLengths[below(std::size(kLengths))], below(3) == 0 ? 'a' : 'b');
      if (below(3) == 0) prefix[below(prefix.size())] = 'c';
      out = below(4) == 0 ? prefix : prefix + std::to_string(below(20));
    }
    return out;
  }
  std::string value() {
    return std::string(below(below(20) == 0 ? 9000 : 300), char('a' + below(26)));
  }

  void commit(Store& store, Oracle& oracle, uint64_t index) {
    Batch batch;
    const uint64_t count = below(12);
    for (uint64_t i = 0; i < count; ++i) {
      const auto keyspace = static_cast<uint32_t>(below(3) * 5);
      Map& map = oracle[keyspace];
      const uint64_t dice = below(100);
      std::string k = key();
      if (dice < 65) {
        std::string v = value();
        map[k] = v;
        batch.put(keyspace, k, v);
      } else if (dice < 94) {
        map.erase(k);
        batch.remove(keyspace, k);
      } else {
        std::string end = below(10) == 0 ? std::string() : key();
        auto it = map.lower_bound(k);
        while (it != map.end() && (end.empty() || it->first < end)) it = map.erase(it);
        batch.remove_range(keyspace, k, end);
      }
    }
    const Status status = batch.commit(store, index);
    ASSERT_TRUE(status.ok()) << status.message;
  }

 private:
  std::mt19937_64 random_;
  const bool long_keys_;
};

}  // namespace mortise::lmdb
