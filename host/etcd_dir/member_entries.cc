#include "host/etcd_dir/member_entries.h"

#include "host/membership/published.h"
#include "host/raft/membership_codec.h"
#include "host/wire/raft_request.h"

namespace mortise::etcd_dir {
namespace {

using membership::Published;
using membership::Roster;

bool is_about_members(const wire::RaftRequest& request) {
  return request.field == wire::kRaftV2 || request.field == wire::kRaftClusterVersionSet ||
         request.field == wire::kRaftClusterMemberAttrSet;
}

Published published_by(std::string_view data) {
  wire::RaftRequest request;
  if (!wire::decode(data, &request)) return {};
  if (request.field == wire::kRaftV2) return membership::decode_v2_request(request.request);
  auto published = request.field == wire::kRaftClusterVersionSet
                       ? membership::decode_cluster_version(request.request)
                       : membership::decode_attributes(request.request);
  return published.ok() ? *published : Published();
}

void publish(const Published& published, Membership* membership) {
  if (!published.cluster_version.empty()) membership->cluster_version = published.cluster_version;
  auto known = membership->roster.members.find(published.member_id);
  if (known == membership->roster.members.end()) return;
  known->second.name = published.name;
  known->second.client_urls = published.client_urls;
}

void add_or_promote(const membership::ChangeContext& context, int64_t learners_max,
                    Roster* roster) {
  const membership::Member& member = context.member;
  if (context.is_promote) {
    if (check_promote(*roster, member.id).ok()) roster->members[member.id].is_learner = false;
  } else if (check_add(*roster, member, learners_max).ok()) {
    roster->members[member.id] = member;
  }
}

void change(const raft::MembershipChange& change, int64_t learners_max, Roster* roster) {
  if (change.changes.size() != 1 || change.changes[0].node == raft::kNoNode) return;
  const raft::SingleChange& single = change.changes[0];
  if (single.type == raft::ChangeType::kRemoveNode) {
    if (!check_remove(*roster, single.node).ok()) return;
    roster->members.erase(single.node);
    roster->removed.insert(single.node);
    return;
  }
  auto context = membership::decode_change_context(change.context);
  if (!context.ok() || context->member.id != single.node) return;
  if (single.type != raft::ChangeType::kUpdateNode) {
    add_or_promote(*context, learners_max, roster);
  } else if (check_update(*roster, context->member).ok()) {
    roster->members[single.node].peer_urls = context->member.peer_urls;
  }
}

}  // namespace

void MemberEntries::note(const LogEntry& entry) {
  while (!entries_.empty() && entries_.back().index >= entry.index) entries_.pop_back();
  if (entry.type == raft::EntryType::kNormal) {
    wire::RaftRequest request;
    if (!wire::decode(entry.data, &request) || !is_about_members(request)) return;
  }
  entries_.push_back({entry.index, entry.type, std::string(entry.data)});
}

Membership MemberEntries::after(Membership before, uint64_t last, int64_t learners_max) const {
  for (const Entry& entry : entries_) {
    if (entry.index > last) break;
    if (entry.type == raft::EntryType::kNormal) {
      publish(published_by(entry.data), &before);
      continue;
    }
    auto decoded = raft::decode_membership(entry.type, entry.data);
    if (decoded.ok()) change(*decoded, learners_max, &before.roster);
  }
  return before;
}

}  // namespace mortise::etcd_dir
