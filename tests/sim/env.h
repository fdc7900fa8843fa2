// What all parts of a simulation share: time, chance, the trace, and the first failure.
//
// Time is simulated: events stand in a queue, and the clock jumps from one to the next. Events of
// one instant happen in the order in which they were made. All chance comes from one seed, and each
// part has a generator of its own, so that a change in one part does not shift the dice of another.
//
// Threads: one. Ownership: the simulation owns the Env, which outlives all parts.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "host/raft/random.h"

namespace mortise::sim {

using Micros = uint64_t;
constexpr Micros kMillisecond = 1000;
constexpr Micros kSecond = 1000 * kMillisecond;

class Random {
 public:
  explicit Random(uint64_t seed) : random_(seed) {}
  uint64_t next() { return random_.next(); }
  uint64_t below(uint64_t n) { return random_.below(n); }
  // In [low, high].
  uint64_t between(uint64_t low, uint64_t high) { return low + below(high - low + 1); }
  bool percent(uint64_t p) { return below(100) < p; }
  bool permille(uint64_t p) { return below(1000) < p; }
  // Often near `low`, seldom near `high`: a delay.
  uint64_t skewed(uint64_t low, uint64_t high) {
    const uint64_t a = between(low, high);
    return std::min(a, std::min(between(low, high), between(low, high)));
  }

 private:
  raft::Random random_;
};

class Env {
 public:
  // With `print`, the trace goes to stdout as it is made.
  Env(uint64_t seed, bool print) : seed_(seed), print_(print), forks_(seed) {}
  Env(const Env&) = delete;
  Env& operator=(const Env&) = delete;

  Micros now() const { return now_; }
  void after(Micros delay, std::function<void()> action);
  // Carries out the next event; false if there is none, after `end`, or after a failure.
  bool step(Micros end);

  Random fork() { return Random(forks_.next()); }
  uint64_t seed() const { return seed_; }

  // One line of the trace.
  void trace(std::string_view line);
  uint64_t trace_hash() const { return trace_hash_; }
  uint64_t events() const { return events_; }

  // What must hold does not: the first one is kept and ends the simulation.
  void fail(std::string what);
  bool failed() const { return !failure_.empty(); }
  const std::string& failure() const { return failure_; }

 private:
  struct Event {
    Micros time;
    uint64_t sequence;
    std::function<void()> action;
    bool operator>(const Event& other) const {
      return time != other.time ? time > other.time : sequence > other.sequence;
    }
  };
  const uint64_t seed_;
  const bool print_;
  raft::Random forks_;
  Micros now_ = 0;
  uint64_t sequence_ = 0;
  uint64_t events_ = 0;
  uint64_t trace_hash_ = 14695981039346656037u;
  std::string failure_;
  std::vector<Event> queue_;  // A heap, the next event first.
};

}  // namespace mortise::sim
