#include "tools/bench/keys.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace mortise::bench {
namespace {

std::vector<uint64_t> counts(Distribution distribution, uint64_t space, double exponent,
                             int samples) {
  KeyPicker picker(distribution, space, exponent, 7);
  std::vector<uint64_t> out(space);
  for (int i = 0; i < samples; ++i) {
    const uint64_t key = picker.pick(static_cast<uint64_t>(i));
    EXPECT_LT(key, space);
    ++out[key];
  }
  return out;
}

TEST(Random, SeedsDecideTheSequence) {
  Random a(1), b(1), c(2);
  EXPECT_EQ(a.next(), b.next());
  EXPECT_NE(a.next(), c.next());
}

TEST(Random, BelowAndUnitStayInside) {
  Random random(3);
  std::set<uint64_t> seen;
  for (int i = 0; i < 1000; ++i) {
    seen.insert(random.below(5));
    const double u = random.unit();
    EXPECT_GE(u, 0);
    EXPECT_LT(u, 1);
  }
  EXPECT_EQ(seen, (std::set<uint64_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(random.below(1), 0u);
}

TEST(KeyPicker, SequentialFollowsTheRequestNumber) {
  KeyPicker picker(Distribution::kSequential, 10, 1, 0);
  EXPECT_EQ(picker.pick(0), 0u);
  EXPECT_EQ(picker.pick(9), 9u);
  EXPECT_EQ(picker.pick(25), 5u);
}

TEST(KeyPicker, UniformIsEven) {
  // 100 expected samples a key; ten standard deviations of room.
  for (uint64_t n : counts(Distribution::kUniform, 1000, 1, 100000)) {
    EXPECT_GT(n, 0u);
    EXPECT_LT(n, 200u);
  }
}

TEST(KeyPicker, EverySpaceOfOneKeyWorks) {
  for (Distribution d : {Distribution::kSequential, Distribution::kUniform, Distribution::kZipf}) {
    EXPECT_EQ(KeyPicker(d, 1, 0.99, 1).pick(12), 0u);
  }
}

TEST(Zipf, FollowsTheLaw) {
  constexpr int kSamples = 400000;
  for (double exponent : {0.5, 0.99, 1.0, 1.5}) {
    constexpr uint64_t kN = 100;
    Zipf zipf(kN, exponent);
    Random random(5);
    std::vector<int> seen(kN + 1);
    for (int i = 0; i < kSamples; ++i) {
      const uint64_t rank = zipf.sample(&random);
      ASSERT_GE(rank, 1u);
      ASSERT_LE(rank, kN);
      ++seen[rank];
    }
    double norm = 0;
    for (uint64_t k = 1; k <= kN; ++k) norm += std::pow(static_cast<double>(k), -exponent);
    for (uint64_t k = 1; k <= kN; ++k) {
      const double expected = kSamples * std::pow(static_cast<double>(k), -exponent) / norm;
      EXPECT_NEAR(seen[k], expected, 6 * std::sqrt(expected) + 1)
          << "rank " << k << " s " << exponent;
    }
  }
}

TEST(Zipf, LargeSpaces) {
  Zipf zipf(uint64_t{1} << 40, 0.99);
  Random random(1);
  uint64_t largest = 0;
  for (int i = 0; i < 10000; ++i) largest = std::max(largest, zipf.sample(&random));
  EXPECT_GT(largest, uint64_t{1} << 30);
  EXPECT_LE(largest, uint64_t{1} << 40);
}

TEST(KeyPicker, ZipfReachesDistinctKeysForDistinctRanks) {
  for (uint64_t space : {uint64_t{2}, uint64_t{3}, uint64_t{10}, uint64_t{97}}) {
    int used = 0;
    for (uint64_t n : counts(Distribution::kZipf, space, 0.5, 20000)) used += n > 0 ? 1 : 0;
    EXPECT_EQ(static_cast<uint64_t>(used), space);
  }
}

TEST(Keys, Text) {
  EXPECT_EQ(digits_needed(1), 1);
  EXPECT_EQ(digits_needed(10), 1);
  EXPECT_EQ(digits_needed(11), 2);
  EXPECT_EQ(digits_needed(1000000), 6);
  std::string key = "something longer than the key";
  write_key("", 42, 8, &key);
  EXPECT_EQ(key, "00000042");
  write_key("bench/", 7, 9, &key);
  EXPECT_EQ(key, "bench/007");
  write_key("", 0, 3, &key);
  EXPECT_EQ(key, "000");
}

}  // namespace
}  // namespace mortise::bench
