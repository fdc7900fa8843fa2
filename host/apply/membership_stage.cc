// Membership changes: which of them take effect, and what then belongs to the cluster.
#include <algorithm>

#include "host/apply/applier.h"
#include "host/raft/membership_codec.h"

namespace mortise::apply {
namespace {

using membership::ChangeContext;
using raft::ChangeType;

// The core could not go on without any, and neither could etcd's, which panics.
RpcStatus check_leaves_voter(const membership::Roster& roster, uint64_t id) {
  for (const auto& [other, member] : roster.members) {
    if (other != id && !member.is_learner) return RpcStatus();
  }
  return rpc_errors::kNotEnoughStartedMembers;
}

bool needs_context(ChangeType type) { return type != ChangeType::kRemoveNode; }

}  // namespace

Status Applier::apply_membership_entry(const raft::Entry& entry) {
  MORTISE_ASSIGN_OR_RETURN(auto change, raft::decode_membership(entry.type, entry.data));
  ApplyResult result;
  result.revision = writer_.revision();
  std::unique_ptr<Waiter> waiter = change.id == 0 ? nullptr : waiters_->take(change.id);
  MORTISE_RETURN_IF_ERROR(change.v2 ? apply_joint(std::move(change), &result)
                                    : apply_single(std::move(change), &result));
  if (!result.rpc.ok()) {
    hooks_.log("error", "Validation on configuration change failed",
               log_fields({{"error", result.rpc.message()}}));
  }
  if (waiter != nullptr) done_.push_back(Done{std::move(waiter), std::move(result)});
  return Status();
}

Status Applier::apply_single(raft::MembershipChange change, ApplyResult* result) {
  if (change.changes.size() != 1) return corruption("a membership change changes no member");
  raft::SingleChange& single = change.changes[0];
  ChangeContext context;
  if (single.node != raft::kNoNode && needs_context(single.type)) {
    MORTISE_ASSIGN_OR_RETURN(context, membership::decode_change_context(change.context));
    if (context.member.id != single.node) {
      return corruption(
          "a membership change names two members: " + membership::hex_id(single.node) + " and " +
          membership::hex_id(context.member.id));
    }
  }
  MORTISE_ASSIGN_OR_RETURN(result->rpc, try_single(change, context));
  if (result->rpc.ok()) return Status();
  single.node = raft::kNoNode;
  raft::ConfState unchanged;
  return change_core(change, &unchanged);
}

Result<RpcStatus> Applier::try_single(const raft::MembershipChange& change,
                                      const ChangeContext& context) {
  const raft::SingleChange& single = change.changes[0];
  membership::Roster roster = cluster_->roster();
  RpcStatus allowed;
  switch (single.type) {
    case ChangeType::kRemoveNode:
      allowed = check_remove(roster, single.node);
      if (allowed.ok()) allowed = check_leaves_voter(roster, single.node);
      break;
    case ChangeType::kUpdateNode: allowed = check_update(roster, context.member); break;
    default:
      allowed = context.is_promote ? check_promote(roster, single.node)
                                   : check_add(roster, context.member, cluster_->learners_max());
  }
  if (!allowed.ok()) return allowed;
  raft::ConfState conf_state;
  MORTISE_RETURN_IF_ERROR(change_core(change, &conf_state));
  carry_out(single.type, single.node, context);
  return RpcStatus();
}

Status Applier::change_core(const raft::MembershipChange& change, raft::ConfState* conf_state) {
  MORTISE_ASSIGN_OR_RETURN(*conf_state, hooks_.membership_changed(change));
  writer_.put_row(store::kMeta, kConfStateKey, encode_conf_state(*conf_state));
  return Status();
}

// An update carries the new peer URLs, a promotion nothing but the id: what the member has
// published stays.
void Applier::carry_out(ChangeType type, uint64_t id, const ChangeContext& context) {
  if (type == ChangeType::kRemoveNode) return remove_member(id);
  auto known = cluster_->member(id);
  if (type == ChangeType::kUpdateNode) {
    known->peer_urls = context.member.peer_urls;
    return put_member(*known, "updated member", "updated-remote-peer-");
  }
  if (!context.is_promote) return put_member(context.member, "added member", "added-peer-");
  known->is_learner = false;
  put_member(*known, "promote member", "promoted-member-");
}

void Applier::put_member(const membership::Member& member, const char* message,
                         const char* prefix) {
  cluster_->put(member);
  writer_.put_row(store::kMembers, membership::member_row(member.id),
                  membership::encode_member(member));
  std::string p(prefix);
  // etcd's names: added-peer-peer-urls, but updated-remote-peer-urls.
  std::string urls = p == "added-peer-" ? p + "peer-urls" : p + "urls";
  hooks_.log("info", message,
             log_fields({{p + "id", membership::hex_id(member.id)},
                         {urls, member.peer_urls},
                         {p + "is-learner", member.is_learner}}));
}

void Applier::remove_member(uint64_t id) {
  auto member = cluster_->member(id);
  cluster_->remove(id);
  writer_.put_row(store::kMembers, membership::member_row(id), {});
  if (id == cluster_->local_id()) removed_self_ = true;
  if (!member) return;
  hooks_.log("info", "removed member",
             log_fields({{"removed-remote-peer-id", membership::hex_id(id)},
                         {"removed-remote-peer-urls", member->peer_urls},
                         {"removed-remote-peer-is-learner", member->is_learner}}));
}

// Changes of several members at once, and the entry that ends them. etcd writes none; they hold no
// addresses, so they can only be about members that are known.
Status Applier::apply_joint(raft::MembershipChange change, ApplyResult* result) {
  result->rpc = check_joint(change);
  if (!result->rpc.ok()) {
    change.transition = raft::Transition::kAuto;
    change.changes = {{ChangeType::kAddNode, raft::kNoNode}};
  }
  raft::ConfState conf_state;
  MORTISE_RETURN_IF_ERROR(change_core(change, &conf_state));
  if (result->rpc.ok()) follow(conf_state);
  return Status();
}

RpcStatus Applier::check_joint(const raft::MembershipChange& change) const {
  membership::Roster roster = cluster_->roster();
  for (const raft::SingleChange& single : change.changes) {
    if (single.node == raft::kNoNode) continue;
    RpcStatus known = check_remove(roster, single.node);
    if (!known.ok()) return known;
  }
  return RpcStatus();
}

// Who votes, learns or is gone, as the core says.
void Applier::follow(const raft::ConfState& conf_state) {
  auto has = [](const std::vector<raft::NodeId>& ids, uint64_t id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  for (membership::Member& member : cluster_->members()) {
    bool votes = has(conf_state.voters, member.id);
    bool learns = has(conf_state.learners, member.id) || has(conf_state.learners_next, member.id);
    if (!votes && !learns && !has(conf_state.voters_outgoing, member.id)) {
      remove_member(member.id);
    } else if (votes == member.is_learner) {
      member.is_learner = !votes;
      put_member(member, "updated member", "updated-remote-peer-");
    }
  }
}

LogFields Applier::log_fields(LogFields fields) const {
  LogFields all{{"cluster-id", membership::hex_id(cluster_->cluster_id())},
                {"local-member-id", membership::hex_id(cluster_->local_id())}};
  all.insert(all.end(), std::make_move_iterator(fields.begin()),
             std::make_move_iterator(fields.end()));
  return all;
}

}  // namespace mortise::apply
