// etcdserverpb.Lease, but for its stream (keep_alive.cc).
#include "host/api/lease_work.h"
#include "host/api/methods.h"
#include "host/api/permit.h"
#include "host/api/txn_check.h"
#include "proto/rpc.pb.h"

namespace mortise::api {
void lease_grant(Call call) {
  etcdserverpb::LeaseGrantRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  Node* node = call.context().node;
  if (!node->has_space(kLeaseCost)) {
    return refuse_for_space(std::make_shared<Call>(std::move(call)));
  }
  if (request.id() == 0) request.set_id(node->new_lease_id());
  propose(std::move(call), wire::kRaftLeaseGrant, request.SerializeAsString());
}

void lease_revoke(Call call) {
  etcdserverpb::LeaseRevokeRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  propose(std::move(call), wire::kRaftLeaseRevoke);
}

namespace {

// Whoever tells, this member or the leader: only keys that the caller may read are told.
RpcStatus judge_keys_of(Call* call, const std::string& body) {
  if (!call->context().auth_enabled()) return RpcStatus();
  etcdserverpb::LeaseTimeToLiveResponse response;
  if (!parse(body, &response)) return rpc_errors::kMalformed;
  if (response.keys().empty()) return RpcStatus();
  auth::Needs needs;
  for (const std::string& key : response.keys()) needs.add(MORTISE_ACCESS_READ, key);
  return judge(call, needs);
}

void reply_time_to_live(Call call, const RpcStatus& status, const std::string& body) {
  const Context& context = call.context();
  if (status.ok()) {
    if (RpcStatus refused = judge_keys_of(&call, body); !refused.ok()) return call.fail(refused);
    return call.reply(respond(context, context.node->revision(), body));
  }
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

namespace {

// Of any lease.
RpcStatus judge_all_attached_keys(const Context& context, const mortise_identity& who) {
  auto reader = context.store->reader();
  auto cursor = reader.ok() ? reader->cursor(store::kLeaseKeys, MORTISE_CURSOR_KEYS_ONLY)
                            : Result<store::Cursor>(reader.status());
  Status status = cursor.ok() ? cursor->seek({}, {}) : cursor.status();
  RpcStatus rpc;
  std::string_view row, value;
  while (status.ok() && rpc.ok() && cursor->next(&row, &value)) {
    std::string key(row.substr(8));
    rpc = context.authority->authorize(
        who, mortise_access{MORTISE_ACCESS_READ, 0, store::bytes(key), {}});
  }
  if (status.ok()) status = cursor->status();
  if (!status.ok()) return RpcStatus(RpcCode::kUnknown, "etcdserver: " + status.message());
  return rpc;
}

void list_leases(Call call) {
  const Context& context = call.context();
  const mortise_identity* who = call.identity();
  if (who != nullptr && !context.authority->is_admin(*who)) {
    RpcStatus status = judge_all_attached_keys(context, *who);
    if (status.ok()) status = still_current(call);
    if (!status.ok()) return call.fail(status);
  }
  etcdserverpb::LeaseLeasesResponse response;
  for (int64_t id : context.lessor->by_remaining_time()) response.add_leases()->set_id(id);
  call.reply(respond(context, context.node->revision(), response.SerializeAsString()));
}

}  // namespace

void lease_leases(Call call) {
  if (!call.context().auth_enabled()) return list_leases(std::move(call));
  RpcStatus status = judge(&call, MORTISE_ACCESS_LOGGED_IN);
  if (!status.ok()) return call.fail(status);
  run_long(std::move(call), list_leases);
}

}  // namespace mortise::api
