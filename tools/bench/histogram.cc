#include "tools/bench/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace mortise::bench {
namespace {

constexpr int kStepBits = 7;
constexpr uint64_t kSteps = uint64_t{1} << kStepBits;
// The values below kSteps have a bucket each; every power of two above has kSteps buckets.
constexpr size_t kBuckets = kSteps * (64 - kStepBits + 1);

size_t bucket_of(uint64_t value) {
  if (value < kSteps) return value;
  const int shift = std::bit_width(value) - 1 - kStepBits;
  return kSteps * static_cast<size_t>(shift + 1) + ((value >> shift) - kSteps);
}

// The largest value that falls into the bucket.
uint64_t bucket_end(size_t bucket) {
  if (bucket < kSteps) return bucket;
  const int shift = static_cast<int>(bucket / kSteps) - 1;
  return ((kSteps + bucket % kSteps) << shift) + ((uint64_t{1} << shift) - 1);
}

}  // namespace

Histogram::Histogram() : buckets_(kBuckets) {}

void Histogram::record(uint64_t value) {
  ++buckets_[bucket_of(value)];
  ++count_;
  min_ = std::min(min_, value);
  max_ = std::max(max_, value);
  sum_ += static_cast<double>(value);
}

void Histogram::merge(const Histogram& other) {
  for (size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
}

double Histogram::mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

uint64_t Histogram::quantile(double quantile) const {
  if (count_ == 0) return 0;
  const double wanted = std::ceil(std::clamp(quantile, 0.0, 1.0) * static_cast<double>(count_));
  const uint64_t rank = std::clamp<uint64_t>(static_cast<uint64_t>(wanted), 1, count_);
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += buckets_[i];
    if (seen >= rank) return std::min(bucket_end(i), max_);
  }
  return max_;
}

}  // namespace mortise::bench
