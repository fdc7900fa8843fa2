// etcdserverpb.Maintenance.Downgrade and MoveLeader
#include <optional>

#include "host/api/methods.h"
#include "host/membership/versions.h"
#include "proto/rpc.pb.h"

namespace mortise::api {
namespace {

using etcdserverpb::DowngradeRequest;

using membership::parse_version;
using membership::Version;

// May the cluster go down to `target` now? Ok with the version that it has.
RpcStatus validate(const Context& context, std::string_view target, Version* cluster) {
  auto wanted = parse_version(target);
  if (!wanted) return rpc_errors::kWrongDowngradeVersionFormat;
  auto version = parse_version(context.cluster->version());
  if (!version) return rpc_errors::kClusterVersionUnavailable;
  *cluster = *version;
  if (*wanted != Version{version->major, version->minor - 1}) {
    return rpc_errors::kInvalidDowngradeTargetVersion;
  }
  if (!context.cluster->downgrade_target().empty()) return rpc_errors::kDowngradeInProcess;
  return RpcStatus();
}

ByteBuffer answer(const Context& context) {
  etcdserverpb::DowngradeResponse response;
  if (auto version = parse_version(context.cluster->version())) {
    response.set_version(version->short_text());
  }
  return respond(context, context.node->revision(), response.SerializeAsString());
}

class DowngradeWaiter : public apply::Waiter {
 public:
  explicit DowngradeWaiter(Call call) : call_(std::move(call)) {}
  void complete(apply::ApplyResult result) override {
    if (!result.rpc.ok()) return call_.fail(result.rpc);
    call_.reply(answer(call_.context()));
  }

 private:
  Call call_;
};

void set_downgrade(Call call, bool enabled, const std::string& version) {
  std::string request;
  wire::append_varint_field(&request, 1, enabled ? 1 : 0);
  if (!version.empty()) wire::append_bytes_field(&request, 2, version);
  propose(std::move(call), wire::kRaftDowngradeInfoSet, request,
          [](Call proposed) { return std::make_unique<DowngradeWaiter>(std::move(proposed)); });
}

void reject(Call call, const RpcStatus& status) {
  call.context().node->log("warn", "reject downgrade request", {{"error", status.message()}});
  call.fail(status);
}

// One that is not under way can be ended, too.
void cancel(Call call, const RpcStatus& unread) {
  const Context& context = call.context();
  RpcStatus status = unread;
  if (status.ok() && context.cluster->downgrade_target().empty()) {
    status = rpc_errors::kNoInflightDowngrade;
  }
  if (status.ok()) return set_downgrade(std::move(call), false, {});
  context.node->log("warn", "failed to cancel downgrade", {{"error", status.message()}});
  call.reply(answer(context));
}

// `unread` says why the cluster's state cannot be relied on, if it cannot.
void downgrade(Call call, const DowngradeRequest& request, const RpcStatus& unread) {
  if (request.action() == DowngradeRequest::CANCEL) return cancel(std::move(call), unread);
  bool enable = request.action() == DowngradeRequest::ENABLE;
  Version version;
  RpcStatus status = unread;
  if (status.ok()) status = validate(call.context(), request.version(), &version);
  if (!status.ok()) return enable ? reject(std::move(call), status) : call.fail(status);
  if (!enable) return call.reply(answer(call.context()));
  std::string target = Version{version.major, version.minor - 1}.text();
  set_downgrade(std::move(call), true, target);
}

}  // namespace

void maintenance_downgrade(Call call) {
  DowngradeRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  if (!DowngradeRequest::DowngradeAction_IsValid(request.action())) {
    return call.fail(rpc_errors::kUnknownMethod);
  }
  bool is_cancel = request.action() == DowngradeRequest::CANCEL;
  if (!is_cancel && !parse_version(request.version())) {
    return downgrade(std::move(call), request, rpc_errors::kWrongDowngradeVersionFormat);
  }
  Node* node = call.context().node;
  auto shared = std::make_shared<Call>(std::move(call));
  node->when_linearizable([shared, request](const RpcStatus& status) {
    downgrade(std::move(*shared), request, status);
  });
}

void maintenance_move_leader(Call call) {
  const Context& context = call.context();
  etcdserverpb::MoveLeaderRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  if (context.node->leader() != context.cluster->local_id()) {
    return call.fail(rpc_errors::kNotLeader);
  }
  Node* node = context.node;
  auto shared = std::make_shared<Call>(std::move(call));
  node->move_leader(request.targetid(), [shared](const RpcStatus& status) {
    if (!status.ok()) return shared->fail(status);
    shared->reply(ByteBuffer());  // etcd's answer has no header.
  });
}

}  // namespace mortise::api
