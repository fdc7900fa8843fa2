// etcdserverpb.Maintenance
#include "host/api/methods.h"
#include "host/api/permit.h"
#include "host/mvcc/hash.h"
#include "host/snapshot/etcd_rows.h"
#include "proto/rpc.pb.h"

namespace mortise::api {
namespace {

void reply_hash(Call call, const mvcc::PastHash& hash, int64_t revision) {
  etcdserverpb::HashKVResponse response;
  response.set_hash(hash.hash);
  response.set_compact_revision(hash.compact_revision);
  response.set_hash_revision(hash.revision);
  const Context& context = call.context();
  call.reply(respond(context, revision, response.SerializeAsString()));
}

void hash_kv_now(Call call) {
  const Context& context = call.context();
  etcdserverpb::HashKVRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  // Also at revisions that a later compaction has made unreadable.
  if (auto past = context.node->past_hash(request.revision())) {
    return reply_hash(std::move(call), *past, context.node->revision());
  }
  auto view = mvcc::View::open(*context.store);
  if (!view.ok()) return call.fail(view.status());
  mvcc::HashKvResult result;
  const auto start = std::chrono::steady_clock::now();
  Status status = mvcc::hash_kv(*view, request.revision(), &result);
  if (context.metrics != nullptr) {
    context.metrics->revision_hashes.observe(std::chrono::steady_clock::now() - start);
  }
  if (!status.ok()) return call.fail(status);
  if (!result.rpc.ok()) return call.fail(result.rpc);
  reply_hash(std::move(call), {result.hash, result.compact_revision, result.hash_revision},
             view->state().revision);
}

// As Go prints an AlarmMember.
std::string alarm_text(const apply::Alarm& alarm) {
  std::string text;
  if (alarm.member_id != 0) text = "memberID:" + std::to_string(alarm.member_id) + " ";
  text += "alarm:";
  if (alarm.type == apply::kAlarmNoSpace) return text + "NOSPACE";
  if (alarm.type == apply::kAlarmCorrupt) return text + "CORRUPT";
  return text + std::to_string(alarm.type);
}

void hash_now(Call call) {
  const Context& context = call.context();
  auto view = mvcc::View::open(*context.store);
  if (!view.ok()) return call.fail(view.status());
  const auto start = std::chrono::steady_clock::now();
  auto hash = snapshot::hash_etcd_rows(view->reader());
  if (context.metrics != nullptr) {
    context.metrics->hashes.observe(std::chrono::steady_clock::now() - start);
  }
  if (!hash.ok()) return call.fail(hash.status());
  etcdserverpb::HashResponse response;
  response.set_hash(*hash);
  call.reply(respond(context, view->state().revision, response.SerializeAsString()));
}

}  // namespace

void maintenance_alarm(Call call) {
  etcdserverpb::AlarmRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  // etcd dies of such a request. Who may not make it hears no more of it than in etcd.
  if (!etcdserverpb::AlarmRequest::AlarmAction_IsValid(request.action())) {
    return when_permitted(std::move(call), MORTISE_ACCESS_ADMIN,
                          [](Call permitted) { permitted.fail(rpc_errors::kUnknownMethod); });
  }
  propose(std::move(call), wire::kRaftAlarm);
}

void maintenance_status(Call call) {
  const Context& context = call.context();
  Node& node = *context.node;
  StoreFigures size = node.store_figures();
  etcdserverpb::StatusResponse response;
  response.set_version(std::string(kServerVersion));
  response.set_dbsize(size.bytes);
  response.set_dbsizeinuse(size.in_use);
  response.set_dbsizequota(context.limits.quota_bytes);
  response.set_leader(node.leader());
  response.set_raftindex(node.committed_index());
  response.set_raftterm(node.term());
  response.set_raftappliedindex(node.applied_index());
  response.set_storageversion(context.cluster->storage_version());
  std::string target = context.cluster->downgrade_target();
  response.mutable_downgradeinfo()->set_enabled(!target.empty());
  response.mutable_downgradeinfo()->set_targetversion(target);
  if (node.leader() == 0) response.add_errors(std::string(rpc_errors::kNoLeader.message));
  for (const apply::Alarm& alarm : context.alarms->list(apply::kAlarmNone)) {
    response.add_errors(alarm_text(alarm));
  }
  auto member = context.cluster->member(context.cluster->local_id());
  response.set_islearner(member && member->is_learner);
  call.reply(respond(context, node.revision(), response.SerializeAsString()));
}

void maintenance_defragment(Call call) {
  auto shared = std::make_shared<Call>(std::move(call));
  shared->context().node->reclaim([shared](Status status) {
    if (!status.ok()) return shared->fail(status);
    shared->reply(ByteBuffer());  // etcd's answer has no header.
  });
}

void maintenance_hash(Call call) { run_long(std::move(call), hash_now); }

void maintenance_hash_kv(Call call) { run_long(std::move(call), hash_kv_now); }

}  // namespace mortise::api
