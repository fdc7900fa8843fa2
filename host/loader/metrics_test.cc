#include "host/loader/metrics.h"

#include <gtest/gtest.h>

#include <limits>

namespace mortise::loader {
namespace {

TEST(Metrics, TextFormat) {
  MetricsRegistry registry;
  registry.counter("b_total", "Counts \\ b\nin two lines").add(2);
  registry.gauge("a", "A", {{"x", "say \"hi\"\\\n"}}).set(-1.5);
  registry.gauge("a", "A", {{"x", "2"}}).set(1e9);
  Metric& h = registry.histogram("h_seconds", "H", {0.1, 1}, {{"op", "get"}});
  for (const double v : {0.05, 0.1, 0.5, 7.0}) h.observe(v);
  std::string text;
  registry.write(text);
  EXPECT_EQ(text,
            "# HELP a A\n"
            "# TYPE a gauge\n"
            "a{x=\"2\"} 1e+09\n"
            "a{x=\"say \\\"hi\\\"\\\\\\n\"} -1.5\n"
            "# HELP b_total Counts \\\\ b\\nin two lines\n"
            "# TYPE b_total counter\n"
            "b_total 2\n"
            "# HELP h_seconds H\n"
            "# TYPE h_seconds histogram\n"
            "h_seconds_bucket{op=\"get\",le=\"0.1\"} 2\n"
            "h_seconds_bucket{op=\"get\",le=\"1\"} 3\n"
            "h_seconds_bucket{op=\"get\",le=\"+Inf\"} 4\n"
            "h_seconds_sum{op=\"get\"} 7.65\n"
            "h_seconds_count{op=\"get\"} 4\n");
}

TEST(Metrics, SameSeriesIsFoundAgain) {
  MetricsRegistry registry;
  Metric& first = registry.counter("c_total", "C", {{"a", "1"}});
  EXPECT_EQ(&registry.counter("c_total", "C", {{"a", "1"}}), &first);
  EXPECT_NE(&registry.counter("c_total", "C", {{"a", "2"}}), &first);
}

TEST(Metrics, WhatDoesNotFitIsRefused) {
  MetricsRegistry registry;
  registry.counter("c_total", "C", {{"a", "1"}});
  const auto code = [&](mortise_metric_kind kind, const char* name, const Labels& labels,
                        const std::vector<double>& bounds) {
    return registry.series(kind, name, "", labels, bounds).status().code();
  };
  EXPECT_EQ(code(MORTISE_METRIC_GAUGE, "c_total", {{"a", "1"}}, {}), StatusCode::kInvalid);
  EXPECT_EQ(code(MORTISE_METRIC_COUNTER, "c_total", {{"b", "1"}}, {}), StatusCode::kInvalid);
  EXPECT_EQ(code(MORTISE_METRIC_COUNTER, "1c", {}, {}), StatusCode::kInvalid);
  EXPECT_EQ(code(MORTISE_METRIC_COUNTER, "c", {{"a:b", "1"}}, {}), StatusCode::kInvalid);
  EXPECT_EQ(code(MORTISE_METRIC_HISTOGRAM, "h", {{"le", "1"}}, {1}), StatusCode::kInvalid);
  EXPECT_EQ(code(MORTISE_METRIC_HISTOGRAM, "h", {}, {1, 1}), StatusCode::kInvalid);
  EXPECT_EQ(code(9, "x", {}, {}), StatusCode::kInvalid);
}

TEST(Metrics, CallsOfAnotherKindDoNothing) {
  MetricsRegistry registry;
  Metric& counter = registry.counter("c", "C");
  counter.add(1);
  counter.add(-5);
  counter.add(std::numeric_limits<double>::quiet_NaN());
  counter.set(9);
  counter.observe(9);
  EXPECT_EQ(counter.value(), 1);
}

TEST(Metrics, SourcesJoinWhatIsKeptHere) {
  MetricsRegistry registry;
  registry.gauge("g", "G", {{"of", "registry"}}).set(1);
  Histogram<2, 2> sizes;
  for (const uint64_t v : {0, 2, 3, 4, 5}) sizes.observe(v);
  int scrapes = 0;
  registry.add_source([&](Exposition& out) {
    out.gauge("g", "G", ++scrapes, {{"of", "a source"}});
    out.counter("g", "of another kind, so left out", 7);
    out.histogram("sizes", "S", sizes.figures(4));
  });
  std::string text;
  registry.write(text);
  EXPECT_EQ(text,
            "# HELP g G\n"
            "# TYPE g gauge\n"
            "g{of=\"a source\"} 1\n"
            "g{of=\"registry\"} 1\n"
            "# HELP sizes S\n"
            "# TYPE sizes histogram\n"
            "sizes_bucket{le=\"0.5\"} 2\n"
            "sizes_bucket{le=\"1\"} 4\n"
            "sizes_bucket{le=\"+Inf\"} 5\n"
            "sizes_sum 3.5\n"
            "sizes_count 5\n");
}

// What Go's strconv writes for %g.
TEST(Metrics, NumbersAreWrittenAsGoDoes) {
  const std::pair<double, const char*> numbers[] = {
      {0, "0"},
      {1, "1"},
      {-1, "-1"},
      {20480, "20480"},
      {999999, "999999"},
      {1e6, "1e+06"},
      {1234567, "1.234567e+06"},
      {123456.75, "123456.75"},
      {1234567.5, "1.2345675e+06"},
      {2147483648, "2.147483648e+09"},
      {18446744073709551616.0, "1.8446744073709552e+19"},
      {0.0001, "0.0001"},
      {0.00001, "1e-05"},
      {9.9014e-05, "9.9014e-05"},
      {0.1, "0.1"}};
  for (const auto& [value, expected] : numbers) {
    Exposition exposition;
    exposition.gauge("g", "", value);
    std::string text;
    exposition.write(text);
    EXPECT_EQ(text.substr(text.find("\ng ") + 3), std::string(expected) + "\n");
  }
}

}  // namespace
}  // namespace mortise::loader
