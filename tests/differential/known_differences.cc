#include "tests/differential/known_differences.h"

#include <algorithm>
#include <functional>
#include <tuple>

namespace mortise::differential {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;

// Go's sort keeps the order of equal elements up to this many.
constexpr int kStableSortMax = 12;

using RangeFunction = std::function<void(const RangeRequest&, RangeResponse*)>;

// All ranges of a transaction that were carried out.
void for_each_range(const etcdserverpb::TxnRequest& request, etcdserverpb::TxnResponse* response,
                    const RangeFunction& function) {
  const auto& branch = response->succeeded() ? request.success() : request.failure();
  for (int i = 0; i < std::min(branch.size(), response->responses_size()); ++i) {
    auto* part = response->mutable_responses(i);
    if (branch[i].has_request_range() && part->has_response_range()) {
      function(branch[i].request_range(), part->mutable_response_range());
    } else if (branch[i].has_request_txn() && part->has_response_txn()) {
      for_each_range(branch[i].request_txn(), part->mutable_response_txn(), function);
    }
  }
}

void for_each_range(const Op& op, Answer* answer, const RangeFunction& function) {
  if (!answer->status.ok() || !answer->response) return;
  if (op.kind == OpKind::kRange) {
    function(op.as<RangeRequest>(), static_cast<RangeResponse*>(answer->response.get()));
  } else if (op.kind == OpKind::kTxn) {
    for_each_range(op.as<etcdserverpb::TxnRequest>(),
                   static_cast<etcdserverpb::TxnResponse*>(answer->response.get()), function);
  }
}

std::tuple<int64_t, std::string> sort_key(const RangeRequest& request, const mvccpb::KeyValue& kv) {
  switch (request.sort_target()) {
    case RangeRequest::VERSION: return {kv.version(), ""};
    case RangeRequest::CREATE: return {kv.create_revision(), ""};
    case RangeRequest::MOD: return {kv.mod_revision(), ""};
    case RangeRequest::VALUE: return {0, kv.value()};
    default: return {0, kv.key()};
  }
}

// Unspecified in every version: the order of pairs that the sort takes for equal, once there are
// more than Go's sort puts in order by insertion. Those in the last group before the limit may even
// be others.
void settle_ties(const RangeRequest& request, RangeResponse* response) {
  bool by_key = request.sort_target() == RangeRequest::KEY;
  bool by_hidden_value = request.sort_target() == RangeRequest::VALUE && request.keys_only();
  if (by_key || response->count() <= kStableSortMax) return;
  auto& kvs = *response->mutable_kvs();
  if (by_hidden_value) {
    if (response->more()) return kvs.Clear();
    std::sort(kvs.begin(), kvs.end(),
              [](const auto& a, const auto& b) { return a.key() < b.key(); });
    return;
  }
  for (int from = 0; from < kvs.size();) {
    int to = from;
    while (to < kvs.size() && sort_key(request, kvs[to]) == sort_key(request, kvs[from])) ++to;
    std::sort(kvs.begin() + from, kvs.begin() + to,
              [](const auto& a, const auto& b) { return a.key() < b.key(); });
    if (to == kvs.size() && response->more()) {
      kvs.DeleteSubrange(from, to - from);
      return;
    }
    from = to;
  }
}

// 3.7 answers a keys_only range from its index, which knows no leases, unless values are needed to
// sort.
void drop_leases_of_keys_only(const RangeRequest& request, RangeResponse* response) {
  if (!request.keys_only() || request.sort_target() == RangeRequest::VALUE) return;
  for (auto& kv : *response->mutable_kvs()) kv.clear_lease();
}

// Where a txn is wrong in two ways, 3.4 has looked at all its puts before its ranges; later
// versions look at each operation in turn.
bool is_other_check_first(const grpc::Status& ours, const grpc::Status& theirs) {
  return ours.error_code() == grpc::StatusCode::OUT_OF_RANGE &&
         (theirs.error_message() == "etcdserver: requested lease not found" ||
          theirs.error_message() == "etcdserver: key not found");
}

}  // namespace

Oracle oracle_of_version(const std::string& version) {
  Oracle oracle;
  oracle.is_34 = version.starts_with("3.4.");
  oracle.keeps_tombstone_at_compaction = !oracle.is_34;
  oracle.checks_sort_options = !oracle.is_34;
  oracle.loses_puts_after_deletes = !oracle.is_34;
  oracle.streams_ranges = version.starts_with("3.7.");
  return oracle;
}

void KnownDifferences::settle_orders(const Op& op, Answer* answer) {
  for_each_range(op, answer, settle_ties);
}

void KnownDifferences::observe(const Op& op, const Answer& theirs) {
  if (op.kind == OpKind::kCompact && theirs.status.ok()) {
    compactions_.insert(op.as<etcdserverpb::CompactionRequest>().revision());
  }
  if (op.kind == OpKind::kKill) compactions_before_kill_ = compactions_;
}

void KnownDifferences::reconcile(const Op& op, const Answer& ours, Answer* theirs) {
  // After a compaction at 0, etcd answers a question for the newest hash with that of revision 0.
  if (op.kind == OpKind::kHashKv && op.as<etcdserverpb::HashKVRequest>().revision() == 0 &&
      compactions_.contains(0)) {
    *theirs = ours;
  }
  // A server that was killed does the last compactions again, or not, by what had reached its disk;
  // only then it has their hashes.
  if (op.kind == OpKind::kHashKv &&
      compactions_before_kill_.contains(op.as<etcdserverpb::HashKVRequest>().revision())) {
    *theirs = ours;
  }
  if (!oracle_.is_34) return;
  for_each_range(op, theirs, drop_leases_of_keys_only);
  if (op.kind == OpKind::kTxn && is_other_check_first(ours.status, theirs->status)) *theirs = ours;
  if (op.kind == OpKind::kHashKv) {
    int64_t revision = op.as<etcdserverpb::HashKVRequest>().revision();
    // 3.7 refuses only revisions below the compacted one, 3.4 that one too; and 3.7 answers for
    // revisions of past compactions with the hash that the compaction computed.
    if (revision > 0 && compactions_.contains(revision)) *theirs = ours;
    // The field came with 3.6.
    if (theirs->status.ok() && theirs->response) {
      auto* response = static_cast<etcdserverpb::HashKVResponse*>(theirs->response.get());
      response->set_hash_revision(revision != 0 ? revision : response->header().revision());
    }
  }
}

}  // namespace mortise::differential
