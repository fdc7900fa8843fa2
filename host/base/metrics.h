// Counters and histograms of the hot paths: numbers that their owner changes without a lock, a map
// or a name. host/server reads them for a scrape and gives them their names there.
//
// Threads: reading any. add() and observe() any; add_alone() and observe_alone() cost less, and are
// for a value that one thread at a time changes and nobody else.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>
#include <vector>

namespace mortise {

class Counter {
 public:
  void add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  void add_alone(uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// A histogram as a scrape shows it.
struct HistogramFigures {
  std::vector<double> bounds;    // Upper ones, ascending, without +Inf.
  std::vector<uint64_t> counts;  // For each bound, and of those above the last; not cumulative.
  double sum = 0;
};

// Whole numbers by upper bounds kFirst * 2^i, i below kBounds.
template <uint64_t kFirst, size_t kBounds>
class Histogram {
 public:
  void observe(uint64_t value) {
    counts_[bucket(value)].add();
    sum_.add(value);
  }
  void observe_alone(uint64_t value) {
    counts_[bucket(value)].add_alone();
    sum_.add_alone(value);
  }
  void observe(std::chrono::nanoseconds took) { observe(whole(took)); }
  void observe_alone(std::chrono::nanoseconds took) { observe_alone(whole(took)); }

  bool is_empty() const {
    for (const Counter& count : counts_) {
      if (count.value() != 0) return false;
    }
    return true;
  }
  // So many of what was observed are one of what is shown: 1e9 for nanoseconds shown as seconds.
  HistogramFigures figures(double unit) const {
    HistogramFigures out;
    for (size_t i = 0; i < kBounds; ++i) {
      out.bounds.push_back(static_cast<double>(kFirst << i) / unit);
    }
    for (const Counter& count : counts_) out.counts.push_back(count.value());
    out.sum = static_cast<double>(sum_.value()) / unit;
    return out;
  }

 private:
  static uint64_t whole(std::chrono::nanoseconds took) {
    return took.count() < 0 ? 0 : static_cast<uint64_t>(took.count());
  }
  static size_t bucket(uint64_t value) {
    if (value <= kFirst) return 0;
    const auto at = static_cast<size_t>(std::bit_width((value - 1) / kFirst));
    return at < kBounds ? at : kBounds;
  }
  std::array<Counter, kBounds + 1> counts_;
  Counter sum_;
};

// With the bounds that etcd's durations have most often; in nanoseconds.
constexpr double kNanosecondsPerSecond = 1e9;
using DiskHistogram = Histogram<1'000'000, 14>;  // From 1 ms
using FineHistogram = Histogram<100'000, 20>;    // From 0.1 ms

}  // namespace mortise
