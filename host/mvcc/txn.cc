// Txns: compares first, all against the state before the txn; then checks, so that a txn that fails
// changes nothing; then the operations of the chosen branches.
#include "host/mvcc/compare.h"
#include "host/mvcc/writer.h"

namespace mortise::mvcc {
namespace {

constexpr uint32_t kTxnSucceeded = 2;
constexpr uint32_t kTxnResponses = 3;
// Fields of RequestOp and ResponseOp.
constexpr uint32_t kOpRange = 1;
constexpr uint32_t kOpPut = 2;
constexpr uint32_t kOpDeleteRange = 3;
constexpr uint32_t kOpTxn = 4;

// Headers inside a txn's response hold the revision only.
std::string inner_header(int64_t revision) {
  std::string header, field;
  wire::append_varint_field(&header, 1 + 2, static_cast<uint64_t>(revision));
  wire::append_bytes_field(&field, 1, header);
  return field;
}

// responses += ResponseOp{ `op`: header + body }
void append_response(std::string* out, uint32_t op, const std::string& header,
                     std::string_view body) {
  size_t size = header.size() + body.size();
  wire::append_bytes_head(out, kTxnResponses, wire::bytes_field_size(op, size));
  wire::append_bytes_head(out, op, size);
  out->append(header);
  out->append(body);
}

RpcStatus check_range(const wire::RangeRequest& request, int64_t revision, int64_t compacted) {
  if (request.revision == 0) return RpcStatus();
  if (request.revision > revision) return rpc_errors::kFutureRevision;
  if (request.revision < compacted) return rpc_errors::kCompacted;
  return RpcStatus();
}

Status run_range(const ReadContext& context, const wire::RangeRequest& request, std::string* body) {
  ByteBuffer buffer;
  RangeResult result;
  MORTISE_RETURN_IF_ERROR(range(context, request, &buffer, &result));
  MORTISE_CHECK(result.rpc.ok(), "a range failed after its txn was checked");
  append_range_tail(result, &buffer);
  body->append(buffer.view());
  return Status();
}

const std::vector<wire::RequestOp>& branch(const wire::TxnRequest& request, bool success) {
  return success ? request.success : request.failure;
}

}  // namespace

Status Writer::choose_path(const wire::TxnRequest& request, std::vector<bool>* path) {
  bool hold;
  MORTISE_RETURN_IF_ERROR(mvcc::compares_hold(context(), request.compare, &hold));
  path->push_back(hold);
  for (const wire::RequestOp& op : branch(request, hold)) {
    if (auto* txn = std::get_if<std::unique_ptr<wire::TxnRequest>>(&op)) {
      MORTISE_RETURN_IF_ERROR(choose_path(**txn, path));
    }
  }
  return Status();
}

Status Writer::check_txn(const wire::TxnRequest& request, const std::vector<bool>& path, size_t* at,
                         RpcStatus* rpc) {
  for (const wire::RequestOp& op : branch(request, path[(*at)++])) {
    if (auto* range_op = std::get_if<wire::RangeRequest>(&op)) {
      *rpc = check_range(*range_op, state_.revision, state_.compacted);
    } else if (auto* put_op = std::get_if<wire::PutRequest>(&op)) {
      MORTISE_RETURN_IF_ERROR(check_put(*put_op, rpc));
    } else if (auto* txn = std::get_if<std::unique_ptr<wire::TxnRequest>>(&op)) {
      MORTISE_RETURN_IF_ERROR(check_txn(**txn, path, at, rpc));
    }
    if (!rpc->ok()) break;
  }
  return Status();
}

Status Writer::run_op(const wire::RequestOp& op, const std::vector<bool>& path, size_t* at,
                      bool respond, std::string* out) {
  std::string body;
  uint32_t field = 0;
  if (auto* range_op = std::get_if<wire::RangeRequest>(&op)) {
    field = kOpRange;
    counted_.ranges.add_alone();
    if (respond) MORTISE_RETURN_IF_ERROR(run_range(context(), *range_op, &body));
  } else if (auto* put_op = std::get_if<wire::PutRequest>(&op)) {
    field = kOpPut;
    MORTISE_RETURN_IF_ERROR(do_put(*put_op, respond, &body));
  } else if (auto* delete_op = std::get_if<wire::DeleteRangeRequest>(&op)) {
    field = kOpDeleteRange;
    MORTISE_RETURN_IF_ERROR(do_delete(*delete_op, respond, &body));
  } else if (auto* txn = std::get_if<std::unique_ptr<wire::TxnRequest>>(&op)) {
    MORTISE_RETURN_IF_ERROR(run_txn(**txn, path, at, respond, &body));
    if (respond) append_response(out, kOpTxn, std::string("\x0a\x00", 2), body);
    return Status();
  } else {
    if (respond) wire::append_bytes_field(out, kTxnResponses, {});
    return Status();
  }
  if (respond) append_response(out, field, inner_header(visible_revision()), body);
  return Status();
}

Status Writer::run_txn(const wire::TxnRequest& request, const std::vector<bool>& path, size_t* at,
                       bool respond, std::string* body) {
  bool success = path[(*at)++];
  if (respond) wire::append_varint_field(body, kTxnSucceeded, success ? 1 : 0);
  for (const wire::RequestOp& op : branch(request, success)) {
    MORTISE_RETURN_IF_ERROR(run_op(op, path, at, respond, body));
  }
  return Status();
}

Status Writer::txn(const wire::TxnRequest& request, bool respond, Outcome* outcome) {
  std::vector<bool> path;
  MORTISE_RETURN_IF_ERROR(choose_path(request, &path));
  size_t at = 0;
  MORTISE_RETURN_IF_ERROR(check_txn(request, path, &at, &outcome->rpc));
  if (!outcome->rpc.ok()) return Status();
  std::string body;
  at = 0;
  const uint64_t before = operations();
  counted_.ranges.add_alone(request.compare.size());
  MORTISE_RETURN_IF_ERROR(run_txn(request, path, &at, respond, &body));
  if (operations() - before > 1) counted_.txns.add_alone();
  outcome->body.append(body);
  outcome->revision = finish_changes();
  return Status();
}

Status read_only_txn(const ReadContext& context, const wire::TxnRequest& request,
                     Outcome* outcome) {
  bool hold;
  MORTISE_RETURN_IF_ERROR(compares_hold(context, request.compare, &hold));
  std::string out;
  wire::append_varint_field(&out, kTxnSucceeded, hold ? 1 : 0);
  for (const wire::RequestOp& op : branch(request, hold)) {
    const auto& range_op = std::get<wire::RangeRequest>(op);
    outcome->rpc = check_range(range_op, context.revision, context.compacted);
    if (!outcome->rpc.ok()) return Status();
    std::string body;
    MORTISE_RETURN_IF_ERROR(run_range(context, range_op, &body));
    append_response(&out, kOpRange, inner_header(context.revision), body);
  }
  outcome->body.append(out);
  outcome->revision = context.revision;
  return Status();
}

}  // namespace mortise::mvcc
