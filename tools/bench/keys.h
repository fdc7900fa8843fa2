// Which key a request uses. Keys are numbers 0..space-1 written as decimals of a fixed width, so
// that their order is that of the numbers and a range of them can be foreseen. A KeyPicker belongs
// to one thread; equal seeds give equal sequences.
#pragma once

#include <cstdint>
#include <string>

namespace mortise::bench {

// xoshiro256**: fast, and the same everywhere, which the standard distributions do not promise.
class Random {
 public:
  explicit Random(uint64_t seed);
  uint64_t next();
  // Even over 0..bound-1; bound must not be 0.
  uint64_t below(uint64_t bound);
  // Even over [0, 1).
  double unit();

 private:
  uint64_t state_[4];
};

enum class Distribution { kSequential, kUniform, kZipf };

// Ranks 1..n with probability proportional to 1/rank^exponent, by rejection-inversion: constant
// time and no table, for any n. The exponent must be above 0.
class Zipf {
 public:
  Zipf(uint64_t n, double exponent);
  uint64_t sample(Random* random) const;

 private:
  double integral(double x) const;
  double integral_inverse(double x) const;
  double density(double x) const;

  uint64_t n_;
  double exponent_;
  double integral_first_;
  double integral_last_;
  double shortcut_;
};

class KeyPicker {
 public:
  // `space` is at least 1.
  KeyPicker(Distribution distribution, uint64_t space, double zipf_exponent, uint64_t seed);
  // `sequence` is the number of the request in the whole run; only kSequential looks at it.
  uint64_t pick(uint64_t sequence);

 private:
  Distribution distribution_;
  uint64_t space_;
  Random random_;
  Zipf zipf_;
  uint64_t scatter_;
};

// Digits that the largest key of the space needs.
int digits_needed(uint64_t space);
// `prefix`, then the number with leading zeros up to `size` bytes in all.
void write_key(const std::string& prefix, uint64_t number, int size, std::string* out);

}  // namespace mortise::bench
