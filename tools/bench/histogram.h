// A log-linear histogram of durations. Each power of two is cut into 128 equal steps, so a reported
// value is at most 1/128 above the recorded one, from a nanosecond to centuries, in 57 KB.
// One thread records into one histogram; merge() brings those of several threads together.
#pragma once

#include <cstdint>
#include <vector>

namespace mortise::bench {

class Histogram {
 public:
  Histogram();

  void record(uint64_t value);
  void merge(const Histogram& other);

  uint64_t count() const { return count_; }
  uint64_t min() const { return count_ == 0 ? 0 : min_; }
  uint64_t max() const { return max_; }
  double mean() const;
  // The smallest recorded value (rounded up to its step) that at least `quantile` of all values do
  // not exceed. `quantile` is between 0 and 1; 0 if nothing was recorded.
  uint64_t quantile(double quantile) const;

 private:
  std::vector<uint64_t> buckets_;
  uint64_t count_ = 0;
  uint64_t min_ = UINT64_MAX;
  uint64_t max_ = 0;
  double sum_ = 0;
};

}  // namespace mortise::bench
