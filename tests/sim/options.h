// What a simulation is made of, drawn from its seed or given on the command line.
#pragma once

#include <optional>
#include <string>

#include "tests/sim/env.h"

namespace mortise::sim {

// Bugs that can be planted, so that a test sees the simulator find them.
enum class Bug : uint8_t {
  kNone,
  kAcknowledgeBeforeSync,  // The log's writer reports what it has only begun to write.
  kVoteTwice,              // Votes are not in the log.
  kCommitOldTerms,         // A leader tells a commit index that counts entries of older terms.
  kApplyBeforeDurable,     // Committed entries are applied before the own log has them.
  kNoPreVote,              // Elections start without asking first.
  kLoseAppliedIndex,       // The store's applied index is not in the commit of the entry's writes.
  kReadWithoutQuorum,      // Linearizable reads are answered from the local state.
};
std::optional<Bug> bug_named(const std::string& name);
const char* name_of(Bug bug);

struct Options {
  uint64_t seed = 1;
  Micros duration = 30 * kSecond;  // With faults; then the cluster has to recover.
  uint32_t members = 0;            // Founders: 3 or 5; 0: the seed says.
  bool trace = false;
  Bug bug = Bug::kNone;
};

// The raft timeouts of all members, in ticks of 100 ms by each member's own clock.
constexpr uint32_t kElectionTicks = 10;
constexpr Micros kTick = 100 * kMillisecond;
constexpr Micros kElectionTimeout = kElectionTicks * kTick;
// Clocks go wrong by at most this.
constexpr uint64_t kDriftPermilleMax = 50;

}  // namespace mortise::sim
