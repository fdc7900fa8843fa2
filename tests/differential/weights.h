// How often the generator draws each kind of operation: a file of lines "kind weight".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "host/base/status.h"

namespace mortise::differential {

enum class Choice {
  kPut,
  kRange,
  kRangeStream,
  kDeleteRange,
  kTxn,
  kCompact,
  kHashKv,
  kLease,
  kExpiry,
  kRestart,
  kKill,
};

class Weights {
 public:
  // Lines that begin with # are left out. Kinds that are not named are never drawn.
  static Result<Weights> parse(const std::string& text);
  uint64_t sum() const { return sum_; }
  // `draw` is below sum().
  Choice choose(uint64_t draw) const;

 private:
  struct Entry {
    Choice choice;
    uint64_t weight;
  };
  std::vector<Entry> entries_;
  uint64_t sum_ = 0;
};

}  // namespace mortise::differential
