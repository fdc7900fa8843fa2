#include "host/apply/applier.h"

namespace mortise::apply {
namespace {

// Proposals are checked before they are logged, so a request that cannot be read is damage.
Status unreadable(std::string_view what) {
  return corruption("a logged " + std::string(what) + " request is malformed");
}

// Does a txn read at a revision that is part of the batch and not in the store yet?
bool reads_pending(const wire::TxnRequest& txn, const mvcc::Writer& writer) {
  auto in_branch = [&](const std::vector<wire::RequestOp>& ops) {
    for (const wire::RequestOp& op : ops) {
      if (auto* range = std::get_if<wire::RangeRequest>(&op)) {
        if (range->revision > 0 && writer.is_pending(range->revision)) return true;
      } else if (auto* inner = std::get_if<std::unique_ptr<wire::TxnRequest>>(&op)) {
        if (reads_pending(**inner, writer)) return true;
      }
    }
    return false;
  };
  return in_branch(txn.success) || in_branch(txn.failure);
}

void take_outcome(mvcc::Outcome outcome, ApplyResult* result) {
  result->rpc = std::move(outcome.rpc);
  result->revision = outcome.revision;
  result->body = std::move(outcome.body);
}

}  // namespace

Status Applier::apply_put(std::string_view request, bool respond, ApplyResult* result) {
  wire::PutRequest put;
  if (!wire::decode(request, &put)) return unreadable("put");
  mvcc::Outcome outcome;
  MORTISE_RETURN_IF_ERROR(writer_.put(put, respond, &outcome));
  take_outcome(std::move(outcome), result);
  return Status();
}

Status Applier::apply_delete_range(std::string_view request, bool respond, ApplyResult* result) {
  wire::DeleteRangeRequest del;
  if (!wire::decode(request, &del)) return unreadable("delete");
  mvcc::Outcome outcome;
  MORTISE_RETURN_IF_ERROR(writer_.delete_range(del, respond, &outcome));
  take_outcome(std::move(outcome), result);
  return Status();
}

Status Applier::apply_txn(std::string_view request, bool respond, ApplyResult* result) {
  wire::TxnRequest txn;
  if (!wire::decode(request, &txn)) return unreadable("txn");
  if (reads_pending(txn, writer_)) MORTISE_RETURN_IF_ERROR(flush());
  mvcc::Outcome outcome;
  MORTISE_RETURN_IF_ERROR(writer_.txn(txn, respond, &outcome));
  take_outcome(std::move(outcome), result);
  return Status();
}

Status Applier::apply_compaction(std::string_view request, ApplyResult* result) {
  int64_t revision = 0;
  wire::FieldReader reader(request);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) revision = static_cast<int64_t>(f.varint);
  }
  if (reader.failed()) return unreadable("compaction");
  result->rpc = writer_.compact(revision);
  if (result->rpc.ok()) compactions_.push_back(revision);
  return Status();
}

}  // namespace mortise::apply
