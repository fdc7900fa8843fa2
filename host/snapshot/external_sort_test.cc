#include "host/snapshot/external_sort.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <random>

namespace mortise::snapshot {
namespace {

using Rows = std::map<std::string, std::string>;

class ExternalSortTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/sort-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  // What comes out, in order, as keys without values.
  static void expect_rows(ExternalSort* sort, const Rows& want) {
    ASSERT_TRUE(sort->rewind().ok());
    auto at = want.begin();
    std::string_view key, value;
    while (sort->next(&key, &value)) {
      ASSERT_NE(at, want.end());
      ASSERT_EQ(key, at->first);
      ASSERT_EQ(value, at->second);
      ++at;
    }
    EXPECT_TRUE(sort->status().ok());
    EXPECT_EQ(at, want.end());
  }
  std::string directory_;
};

TEST_F(ExternalSortTest, InMemoryAndInFiles) {
  for (size_t memory : {size_t{16} << 20, size_t{20'000}, size_t{1}}) {
    std::mt19937_64 random(7);
    ExternalSort sort(directory_, memory);
    Rows want;
    for (int i = 0; i < 600; ++i) {
      std::string key(random() % 40, '\0');
      for (char& c : key) c = static_cast<char>(random());
      std::string value(random() % 100, static_cast<char>(random()));
      if (!want.emplace(key, value).second) continue;
      ASSERT_TRUE(sort.add(key, value).ok());
    }
    expect_rows(&sort, want);
    expect_rows(&sort, want);
    EXPECT_EQ(sort.run_count() == 0, memory > 1 << 20);
    EXPECT_TRUE(std::filesystem::is_empty(directory_));
  }
}

TEST_F(ExternalSortTest, RowsLargerThanABuffer) {
  ExternalSort sort(directory_, 1);
  Rows want;
  for (char c : {'c', 'a', 'b'}) {
    std::string key(300'000, c), value(700'000, c);
    want[key] = value;
    ASSERT_TRUE(sort.add(key, value).ok());
  }
  EXPECT_EQ(sort.run_count(), 3);
  expect_rows(&sort, want);
}

TEST_F(ExternalSortTest, Nothing) {
  ExternalSort sort(directory_, 100);
  expect_rows(&sort, {});
}

TEST_F(ExternalSortTest, NoDirectory) {
  ExternalSort sort(directory_ + "/none", 1);
  Status status = sort.add("key", "value");
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace mortise::snapshot
