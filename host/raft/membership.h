// What follows from a membership: who votes, when a majority is there, and how a change transforms
// it. Pure functions on ConfState; used by the core alone.
#pragma once

#include <algorithm>
#include <map>
#include <vector>

#include "host/base/status.h"
#include "host/raft/types.h"

namespace mortise::raft {

inline bool contains(const std::vector<NodeId>& sorted, NodeId id) {
  return std::binary_search(sorted.begin(), sorted.end(), id);
}
inline bool is_joint(const ConfState& conf) { return !conf.voters_outgoing.empty(); }
inline bool is_voter(const ConfState& conf, NodeId id) {
  return contains(conf.voters, id) || contains(conf.voters_outgoing, id);
}
inline bool is_singleton(const ConfState& conf) {
  return conf.voters.size() == 1 && !is_joint(conf);
}
// Voters of both halves and learners, sorted, each once.
std::vector<NodeId> all_members(const ConfState& conf);
std::vector<NodeId> all_voters(const ConfState& conf);

// The highest value that a majority of `voters` has reached; kNoLimit without voters, so that the
// missing half of a configuration that is not joint never holds the other back.
template <typename ValueOf>
uint64_t majority_value(const std::vector<NodeId>& voters, const ValueOf& value_of) {
  if (voters.empty()) return kNoLimit;
  if (voters.size() == 1) return value_of(voters[0]);
  std::vector<uint64_t> values;
  values.reserve(voters.size());
  for (const NodeId id : voters) values.push_back(value_of(id));
  // With n values ascending, those from position n - (n/2 + 1) on form a majority.
  const auto nth = values.begin() + static_cast<ptrdiff_t>(values.size() - (values.size() / 2 + 1));
  std::nth_element(values.begin(), nth, values.end());
  return *nth;
}

// Both halves agree on the result. 0 without any voter.
template <typename ValueOf>
uint64_t quorum_value(const ConfState& conf, const ValueOf& value_of) {
  if (conf.voters.empty()) return 0;
  return std::min(majority_value(conf.voters, value_of),
                  majority_value(conf.voters_outgoing, value_of));
}

enum class VoteResult : uint8_t { kPending, kWon, kLost };
// Lost as soon as no majority of some half can be reached any more.
VoteResult tally(const ConfState& conf, const std::map<NodeId, bool>& votes);

// Sorts the lists. kInvalid if they contradict each other.
Result<ConfState> normalize(ConfState conf);

// The membership after `change`. kInvalid, with the reason, if it is not allowed from `conf`.
Result<ConfState> changed(const ConfState& conf, const MembershipChange& change);

inline bool leaves_joint(const MembershipChange& change) {
  return change.v2 && change.changes.empty() && change.transition == Transition::kAuto;
}

}  // namespace mortise::raft
