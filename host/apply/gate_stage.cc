// Which requests an active alarm refuses.
#include "host/apply/applier.h"
#include "host/wire/kv_requests.h"

namespace mortise::apply {
namespace {

bool writes_keys(const wire::TxnRequest& txn) {
  auto branch_writes = [](const std::vector<wire::RequestOp>& ops) {
    for (const wire::RequestOp& op : ops) {
      if (std::holds_alternative<wire::PutRequest>(op)) return true;
      auto* inner = std::get_if<std::unique_ptr<wire::TxnRequest>>(&op);
      if (inner != nullptr && writes_keys(**inner)) return true;
    }
    return false;
  };
  return branch_writes(txn.success) || branch_writes(txn.failure);
}

}  // namespace

bool grows(const wire::RaftRequest& request) {
  if (request.field == wire::kRaftPut || request.field == wire::kRaftLeaseGrant) return true;
  if (request.field != wire::kRaftTxn) return false;
  wire::TxnRequest txn;
  return wire::decode(request.request, &txn) && writes_keys(txn);
}

namespace {

bool touches_keys(uint32_t field) {
  return field == wire::kRaftPut || field == wire::kRaftDeleteRange || field == wire::kRaftTxn ||
         field == wire::kRaftCompaction || field == wire::kRaftLeaseGrant ||
         field == wire::kRaftLeaseRevoke;
}

}  // namespace

RpcStatus Applier::gate(const wire::RaftRequest& request) const {
  if (alarms_->is_active(kAlarmCorrupt) && touches_keys(request.field)) return rpc_errors::kCorrupt;
  if (alarms_->is_active(kAlarmNoSpace) && grows(request)) return rpc_errors::kNoSpace;
  return RpcStatus();
}

}  // namespace mortise::apply
