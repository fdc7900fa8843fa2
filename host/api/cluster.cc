// etcdserverpb.Cluster, but for the list of members.
//
// A change goes through consensus and is answered once it is applied here. With
// --strict-reconfig-check it is refused before, if the cluster could lose its majority by it.
#include "host/api/methods.h"
#include "host/config/url.h"
#include "proto/rpc.pb.h"

namespace mortise::api {
namespace {

using membership::Member;

// A peer counts as connected once messages have got through for so long.
constexpr std::chrono::seconds kHealthInterval{5};

std::string encode_members(uint32_t field, const std::vector<Member>& members) {
  std::string body;
  for (const Member& member : members) {
    wire::append_bytes_field(&body, field, membership::encode_member(member));
  }
  return body;
}

const char* change_name(raft::ChangeType type) {
  switch (type) {
    case raft::ChangeType::kRemoveNode: return "ConfChangeRemoveNode";
    case raft::ChangeType::kUpdateNode: return "ConfChangeUpdateNode";
    case raft::ChangeType::kAddLearner: return "ConfChangeAddLearnerNode";
    default: return "ConfChangeAddNode";
  }
}

class ChangeWaiter : public apply::Waiter {
 public:
  // `added` precedes the list of members in the answer, if the change added one.
  ChangeWaiter(Call call, raft::SingleChange change, std::optional<Member> added)
      : call_(std::move(call)), change_(change), added_(std::move(added)) {}
  void complete(apply::ApplyResult result) override {
    const Context& context = call_.context();
    context.node->log("info", "applied a configuration change through raft",
                      {{"local-member-id", membership::hex_id(context.cluster->local_id())},
                       {"raft-conf-change", std::string(change_name(change_.type))},
                       {"raft-conf-change-node-id", membership::hex_id(change_.node)}});
    if (!result.rpc.ok()) return call_.fail(result.rpc);
    std::string body;
    if (added_) wire::append_bytes_field(&body, 2, membership::encode_member(*added_));
    body += encode_members(added_ ? 3 : 2, context.cluster->members());
    call_.reply(respond(context, 0, body));
  }

 private:
  Call call_;
  raft::SingleChange change_;
  std::optional<Member> added_;
};

void propose_change(Call call, raft::SingleChange single, std::string change_context,
                    std::optional<Member> added = std::nullopt) {
  raft::MembershipChange change;
  change.changes = {single};
  change.context = std::move(change_context);
  Node* node = call.context().node;
  node->propose_membership(
      std::move(change), std::make_unique<ChangeWaiter>(std::move(call), single, std::move(added)));
}

size_t connected_voters(const Context& context, size_t* voters) {
  size_t connected = 0;
  auto since = std::chrono::steady_clock::now() - kHealthInterval;
  *voters = 0;
  for (const Member& member : context.cluster->members()) {
    if (member.is_learner) continue;
    ++*voters;
    auto active = context.node->active_since(member.id);
    bool is_self = member.id == context.cluster->local_id();
    if (is_self || (active && *active < since)) ++connected;
  }
  return connected;
}

RpcStatus reject(const Context& context, std::string_view message, const char* field, uint64_t id,
                 const RpcStatus& status) {
  context.node->log("warn", message,
                    {{"local-member-id", membership::hex_id(context.cluster->local_id())},
                     {field, membership::hex_id(id)},
                     {"error", status.message()}});
  return status;
}

RpcStatus may_add(const Context& context, const Member& member) {
  if (!context.limits.strict_reconfig_check) return RpcStatus();
  constexpr const char* kField = "requested-member-add";
  if (!member.is_learner && !can_add_voter(context.cluster->roster())) {
    return reject(context, "rejecting member add request; not enough healthy members", kField,
                  member.id, rpc_errors::kNotEnoughStartedMembers);
  }
  size_t voters = 0;
  size_t connected = connected_voters(context, &voters);
  if (membership::is_safe_to_add(voters, connected)) return RpcStatus();
  return reject(context,
                "rejecting member add request; local member has not been connected to majority "
                "peers, reconfigure breaks active quorum",
                kField, member.id, rpc_errors::kUnhealthy);
}

RpcStatus may_remove(const Context& context, uint64_t id) {
  if (!context.limits.strict_reconfig_check) return RpcStatus();
  auto member = context.cluster->member(id);
  if (member && member->is_learner) return RpcStatus();
  if (!can_remove_voter(context.cluster->roster(), id)) {
    return reject(context, "rejecting member remove request; not enough healthy members",
                  "requested-member-remove-id", id, rpc_errors::kNotEnoughStartedMembers);
  }
  // One that is down is no part of the majority that there is.
  if (id != context.cluster->local_id() && !context.node->active_since(id)) return RpcStatus();
  size_t voters = 0;
  size_t connected = connected_voters(context, &voters);
  if (membership::is_safe_to_remove(voters, connected)) return RpcStatus();
  return reject(context,
                "rejecting member remove request; local member has not been connected to all "
                "peers, reconfigure breaks active quorum",
                "requested-member-remove", id, rpc_errors::kUnhealthy);
}

std::vector<std::string> strings(const google::protobuf::RepeatedPtrField<std::string>& field) {
  return {field.begin(), field.end()};
}

void list_members(Call call) {
  const Context& context = call.context();
  // Headers of the Cluster service have no revision.
  call.reply(respond(context, 0, encode_members(2, context.cluster->members())));
}

}  // namespace

void cluster_member_list(Call call) {
  etcdserverpb::MemberListRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  if (!request.linearizable()) return list_members(std::move(call));
  when_linearizable(std::move(call), list_members);
}

void cluster_member_add(Call call) {
  etcdserverpb::MemberAddRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  auto urls = config::parse_urls(strings(request.peerurls()));
  if (!urls.ok() || urls->empty()) return call.fail(rpc_errors::kMemberBadUrls);
  Member member;
  member.peer_urls = config::url_texts(*urls);
  auto now = std::chrono::system_clock::now().time_since_epoch();
  member.id = membership::added_member_id(
      member.peer_urls, std::chrono::duration_cast<std::chrono::seconds>(now).count());
  member.is_learner = request.islearner();
  if (RpcStatus status = may_add(call.context(), member); !status.ok()) return call.fail(status);
  auto type = member.is_learner ? raft::ChangeType::kAddLearner : raft::ChangeType::kAddNode;
  std::string context = membership::encode_change_context({member, /*is_promote=*/false});
  propose_change(std::move(call), {type, member.id}, std::move(context), member);
}

void cluster_member_remove(Call call) {
  etcdserverpb::MemberRemoveRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  RpcStatus status = may_remove(call.context(), request.id());
  if (!status.ok()) return call.fail(status);
  propose_change(std::move(call), {raft::ChangeType::kRemoveNode, request.id()}, {});
}

// etcd takes any text here and dies of one that is no URL when it is applied.
void cluster_member_update(Call call) {
  etcdserverpb::MemberUpdateRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  Member member;
  member.id = request.id();
  member.peer_urls = strings(request.peerurls());
  auto urls = config::parse_urls(member.peer_urls);
  if (!urls.ok() || urls->empty()) return call.fail(rpc_errors::kMemberBadUrls);
  std::string context = membership::encode_change_context({member, /*is_promote=*/false});
  propose_change(std::move(call), {raft::ChangeType::kUpdateNode, member.id}, std::move(context));
}

void cluster_member_promote(Call call) {
  etcdserverpb::MemberPromoteRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  auto shared = std::make_shared<Call>(std::move(call));
  shared->context().node->promote(
      request.id(), [shared](const RpcStatus& status, const std::vector<Member>& members) {
        if (!status.ok()) return shared->fail(status);
        shared->reply(respond(shared->context(), 0, encode_members(2, members)));
      });
}

}  // namespace mortise::api
