#include "tools/bench/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tools/bench/keys.h"

namespace mortise::bench {
namespace {

TEST(Histogram, Empty) {
  Histogram h;
  EXPECT_EQ(h.count(), 0u);
  EXPECT_EQ(h.min(), 0u);
  EXPECT_EQ(h.max(), 0u);
  EXPECT_EQ(h.mean(), 0);
  EXPECT_EQ(h.quantile(0.5), 0u);
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram h;
  for (uint64_t v = 1; v <= 100; ++v) h.record(v);
  EXPECT_EQ(h.quantile(0), 1u);
  EXPECT_EQ(h.quantile(0.5), 50u);
  EXPECT_EQ(h.quantile(0.9), 90u);
  EXPECT_EQ(h.quantile(0.99), 99u);
  EXPECT_EQ(h.quantile(1), 100u);
  EXPECT_DOUBLE_EQ(h.mean(), 50.5);
  EXPECT_EQ(h.min(), 1u);
  EXPECT_EQ(h.max(), 100u);
}

TEST(Histogram, TakesTheWholeRange) {
  Histogram h;
  h.record(0);
  h.record(UINT64_MAX);
  EXPECT_EQ(h.quantile(0.5), 0u);
  EXPECT_EQ(h.quantile(1), UINT64_MAX);
}

TEST(Histogram, EveryValueIsReportedWithinOneStep) {
  for (int bit = 0; bit < 64; ++bit) {
    for (uint64_t offset : {uint64_t{0}, uint64_t{1}, uint64_t{12345}}) {
      const uint64_t value = (uint64_t{1} << bit) + offset;
      Histogram h;
      h.record(value);
      h.record(UINT64_MAX);  // So that the maximum does not hide the rounding.
      const uint64_t reported = h.quantile(0.5);
      EXPECT_GE(reported, value);
      EXPECT_LE(reported - value, value / 128) << value;
    }
  }
}

TEST(Histogram, QuantilesMatchSortedValues) {
  Random random(1);
  std::vector<uint64_t> values;
  Histogram h;
  for (int i = 0; i < 20000; ++i) {
    const uint64_t value = random.next() >> (random.next() % 60);
    values.push_back(value);
    h.record(value);
  }
  std::sort(values.begin(), values.end());
  for (double q : {0.001, 0.1, 0.5, 0.9, 0.99, 0.999}) {
    const uint64_t exact = values[static_cast<size_t>(std::ceil(q * values.size())) - 1];
    EXPECT_GE(h.quantile(q), exact);
    EXPECT_LE(h.quantile(q) - exact, exact / 128);
  }
}

TEST(Histogram, MergeIsTheSameAsRecordingInOne) {
  Random random(2);
  Histogram a, b, all;
  for (int i = 0; i < 1000; ++i) {
    const uint64_t value = random.next() % 1000000;
    (i % 3 == 0 ? a : b).record(value);
    all.record(value);
  }
  a.merge(b);
  a.merge(Histogram());
  EXPECT_EQ(a.count(), all.count());
  EXPECT_EQ(a.min(), all.min());
  EXPECT_EQ(a.max(), all.max());
  EXPECT_DOUBLE_EQ(a.mean(), all.mean());
  for (double q : {0.0, 0.25, 0.5, 0.99, 1.0}) EXPECT_EQ(a.quantile(q), all.quantile(q));
}

}  // namespace
}  // namespace mortise::bench
