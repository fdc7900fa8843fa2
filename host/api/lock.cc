// v3lockpb.Lock
#include "host/api/methods.h"
#include "host/api/session.h"
#include "proto/lock.pb.h"

namespace mortise::api {

Cancellable* lock_lock(Call call) {
  v3lockpb::LockRequest request;
  if (!parse(call.request(), &request)) {
    call.fail(rpc_errors::kMalformed);
    return nullptr;
  }
  lock::Claim claim;
  claim.kind = lock::ContestKind::kLock;
  claim.name = std::move(*request.mutable_name());
  claim.lease = request.lease();
  return compete(std::move(call), std::move(claim), [](const lock::Turn& turn) {
    std::string body;
    wire::append_bytes_field(&body, 2, turn.key);
    return body;
  });
}

void lock_unlock(Call call) {
  v3lockpb::UnlockRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  if (request.key().empty()) return fail_inner(&call, rpc_errors::kEmptyKey);
  // An UnlockRequest is a DeleteRangeRequest of its key, and its answer has only the header.
  std::string deletion;
  wire::append_bytes_field(&deletion, 1, request.key());
  propose_for(share(std::move(call)), wire::kRaftDeleteRange, deletion,
              [](SharedCall c, const apply::ApplyResult& result) {
                c->reply(respond(c->context(), result.revision, {}));
              });
}

}  // namespace mortise::api
