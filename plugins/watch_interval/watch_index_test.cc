#include "plugins/watch_interval/watch_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace mortise::watch_interval {
namespace {

using Match = std::pair<uint64_t, uint32_t>;
using Range = std::pair<std::string, std::string>;

const std::string kOpen("\0", 1);

void collect(void* context, uint64_t watcher, uint32_t event) {
  static_cast<std::vector<Match>*>(context)->emplace_back(watcher, event);
}

std::vector<Match> matches(const WatchIndex& index, const std::vector<std::string>& keys) {
  std::vector<mortise_bytes> spans;
  for (const std::string& key : keys) spans.push_back(sdk::bytes(key));
  std::vector<Match> found;
  index.match(spans, sdk::MatchSink(&collect, &found));
  // Sorted by watcher only: the order of one watcher's events is part of the promise.
  std::stable_sort(found.begin(), found.end(),
                   [](const Match& a, const Match& b) { return a.first < b.first; });
  return found;
}

bool wants(const Range& range, const std::string& key) {
  if (range.second.empty()) return key == range.first;
  return key >= range.first && (range.second == kOpen || key < range.second);
}

std::vector<Match> expected(const std::map<uint64_t, Range>& watchers,
                            const std::vector<std::string>& keys) {
  std::vector<Match> out;
  for (const auto& [watcher, range] : watchers) {
    for (uint32_t i = 0; i < keys.size(); ++i) {
      if (wants(range, keys[i])) out.emplace_back(watcher, i);
    }
  }
  return out;
}

std::unique_ptr<WatchIndex> make() {
  std::unique_ptr<WatchIndex> index;
  EXPECT_TRUE(WatchIndex::create(sdk::Host(), "{}", index).ok());
  return index;
}

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}

  size_t below(size_t n) { return random_() % n; }
  // Few distinct bytes, zero and 255 among them, so that keys meet often.
  std::string key() {
    static const std::string kAlphabet("ab\0\xff", 4);
    std::string out;
    for (size_t n = 1 + below(4); n > 0; --n) out += kAlphabet[below(kAlphabet.size())];
    return out;
  }
  Range range() {
    const std::string begin = key();
    switch (below(4)) {
      case 0: return {begin, ""};
      case 1: return {begin, kOpen};
      case 2: return {begin, begin + kOpen};
      default: return {begin, key()};
    }
  }

 private:
  std::mt19937_64 random_;
};

void run_random(uint64_t seed) {
  Generator random(seed);
  const auto index = make();
  std::map<uint64_t, Range> watchers;
  for (uint64_t step = 0; step < 3000; ++step) {
    if (random.below(3) != 0 || watchers.empty()) {
      const Range range = random.range();
      const bool valid =
          range.second.empty() || range.second == kOpen || range.first < range.second;
      const sdk::Status added = index->add(step, range.first, range.second);
      ASSERT_EQ(added.code, valid ? MORTISE_OK : MORTISE_E_INVALID);
      if (valid) watchers[step] = range;
    } else {
      const auto victim =
          std::next(watchers.begin(), static_cast<int64_t>(random.below(watchers.size())));
      index->remove(victim->first);
      watchers.erase(victim);
    }
    if (step % 10 != 0) continue;
    std::vector<std::string> keys;
    for (size_t n = random.below(8); n > 0; --n) keys.push_back(random.key());
    ASSERT_EQ(matches(*index, keys), expected(watchers, keys))
        << "seed " << seed << " step " << step;
  }
  for (const auto& [watcher, range] : watchers) index->remove(watcher);
  EXPECT_TRUE(matches(*index, {"a", "b", "ab"}).empty());
}

TEST(WatchIndex, AgreesWithBruteForce) {
  for (uint64_t seed = 1; seed <= 10; ++seed) run_random(seed);
}

TEST(WatchIndex, PrefixHeavyLoad) {
  const auto index = make();
  std::map<uint64_t, Range> watchers;
  uint64_t number = 0;
  const auto add = [&](const std::string& begin, const std::string& end) {
    ASSERT_TRUE(index->add(++number, begin, end).ok());
    watchers[number] = {begin, end};
  };
  for (int tenant = 0; tenant < 300; ++tenant) {
    const std::string prefix = "/registry/" + std::to_string(tenant);
    add(prefix + "/", prefix + "0");
    add(prefix + "/pods/", prefix + "/pods0");
    add(prefix + "/pods/", prefix + "/pods0");
    add(prefix + "/pods/p", "");
  }
  add("/", "0");
  add("/registry/", kOpen);
  const std::vector<std::string> keys = {
      "/registry/7/pods/p", "/registry/299/x", "/registry/7/pods/q", "/other", "~",
      "/registry/7/pods/p"};
  EXPECT_EQ(matches(*index, keys), expected(watchers, keys));
}

TEST(WatchIndex, RefusesBadWatchers) {
  const auto index = make();
  EXPECT_EQ(index->add(1, "b", "a").code, MORTISE_E_INVALID);
  EXPECT_EQ(index->add(1, "b", "b").code, MORTISE_E_INVALID);
  EXPECT_EQ(index->add(1, "", "").code, MORTISE_E_INVALID);
  EXPECT_TRUE(index->add(1, "b", "").ok());
  EXPECT_EQ(index->add(1, "c", "").code, MORTISE_E_INVALID);
  index->remove(2);
  EXPECT_EQ(matches(*index, {"b", "c"}), (std::vector<Match>{{1, 0}}));
}

TEST(WatchIndex, AnEmptyBeginAndAnOpenEndHoldEveryKey) {
  const auto index = make();
  ASSERT_TRUE(index->add(1, "", kOpen).ok());
  ASSERT_TRUE(index->add(2, "", "b").ok());
  EXPECT_EQ(matches(*index, {kOpen, "a", "b", "\xff\xff"}),
            (std::vector<Match>{{1, 0}, {1, 1}, {1, 2}, {1, 3}, {2, 0}, {2, 1}}));
}

TEST(WatchIndex, RefusesUnknownOptions) {
  std::unique_ptr<WatchIndex> index;
  const sdk::Status status = WatchIndex::create(sdk::Host(), "{\"speed\":1}", index);
  EXPECT_EQ(status.code, MORTISE_E_INVALID);
  EXPECT_NE(status.message.find("speed"), std::string::npos);
}

}  // namespace
}  // namespace mortise::watch_interval
