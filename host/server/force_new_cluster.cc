#include "host/server/force_new_cluster.h"

#include <map>

#include "host/membership/member.h"
#include "host/raft/membership_codec.h"

namespace mortise::server {
namespace {

// The address of a member that the log does not name, as etcd has it; it can be updated.
constexpr const char* kUnknownPeerUrl = "http://localhost:2380";

// Ids, and whether they vote.
std::map<uint64_t, bool> members_after(const raft::ConfState& conf_state,
                                       const std::vector<raft::EntryRef>& unapplied) {
  std::map<uint64_t, bool> members;
  for (uint64_t id : conf_state.learners) members[id] = false;
  for (uint64_t id : conf_state.voters) members[id] = true;
  for (const raft::EntryRef& entry : unapplied) {
    if (entry->type == raft::EntryType::kNormal) continue;
    auto change = raft::decode_membership(entry->type, entry->data);
    if (!change.ok()) continue;
    for (const raft::SingleChange& single : change->changes) {
      if (single.node == raft::kNoNode) continue;
      if (single.type == raft::ChangeType::kAddNode) members[single.node] = true;
      if (single.type == raft::ChangeType::kAddLearner) members.try_emplace(single.node, false);
      if (single.type == raft::ChangeType::kRemoveNode) members.erase(single.node);
    }
  }
  return members;
}

raft::MembershipChange make_voter(uint64_t self, bool is_learner) {
  membership::ChangeContext context;
  context.member.id = self;
  context.is_promote = is_learner;
  if (!is_learner) context.member.peer_urls = {kUnknownPeerUrl};
  raft::MembershipChange change;
  change.changes = {{raft::ChangeType::kAddNode, self}};
  change.context = membership::encode_change_context(context);
  return change;
}

}  // namespace

std::vector<raft::Entry> entries_to_stand_alone(uint64_t self, const raft::ConfState& conf_state,
                                                const std::vector<raft::EntryRef>& unapplied,
                                                uint64_t last, uint64_t term) {
  auto members = members_after(conf_state, unapplied);
  std::vector<raft::MembershipChange> changes;
  auto known = members.find(self);
  if (known == members.end() || !known->second) {
    changes.push_back(make_voter(self, /*is_learner=*/known != members.end()));
  }
  for (const auto& [id, votes] : members) {
    if (id == self) continue;
    raft::MembershipChange change;
    change.changes = {{raft::ChangeType::kRemoveNode, id}};
    changes.push_back(std::move(change));
  }
  std::vector<raft::Entry> entries;
  for (const raft::MembershipChange& change : changes) {
    entries.push_back({term, last + 1 + entries.size(), raft::EntryType::kConfChange,
                       raft::encode_membership(change)});
  }
  return entries;
}

}  // namespace mortise::server
