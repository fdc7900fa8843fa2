#include "tools/bench/keys.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "host/base/check.h"

namespace mortise::bench {
namespace {

uint64_t split_mix(uint64_t* state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// A step that visits all of 0..space-1, far enough from 1 to spread neighbours.
uint64_t scatter_step(uint64_t space) {
  if (space <= 2) return 1;
  uint64_t step = static_cast<uint64_t>(static_cast<double>(space) * 0.6180339887);
  if (step == 0) step = 1;
  while (std::gcd(step, space) != 1) ++step;
  return step;
}

}  // namespace

Random::Random(uint64_t seed) {
  for (uint64_t& word : state_) word = split_mix(&seed);
}

uint64_t Random::next() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

uint64_t Random::below(uint64_t bound) {
  MORTISE_CHECK(bound != 0, "an empty range has no numbers");
  // The values under the threshold would make the low numbers more likely.
  const uint64_t threshold = (0 - bound) % bound;
  for (;;) {
    const uint64_t value = next();
    if (value >= threshold) return value % bound;
  }
}

double Random::unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

Zipf::Zipf(uint64_t n, double exponent) : n_(n), exponent_(exponent) {
  MORTISE_CHECK(n >= 1 && exponent > 0, "no such zipf distribution");
  integral_first_ = integral(1.5) - 1;
  integral_last_ = integral(static_cast<double>(n) + 0.5);
  shortcut_ = 2 - integral_inverse(integral(2.5) - density(2));
}

// The integral of x^-exponent, up to a constant; expm1 keeps it exact for exponents near 1.
double Zipf::integral(double x) const {
  const double log_x = std::log(x);
  const double t = (1 - exponent_) * log_x;
  return std::abs(t) > 1e-8 ? std::expm1(t) / t * log_x : log_x * (1 + t / 2);
}

double Zipf::integral_inverse(double x) const {
  const double t = std::max(x * (1 - exponent_), -1.0);
  return std::exp(std::abs(t) > 1e-8 ? std::log1p(t) / t * x : x * (1 - t / 2));
}

double Zipf::density(double x) const { return std::exp(-exponent_ * std::log(x)); }

uint64_t Zipf::sample(Random* random) const {
  for (;;) {
    const double u = integral_last_ + random->unit() * (integral_first_ - integral_last_);
    const double x = integral_inverse(u);
    double rank = std::floor(x + 0.5);
    if (rank < 1) rank = 1;
    if (rank > static_cast<double>(n_)) rank = static_cast<double>(n_);
    if (rank - x <= shortcut_ || u >= integral(rank + 0.5) - density(rank)) {
      return static_cast<uint64_t>(rank);
    }
  }
}

KeyPicker::KeyPicker(Distribution distribution, uint64_t space, double zipf_exponent, uint64_t seed)
    : distribution_(distribution),
      space_(space),
      random_(seed),
      zipf_(space, zipf_exponent),
      scatter_(scatter_step(space)) {}

uint64_t KeyPicker::pick(uint64_t sequence) {
  switch (distribution_) {
    case Distribution::kSequential: return sequence % space_;
    case Distribution::kUniform: return random_.below(space_);
    case Distribution::kZipf: break;
  }
  // The popular keys lie apart, as they do in practice; neighbours would share cache lines and
  // pages.
  __extension__ const unsigned __int128 rank = zipf_.sample(&random_) - 1;
  return static_cast<uint64_t>(rank * scatter_ % space_);
}

int digits_needed(uint64_t space) {
  int digits = 1;
  for (uint64_t largest = space == 0 ? 0 : space - 1; largest >= 10; largest /= 10) ++digits;
  return digits;
}

void write_key(const std::string& prefix, uint64_t number, int size, std::string* out) {
  out->assign(static_cast<size_t>(size), '0');
  out->replace(0, prefix.size(), prefix);
  for (size_t i = out->size(); number != 0 && i > prefix.size(); number /= 10) {
    (*out)[--i] = static_cast<char>('0' + number % 10);
  }
}

}  // namespace mortise::bench
