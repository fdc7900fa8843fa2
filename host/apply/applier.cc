#include "host/apply/applier.h"

#include "host/raft/membership_codec.h"

namespace mortise::apply {

Applier::Applier(store::Store* store, lease::Lessor* lessor, membership::Cluster* cluster,
                 Alarms* alarms, WaitList* waiters, Hooks hooks)
    : store_(store),
      lessor_(lessor),
      cluster_(cluster),
      alarms_(alarms),
      waiters_(waiters),
      hooks_(std::move(hooks)),
      writer_(
          store, [lessor](int64_t id) { return lessor->exists(id); }, hooks_.wants_prev) {}

Status Applier::open() {
  MORTISE_RETURN_IF_ERROR(writer_.open());
  MORTISE_RETURN_IF_ERROR(store_->applied(&applied_index_, &applied_term_));
  batch_index_ = applied_index_;
  batch_term_ = applied_term_;
  effects_.start(applied_index_);
  MORTISE_ASSIGN_OR_RETURN(auto reader, store_->reader());
  MORTISE_RETURN_IF_ERROR(lessor_->load(reader));
  MORTISE_RETURN_IF_ERROR(cluster_->load(reader));
  MORTISE_RETURN_IF_ERROR(alarms_->load(reader));
  MORTISE_RETURN_IF_ERROR(load_auth(reader));
  MORTISE_ASSIGN_OR_RETURN(visible_, mvcc::read_state(reader));
  return Status();
}

Status Applier::apply(std::span<const raft::EntryRef> entries) {
  for (const raft::EntryRef& entry : entries) {
    // The store may hold more than the log was known to have committed.
    if (entry->index <= applied_index_) continue;
    MORTISE_CHECK(entry->index == batch_index_ + 1, "a committed entry is missing");
    entry_rows_begin_ = writer_.pending_ops();
    MORTISE_RETURN_IF_ERROR(apply_entry(*entry));
    hash_effects(*entry);
    last_entry_ = entry.get();
    batch_index_ = entry->index;
    batch_term_ = entry->term;
    if (writer_.pending_bytes() >= kBatchBytesMax || writer_.pending_ops() >= kBatchOpsMax) {
      MORTISE_RETURN_IF_ERROR(flush());
    }
  }
  Status status = flush();
  last_entry_ = nullptr;
  return status;
}

void Applier::hash_effects(const raft::Entry& entry) {
  auto rows = writer_.pending().subspan(entry_rows_begin_);
  effects_.add(effect_digest(entry.index, entry.term, writer_.revision(), rows));
}

Status Applier::flush() {
  if (batch_index_ == applied_index_ && writer_.pending_ops() == 0) return Status();
  std::shared_ptr<mvcc::EventBatch> events;
  auto start = std::chrono::steady_clock::now();
  MORTISE_RETURN_IF_ERROR(writer_.commit(batch_index_, batch_term_, &events));
  report_commit(start);
  applied_index_ = batch_index_;
  applied_term_ = batch_term_;
  entry_rows_begin_ = 0;
  effects_.show();
  visible_ = mvcc::State{writer_.revision(), writer_.compacted()};
  auth_rows_.clear();
  show_auth_changes();
  hooks_.committed(visible_, applied_index_);
  // Before the events: who has seen a lease's keys go finds no lease.
  if (std::exchange(has_revoked_, false)) lessor_->show_revocations();
  if (!events->events.empty()) hooks_.publish(std::move(events));
  for (int64_t revision : compactions_) hooks_.compact(revision);
  compactions_.clear();
  answer();
  if (std::exchange(removed_self_, false) && hooks_.removed_self) hooks_.removed_self();
  return Status();
}

void Applier::answer() {
  if (done_.empty()) return;
  const auto now = std::chrono::steady_clock::now();
  bool many = done_.size() > 1 && hooks_.answering;
  if (many) hooks_.answering(true);
  for (Done& done : done_) {
    OpCounters& op = counters_[op_of(done.waiter->field())];
    (done.result.rpc.ok() ? op.answered : op.failed)
        .observe_alone(now - done.waiter->proposed_at());
    done.waiter->complete(std::move(done.result));
  }
  if (many) hooks_.answering(false);
  done_.clear();
}

Status Applier::remove(const mvcc::Removal& removal) {
  MORTISE_RETURN_IF_ERROR(store_->commit(removal.batch, applied_index_, applied_term_));
  return writer_.refresh();
}

Status Applier::apply_entry(const raft::Entry& entry) {
  if (entry.type != raft::EntryType::kNormal) return apply_membership_entry(entry);
  if (entry.data.empty()) return Status();
  wire::RaftRequest request;
  if (!wire::decode(entry.data, &request)) {
    return corruption("log entry " + std::to_string(entry.index) + " is not a request");
  }
  std::unique_ptr<Waiter> waiter = waiters_->take(request.id);
  ApplyResult result;
  auto start = std::chrono::steady_clock::now();
  result.rpc = gate(request);
  Status status = result.rpc.ok() ? permit(request, &result.rpc) : Status();
  if (status.ok() && result.rpc.ok()) {
    status = dispatch(request, entry.index, waiter != nullptr, &result);
  }
  if (!status.ok()) {
    // The member stops; whoever waits is told with all the others.
    if (waiter != nullptr) waiters_->add(request.id, std::move(waiter), WaitList::Clock::now());
    return status;
  }
  if (result.revision == 0) result.revision = writer_.revision();
  report(request, result, start);
  if (waiter != nullptr) {
    // As in etcd: what let a full store grow was applied, and is told so.
    if (result.rpc.ok() && hooks_.over_quota && hooks_.over_quota() && grows(request)) {
      result.rpc = rpc_errors::kNoSpace;
    }
    done_.push_back(Done{std::move(waiter), std::move(result)});
  }
  return Status();
}

void Applier::report(const wire::RaftRequest& request, const ApplyResult& result,
                     std::chrono::steady_clock::time_point start) {
  auto took = std::chrono::steady_clock::now() - start;
  OpCounters& op = counters_[op_of(request.field)];
  (result.rpc.ok() ? op.applied : op.refused).observe_alone(took);
  if (took > hooks_.slow_after) hooks_.was_slow(request, &result, took);
  bool failed = !result.rpc.ok() && result.rpc.message() != rpc_errors::kCompacted.message;
  if (failed && hooks_.has_failed) hooks_.has_failed(request, result, took);
}

// A commit is that of many requests; it is logged with the last one.
void Applier::report_commit(std::chrono::steady_clock::time_point start) const {
  auto took = std::chrono::steady_clock::now() - start;
  if (took <= hooks_.slow_after || last_entry_ == nullptr) return;
  wire::RaftRequest request;
  if (last_entry_->type != raft::EntryType::kNormal || last_entry_->data.empty()) return;
  if (wire::decode(last_entry_->data, &request)) hooks_.was_slow(request, nullptr, took);
}

Status Applier::dispatch(const wire::RaftRequest& request, uint64_t index, bool respond,
                         ApplyResult* result) {
  if (request.field >= wire::kRaftAuthFirst && request.field <= wire::kRaftAuthLast) {
    return apply_auth(request, index, result);
  }
  switch (request.field) {
    case wire::kRaftV2: apply_v2(request.request); return Status();
    case wire::kRaftPut: return apply_put(request.request, respond, result);
    case wire::kRaftDeleteRange: return apply_delete_range(request.request, respond, result);
    case wire::kRaftTxn: return apply_txn(request.request, respond, result);
    case wire::kRaftCompaction: return apply_compaction(request.request, result);
    case wire::kRaftLeaseGrant: return apply_lease_grant(request.request, result);
    case wire::kRaftLeaseRevoke: return apply_lease_revoke(request.request, result);
    case wire::kRaftLeaseCheckpoint: return apply_lease_checkpoint(request.request);
    case wire::kRaftAlarm: return apply_alarm(request.request, result);
    case wire::kRaftClusterVersionSet: return apply_cluster_version(request.request);
    case wire::kRaftDowngradeInfoSet: return apply_downgrade_info(request.request);
    case wire::kRaftClusterMemberAttrSet: return apply_member_attributes(request.request);
    default:
      // A request of a kind that this version does not know still takes its place in the log.
      hooks_.log("warn", "skipped a log entry of an unknown kind",
                 {{"field", std::to_string(request.field)}});
      result->rpc = RpcStatus(RpcCode::kUnimplemented, "etcdserver: request is not implemented");
      return Status();
  }
}

}  // namespace mortise::apply
