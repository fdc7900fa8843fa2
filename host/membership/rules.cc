#include "host/membership/rules.h"

#include <algorithm>

namespace mortise::membership {
namespace {

// Has a member other than `except` one of the URLs?
bool is_taken(const Roster& roster, const std::vector<std::string>& urls, uint64_t except) {
  for (const auto& [id, member] : roster.members) {
    if (id == except) continue;
    for (const std::string& url : urls) {
      const auto& theirs = member.peer_urls;
      if (std::find(theirs.begin(), theirs.end(), url) != theirs.end()) return true;
    }
  }
  return false;
}

struct Voters {
  size_t all = 0;
  size_t started = 0;
  bool started_are_a_majority() const { return started >= all / 2 + 1; }
};

Voters count_voters(const Roster& roster, uint64_t without = 0) {
  Voters count;
  for (const auto& [id, member] : roster.members) {
    if (member.is_learner || id == without) continue;
    ++count.all;
    if (!member.name.empty()) ++count.started;
  }
  return count;
}

RpcStatus check_known(const Roster& roster, uint64_t id) {
  if (roster.removed.contains(id) || !roster.members.contains(id)) {
    return rpc_errors::kMemberNotFound;
  }
  return RpcStatus();
}

}  // namespace

RpcStatus check_add(const Roster& roster, const Member& member, int64_t learners_max) {
  if (roster.removed.contains(member.id)) return rpc_errors::kMemberNotFound;
  if (roster.members.contains(member.id)) return rpc_errors::kMemberExists;
  if (is_taken(roster, member.peer_urls, 0)) return rpc_errors::kPeerUrlExists;
  if (member.is_learner && too_many_learners(roster.members, learners_max - 1)) {
    return rpc_errors::kTooManyLearners;
  }
  return RpcStatus();
}

RpcStatus check_promote(const Roster& roster, uint64_t id) {
  RpcStatus known = check_known(roster, id);
  if (known.ok() && !roster.members.at(id).is_learner) return rpc_errors::kMemberNotLearner;
  return known;
}

RpcStatus check_update(const Roster& roster, const Member& member) {
  RpcStatus known = check_known(roster, member.id);
  if (known.ok() && is_taken(roster, member.peer_urls, member.id)) {
    return rpc_errors::kPeerUrlExists;
  }
  return known;
}

RpcStatus check_remove(const Roster& roster, uint64_t id) { return check_known(roster, id); }

bool too_many_learners(const std::map<uint64_t, Member>& members, int64_t learners_max) {
  auto learners = std::count_if(members.begin(), members.end(),
                                [](const auto& member) { return member.second.is_learner; });
  return learners > learners_max;
}

bool can_add_voter(const Roster& roster) {
  Voters voters = count_voters(roster);
  // A cluster that is grown from one member, maybe one whose data was restored.
  if (voters.all == 1 && voters.started == 1) return true;
  ++voters.all;
  return voters.started_are_a_majority();
}

bool can_remove_voter(const Roster& roster, uint64_t id) {
  return count_voters(roster, id).started_are_a_majority();
}

bool can_promote(const Roster& roster) {
  Voters voters = count_voters(roster);
  ++voters.all;
  ++voters.started;
  return voters.started_are_a_majority();
}

bool is_safe_to_add(size_t voters, size_t connected) {
  return voters == 1 || connected >= (voters + 1) / 2 + 1;
}

bool is_safe_to_remove(size_t voters, size_t connected) {
  return connected >= 1 && voters >= 1 && connected - 1 >= 1 + (voters - 1) / 2;
}

}  // namespace mortise::membership
