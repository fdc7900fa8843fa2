// etcdserverpb.KV
#include "host/api/methods.h"
#include "host/api/permit.h"
#include "host/api/read_view.h"
#include "host/api/request_stats.h"
#include "host/api/txn_check.h"
#include "host/mvcc/range.h"
#include "host/mvcc/writer.h"

namespace mortise::api {
namespace {

using std::chrono::steady_clock;

bool needs_of_range(std::string_view request, auth::Needs* out) {
  return auth::needs_of_proposal(wire::kRaftRange, request, out);
}
bool needs_of_txn(std::string_view request, auth::Needs* out) {
  return auth::needs_of_proposal(wire::kRaftTxn, request, out);
}

constexpr size_t kRangeResponseBytes = 512;  // First guess; most reads are of one small key.

// What etcd's log counts has no ids in its header.
size_t short_header_size(int64_t revision) {
  return wire::bytes_field_size(1, wire::varint_field_size(3, static_cast<uint64_t>(revision)));
}

// "responses:<range_response_count:1 range_response_count:0> size:57"
std::string describe_txn(const mvcc::Outcome& outcome) {
  std::string counts;
  wire::FieldReader ops(outcome.body.view());
  wire::Field f;
  while (ops.next(&f)) {
    if (!f.is_bytes(3)) continue;
    int64_t count = 0;
    wire::FieldReader op(f.bytes);
    wire::Field range;
    while (op.next(&range)) {
      wire::FieldReader fields(range.is_bytes(1) ? range.bytes : std::string_view());
      wire::Field field;
      while (fields.next(&field)) count += field.is_bytes(2) ? 1 : 0;
    }
    counts +=
        (counts.empty() ? "" : " ") + std::string("range_response_count:") + std::to_string(count);
  }
  size_t size = outcome.body.size() + short_header_size(outcome.revision);
  return "responses:<" + counts + "> size:" + std::to_string(size);
}

// Notes a read that ends here; `read_from` is when it began to look at the store.
void count_range(const Call& call, steady_clock::time_point read_from, bool answered) {
  CallMetrics* metrics = call.context().metrics;
  if (metrics == nullptr) return;
  const auto now = steady_clock::now();
  metrics->ranges.add();
  (answered ? metrics->range_read : metrics->range_refused).observe(now - read_from);
  (answered ? metrics->range_answered : metrics->range_failed).observe(now - call.start());
}

void count_read_only_txn(const Call& call, const wire::TxnRequest& txn, bool answered) {
  CallMetrics* metrics = call.context().metrics;
  if (metrics == nullptr) return;
  const size_t ranges = txn.compare.size() + std::max(txn.success.size(), txn.failure.size());
  metrics->ranges.add(ranges);
  if (ranges > 1) metrics->read_only_txns.add();
  (answered ? metrics->txn_answered : metrics->txn_failed)
      .observe(steady_clock::now() - call.start());
}

// Answers, or leaves the call alone if the budget does not suffice.
void read_only_txn_within(store::ReadBudget* budget, const wire::TxnRequest& txn, Call& call) {
  const Context& context = call.context();
  auto view = mvcc::View::open(*context.store);
  if (!view.ok()) return call.fail(view.status());
  ReadView read(std::move(view).value(), budget);
  mvcc::Outcome outcome;
  Status status = mvcc::read_only_txn(read.context, txn, &outcome);
  if (budget != nullptr && budget->exceeded()) return;
  count_read_only_txn(call, txn, status.ok() && outcome.rpc.ok());
  if (!status.ok()) return call.fail(status);
  warn_if_slow_read(call, "read-only txn ", outcome.rpc, [&] { return describe_txn(outcome); });
  if (!outcome.rpc.ok()) return call.fail(outcome.rpc);
  if (RpcStatus old = still_current(call); !old.ok()) return call.fail(old);
  call.reply(respond(context, outcome.revision, outcome.body.view()));
}

void read_only_txn(Call call, const wire::TxnRequest& txn) {
  if (RpcStatus status = judge(&call, needs_of_txn); !status.ok()) return call.fail(status);
  store::ReadBudget budget(kInlineReadBytesMax);
  read_only_txn_within(&budget, txn, call);
  if (call.is_answered()) return;
  run_long(std::move(call), [](Call long_call) {
    wire::TxnRequest request;
    MORTISE_CHECK(wire::decode(long_call.request(), &request), "the request was decoded before");
    read_only_txn_within(nullptr, request, long_call);
  });
}

// Answers, or leaves the call alone if the budget does not suffice.
void range_within(store::ReadBudget* budget, const wire::RangeRequest& request, Call& call) {
  const Context& context = call.context();
  const auto start = steady_clock::now();
  auto view = mvcc::View::open(*context.store);
  if (!view.ok()) return call.fail(view.status());
  ReadView read(std::move(view).value(), budget);
  ByteBuffer response(kRangeResponseBytes);
  rpc::append_header(context.header(read.context.revision), &response);
  mvcc::RangeResult result;
  size_t header_size = response.size();
  Status status = mvcc::range(read.context, request, &response, &result);
  if (budget != nullptr && budget->exceeded()) return;
  count_range(call, start, status.ok() && result.rpc.ok());
  if (!status.ok()) return call.fail(status);
  if (result.rpc.ok()) mvcc::append_range_tail(result, &response);
  warn_if_slow_read(call, "read-only range ", result.rpc, [&] {
    size_t size = response.size() - header_size + short_header_size(read.context.revision);
    return "range_response_count:" + std::to_string(result.kv_count) +
           " size:" + std::to_string(size);
  });
  if (!result.rpc.ok()) return call.fail(result.rpc);
  if (RpcStatus old = still_current(call); !old.ok()) return call.fail(old);
  call.reply(std::move(response));
}

}  // namespace

namespace {

void read_range(Call call, const wire::RangeRequest& request) {
  if (RpcStatus status = judge(&call, needs_of_range); !status.ok()) return call.fail(status);
  store::ReadBudget budget(kInlineReadBytesMax);
  range_within(&budget, request, call);
  if (call.is_answered()) return;
  run_long(std::move(call), [](Call long_call) {
    wire::RangeRequest again;
    MORTISE_CHECK(wire::decode(long_call.request(), &again), "the request was decoded before");
    range_within(nullptr, again, long_call);
  });
}

}  // namespace

void kv_range(Call call) {
  wire::RangeRequest request;
  if (!wire::decode(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  RpcStatus rpc = check_range(request);
  if (!rpc.ok()) return call.fail(rpc);
  if (request.serializable || call.context().node->is_linearizable()) {
    return read_range(std::move(call), request);
  }
  when_linearizable(std::move(call), [](Call confirmed) {
    wire::RangeRequest again;
    MORTISE_CHECK(wire::decode(confirmed.request(), &again), "the request was decoded before");
    read_range(std::move(confirmed), again);
  });
}

void kv_put(Call call) {
  wire::PutRequest request;
  if (!wire::decode(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  if (!call.context().node->has_space(put_cost(request))) {
    return refuse_for_space(std::make_shared<Call>(std::move(call)));
  }
  RpcStatus rpc = check_put(request);
  if (!rpc.ok()) return call.fail(rpc);
  propose(std::move(call), wire::kRaftPut);
}

void kv_delete_range(Call call) {
  wire::DeleteRangeRequest request;
  if (!wire::decode(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  RpcStatus rpc = check_delete_range(request);
  if (!rpc.ok()) return call.fail(rpc);
  propose(std::move(call), wire::kRaftDeleteRange);
}

void kv_txn(Call call) {
  const Context& context = call.context();
  wire::TxnRequest request;
  if (!wire::decode(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  int64_t cost = txn_cost(request);
  if (cost > 0 && !context.node->has_space(cost)) {
    return refuse_for_space(std::make_shared<Call>(std::move(call)));
  }
  RpcStatus rpc = check_txn(request, context.limits.txn_ops_max);
  if (!rpc.ok()) return call.fail(rpc);
  if (!is_read_only(request)) return propose(std::move(call), wire::kRaftTxn);
  if (is_serializable(request) || context.node->is_linearizable()) {
    return read_only_txn(std::move(call), request);
  }
  when_linearizable(std::move(call), [](Call confirmed) {
    wire::TxnRequest again;
    MORTISE_CHECK(wire::decode(confirmed.request(), &again), "the request was decoded before");
    read_only_txn(std::move(confirmed), again);
  });
}

namespace {

// A physical compaction is answered when its rows are gone.
class CompactWaiter : public apply::Waiter {
 public:
  CompactWaiter(Call call, int64_t revision, bool physical)
      : call_(std::move(call)), revision_(revision), physical_(physical) {}
  void complete(apply::ApplyResult result) override {
    if (!result.rpc.ok()) {
      call_.fail(result.rpc);
      return;
    }
    auto call = std::make_shared<Call>(std::move(call_));
    auto answer = [call, revision = result.revision](bool finished) {
      if (!finished) return call->fail(rpc_errors::kStopped);
      call->reply(respond(call->context(), revision, {}));
    };
    if (physical_) {
      call->context().node->when_compacted(revision_, answer);
    } else {
      answer(true);
    }
  }

 private:
  Call call_;
  int64_t revision_;
  bool physical_;
};

}  // namespace

void kv_compact(Call call) {
  int64_t revision = 0;
  bool physical = false;
  wire::FieldReader reader(call.request());
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) revision = static_cast<int64_t>(f.varint);
    if (f.is_varint(2)) physical = f.varint != 0;
  }
  if (reader.failed()) return call.fail(rpc_errors::kMalformed);
  std::string_view request = call.request();
  propose(std::move(call), wire::kRaftCompaction, request, [revision, physical](Call proposed) {
    return std::make_unique<CompactWaiter>(std::move(proposed), revision, physical);
  });
}

}  // namespace mortise::api
