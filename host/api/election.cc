// v3electionpb.Election
#include "host/lock/election.h"
#include "host/api/methods.h"
#include "host/api/permit.h"
#include "host/api/session.h"
#include "host/api/txn_check.h"
#include "host/lock/key_scan.h"
#include "host/lock/requests.h"
#include "proto/election.pb.h"

namespace mortise::api {

Cancellable* election_campaign(Call call) {
  v3electionpb::CampaignRequest request;
  if (!parse(call.request(), &request)) {
    call.fail(rpc_errors::kMalformed);
    return nullptr;
  }
  lock::Claim claim;
  claim.kind = lock::ContestKind::kElection;
  claim.name = request.name();
  claim.lease = request.lease();
  claim.value = std::move(*request.mutable_value());
  auto answer = [name = std::move(*request.mutable_name())](const lock::Turn& turn) {
    v3electionpb::CampaignResponse response;
    v3electionpb::LeaderKey* leader = response.mutable_leader();
    leader->set_name(name);
    leader->set_key(turn.key);
    leader->set_rev(turn.create_revision);
    leader->set_lease(turn.lease);
    return response.SerializeAsString();
  };
  return compete(std::move(call), std::move(claim), std::move(answer));
}

void election_proclaim(Call call) {
  v3electionpb::ProclaimRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  if (!request.has_leader()) return call.fail(rpc_errors::kLeaderKeyMissing);
  int64_t lease = request.leader().lease();
  auto announce = [request = std::move(request)](SharedCall c, int64_t session) {
    const v3electionpb::LeaderKey& leader = request.leader();
    wire::PutRequest put;
    put.key = leader.key();
    put.value = request.value();
    if (!c->context().node->has_space(put_cost(put)))
      return refuse_for_space(std::move(c), fail_inner);
    if (leader.key().empty()) return fail_inner(c.get(), rpc_errors::kEmptyKey);
    propose_for(std::move(c), wire::kRaftTxn,
                lock::update_key(leader.key(), leader.rev(), request.value(), session),
                [](SharedCall answered, const apply::ApplyResult& result) {
                  if (!lock::txn_succeeded(result.body.view()))
                    return answered->fail(rpc_errors::kElectionNotLeader);
                  answered->reply(respond(answered->context(), result.revision, {}));
                });
  };
  with_session(share(std::move(call)), lease, std::move(announce));
}

void election_resign(Call call) {
  v3electionpb::ResignRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  if (!request.has_leader()) return call.fail(rpc_errors::kLeaderKeyMissing);
  int64_t lease = request.leader().lease();
  auto resign = [leader = std::move(*request.mutable_leader())](SharedCall c, int64_t) {
    if (leader.key().empty()) return fail_inner(c.get(), rpc_errors::kEmptyKey);
    // Who leads no more has nothing to resign from, and is told so by no error.
    propose_for(std::move(c), wire::kRaftTxn, lock::delete_key(leader.key(), leader.rev()),
                [](SharedCall answered, const apply::ApplyResult& result) {
                  answered->reply(respond(answered->context(), result.revision, {}));
                });
  };
  with_session(share(std::move(call)), lease, std::move(resign));
}

namespace {

void read_leader(Call call, const v3electionpb::LeaderRequest& request) {
  const Context& context = call.context();
  if (context.alarms->is_active(apply::kAlarmCorrupt)) {
    return fail_inner(&call, rpc_errors::kCorrupt);
  }
  auth::Needs needs;
  std::string prefix = lock::prefix_of(request.name());
  std::string end = lock::prefix_end(prefix);
  needs.add(MORTISE_ACCESS_READ, prefix, end);
  if (RpcStatus status = judge(&call, needs); !status.ok()) return fail_inner(&call, status);
  auto oldest = lock::find_oldest(*context.store, lock::prefix_of(request.name()));
  if (!oldest.ok()) return call.fail(oldest.status());
  const lock::Found& leader = **oldest;
  if (leader.stored.empty()) return call.fail(rpc_errors::kElectionNoLeader);
  call.reply(lock::leader_response(context.header(leader.revision), leader.stored));
}

}  // namespace

void election_leader(Call call) {
  v3electionpb::LeaderRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  Node* node = call.context().node;
  if (node->is_linearizable()) return read_leader(std::move(call), request);
  node->when_linearizable([shared = share(std::move(call)), request](const RpcStatus& status) {
    if (!status.ok()) return fail_inner(shared.get(), status);
    read_leader(std::move(*shared), request);
  });
}

rpc::ServerStream* election_observe(const Context& context, const rpc::ClientStream& client,
                                    std::shared_ptr<auth::Warrant> warrant, RpcStatus* refused) {
  rpc::ServerStream* stream = context.keeper->observe(client, std::move(warrant));
  if (stream == nullptr) *refused = rpc_errors::kStopped;
  return stream;
}

}  // namespace mortise::api
