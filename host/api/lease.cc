// etcdserverpb.Lease, but for its stream (keep_alive.cc).
#include "host/api/lease_work.h"
#include "host/api/methods.h"
#include "host/api/txn_check.h"
#include "proto/rpc.pb.h"

namespace mortise::api {
void lease_grant(Call call) {
  etcdserverpb::LeaseGrantRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  Node* node = call.context().node;
  if (!node->has_space(kLeaseCost)) return call.fail(rpc_errors::kNoSpace);
  if (request.id() == 0) request.set_id(node->new_lease_id());
  propose(std::move(call), wire::kRaftLeaseGrant, request.SerializeAsString());
}

void lease_revoke(Call call) {
  etcdserverpb::LeaseRevokeRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  propose(std::move(call), wire::kRaftLeaseRevoke);
}

namespace {

void reply_time_to_live(Call call, const RpcStatus& status, const std::string& body) {
  const Context& context = call.context();
  if (status.ok()) return call.reply(respond(context, context.node->revision(), body));
  if (status.message() != rpc_errors::kLeaseNotFound.message) return call.fail(status);
  etcdserverpb::LeaseTimeToLiveRequest request;
  (void)parse(call.request(), &request);
  etcdserverpb::LeaseTimeToLiveResponse unknown;
  unknown.set_id(request.id());
  unknown.set_ttl(-1);
  call.reply(respond(context, context.node->revision(), unknown.SerializeAsString()));
}

}  // namespace

void lease_time_to_live(Call call) {
  const Context& context = call.context();
  etcdserverpb::LeaseTimeToLiveRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  auto shared = std::make_shared<Call>(std::move(call));
  int64_t id = request.id();
  bool with_keys = request.keys();
  if (context.node->leader() != context.cluster->local_id()) {
    context.node->time_to_live_at_leader(
        id, with_keys, [shared](const RpcStatus& status, const std::string& body) {
          reply_time_to_live(std::move(*shared), status, body);
        });
    return;
  }
  context.node->when_caught_up([&context, shared, id, with_keys](const RpcStatus& caught_up) {
    std::string body;
    RpcStatus status = caught_up;
    if (status.ok()) status = time_to_live_here(context, id, with_keys, &body);
    reply_time_to_live(std::move(*shared), status, body);
  });
}

void lease_leases(Call call) {
  const Context& context = call.context();
  etcdserverpb::LeaseLeasesResponse response;
  for (int64_t id : context.lessor->by_remaining_time()) response.add_leases()->set_id(id);
  call.reply(respond(context, context.node->revision(), response.SerializeAsString()));
}

}  // namespace mortise::api
