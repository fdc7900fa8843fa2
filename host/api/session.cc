#include "host/api/session.h"

#include "host/api/permit.h"
#include "host/api/txn_check.h"
#include "host/lock/requests.h"

namespace mortise::api {
namespace {

using Next = std::function<void(SharedCall, const apply::ApplyResult&)>;

class SharedCallWaiter : public apply::Waiter {
 public:
  SharedCallWaiter(SharedCall call, Next next) : call_(std::move(call)), next_(std::move(next)) {}
  void complete(apply::ApplyResult result) override {
    if (!result.rpc.ok()) return fail_inner(call_.get(), result.rpc);
    next_(std::move(call_), result);
  }

 private:
  SharedCall call_;
  const Next next_;
};

// Lives in the function that the keeper calls with the turn.
class CompetingCall : public Cancellable {
 public:
  CompetingCall(Call call, uint64_t id) : call_(std::move(call)), id_(id) {}
  Call& call() { return call_; }
  uint64_t id() const { return id_; }
  void cancel() override { call_.context().keeper->cancel(id_); }

 private:
  Call call_;
  const uint64_t id_;
};

}  // namespace

void fail_inner(Call* call, const RpcStatus& status) {
  switch (status.code()) {
    // These end the caller's own call or connection, whoever is asked.
    case RpcCode::kCanceled:
    case RpcCode::kDeadlineExceeded: return call->fail(status);
    default: break;
  }
  if (status.message() == rpc_errors::kStopped.message) return call->fail(status);
  call->fail(RpcStatus(RpcCode::kUnknown, status.message()));
}

SharedCall share(Call call) { return std::make_shared<Call>(std::move(call)); }

void propose_for(SharedCall call, uint32_t field, const std::string& request, Next next) {
  propose(
      std::move(*call), field, request,
      [next = std::move(next)](Call proposed) {
        return std::make_unique<SharedCallWaiter>(share(std::move(proposed)), next);
      },
      fail_inner);
}

void with_session(SharedCall call, int64_t lease, std::function<void(SharedCall, int64_t)> next) {
  if (lease != 0) return next(std::move(call), lease);
  Node* node = call->context().node;
  if (!node->has_space(kLeaseCost)) return refuse_for_space(std::move(call), fail_inner);
  int64_t granted = node->new_lease_id();
  propose_for(std::move(call), wire::kRaftLeaseGrant, lock::grant_lease(granted),
              [granted, next = std::move(next)](SharedCall c, const apply::ApplyResult&) {
                next(std::move(c), granted);
              });
}

Cancellable* compete(Call call, lock::Claim claim,
                     std::function<std::string(const lock::Turn&)> answer) {
  const Context& context = call.context();
  wire::PutRequest put;
  put.key = claim.name;
  put.value = claim.value;
  if (!context.node->has_space(put_cost(put))) {
    refuse_for_space(share(std::move(call)), fail_inner);
    return nullptr;
  }
  claim.warrant = warrant_of(call);
  call.drop_request();
  lock::Keeper* keeper = context.keeper;
  auto competing = std::make_shared<CompetingCall>(std::move(call), keeper->new_id());
  Cancellable* cancellable = competing.get();
  uint64_t id = competing->id();
  keeper->compete(id, std::move(claim),
                  [competing = std::move(competing), answer = std::move(answer)](lock::Turn turn) {
                    Call& c = competing->call();
                    if (!turn.status.ok()) return fail_inner(&c, turn.status);
                    c.reply(respond(c.context(), turn.revision, answer(turn)));
                  });
  return cancellable;
}

}  // namespace mortise::api
