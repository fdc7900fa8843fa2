// When a membership may change: etcd's rules, as pure functions of who belongs to the cluster.
//
// The first four decide while an entry is applied; all members must decide alike, so they know
// nothing but the state of the store and --max-learners, which has to be the same on all members.
// The others are the strict reconfiguration check, of the member that is asked, before it proposes.
#pragma once

#include <cstddef>
#include <map>
#include <set>

#include "host/base/rpc_error.h"
#include "host/membership/member.h"

namespace mortise::membership {

struct Roster {
  std::map<uint64_t, Member> members;
  std::set<uint64_t> removed;  // Ids that can never come back.
};

RpcStatus check_add(const Roster& roster, const Member& member, int64_t learners_max);
RpcStatus check_promote(const Roster& roster, uint64_t id);
RpcStatus check_update(const Roster& roster, const Member& member);
RpcStatus check_remove(const Roster& roster, uint64_t id);

bool too_many_learners(const std::map<uint64_t, Member>& members, int64_t learners_max);

// Has the cluster a majority of voters that have started once, counted after the change?
bool can_add_voter(const Roster& roster);
bool can_remove_voter(const Roster& roster, uint64_t id);
bool can_promote(const Roster& roster);
// Of `voters` members, `connected` answer: would a majority, if one more is added that does not?
bool is_safe_to_add(size_t voters, size_t connected);
// Is there a majority without one of those that answer?
bool is_safe_to_remove(size_t voters, size_t connected);

}  // namespace mortise::membership
