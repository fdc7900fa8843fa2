#include "host/api/call.h"

#include "host/api/methods.h"
#include "host/api/permit.h"

namespace mortise::api {
namespace {

class ProposalWaiter : public apply::Waiter {
 public:
  explicit ProposalWaiter(Call call) : call_(std::move(call)) {}
  void complete(apply::ApplyResult result) override {
    if (!result.rpc.ok()) {
      call_.fail(result.rpc);
      return;
    }
    call_.reply(respond(call_.context(), result.revision, result.body.view()));
  }

 private:
  Call call_;
};

}  // namespace

std::string go_duration(std::chrono::nanoseconds d) {
  char text[48];
  double us = static_cast<double>(d.count()) / 1e3;
  if (us < 1e3) {
    std::snprintf(text, sizeof text, "%.9g\u00b5s", us);
  } else if (us < 1e6) {
    std::snprintf(text, sizeof text, "%.9gms", us / 1e3);
  } else if (d < std::chrono::minutes(1)) {
    std::snprintf(text, sizeof text, "%.11gs", us / 1e6);
  } else {
    auto minutes = std::chrono::duration_cast<std::chrono::minutes>(d);
    double seconds = static_cast<double>((d - minutes).count()) / 1e9;
    auto hours = minutes.count() / 60;
    std::string head = hours > 0 ? std::to_string(hours) + "h" : "";
    std::snprintf(text, sizeof text, "%lldm%.11gs", static_cast<long long>(minutes.count() % 60),
                  seconds);
    return head + text;
  }
  return text;
}

ByteBuffer respond(const Context& context, int64_t revision, std::string_view body) {
  ByteBuffer response(rpc::kHeaderFieldBytesMax + body.size());
  rpc::append_header(context.header(revision), &response);
  response.append(body);
  return response;
}

void run_long(Call call, void (*task)(Call)) {
  auto shared = std::make_shared<Call>(std::move(call));
  Node* node = shared->context().node;
  RpcStatus status = node->run_long([shared, task] { task(std::move(*shared)); });
  if (!status.ok()) shared->fail(status);
}

void when_linearizable(Call call, std::function<void(Call)> next) {
  Node* node = call.context().node;
  if (node->is_linearizable()) return next(std::move(call));
  auto shared = std::make_shared<Call>(std::move(call));
  node->when_linearizable([shared, next = std::move(next)](const RpcStatus& status) {
    if (!status.ok()) return shared->fail(status);
    next(std::move(*shared));
  });
}

namespace {

std::unique_ptr<apply::Waiter> waiter_of(Call call, const MakeWaiter& make_waiter) {
  if (make_waiter) return make_waiter(std::move(call));
  return std::make_unique<ProposalWaiter>(std::move(call));
}

void propose_permitted(Call call, uint32_t field, std::string_view request,
                       const MakeWaiter& make_waiter) {
  Node* node = call.context().node;
  if (call.identity() == nullptr) {
    return node->propose(field, request, {}, waiter_of(std::move(call), make_waiter));
  }
  const mortise_identity who = *call.identity();
  node->propose(field, request, auth::author_of(who), waiter_of(std::move(call), make_waiter));
}

}  // namespace

void propose_judged(Call call, uint32_t field, std::string_view request) {
  propose_permitted(std::move(call), field, request, {});
}

namespace {

RpcStatus judge_proposal(Call* call, uint32_t field, std::string_view request) {
  thread_local auth::Needs needs;
  needs.clear();
  if (!auth::needs_of_proposal(field, request, &needs)) return rpc_errors::kMalformed;
  return judge(call, needs);
}

}  // namespace

void propose(Call call, uint32_t field, std::string_view request, MakeWaiter make_waiter,
             RefuseFn refuse) {
  if (!call.context().auth_enabled()) {
    return propose_permitted(std::move(call), field, request, make_waiter);
  }
  RpcStatus status = judge_proposal(&call, field, request);
  if (status.ok()) return propose_permitted(std::move(call), field, request, make_waiter);
  if (!may_be_behind(call.context(), status)) return refuse(&call, status);
  Node* node = call.context().node;
  auto shared = std::make_shared<Call>(std::move(call));
  node->when_linearizable([shared, field, bytes = std::string(request), status, refuse,
                           make_waiter = std::move(make_waiter)](const RpcStatus& read) {
    if (!read.ok()) return refuse(shared.get(), status);
    RpcStatus again = judge_proposal(shared.get(), field, bytes);
    if (!again.ok()) return refuse(shared.get(), again);
    propose_permitted(std::move(*shared), field, bytes, make_waiter);
  });
}

RpcStatus Call::too_large(size_t response_bytes) {
  return RpcStatus(RpcCode::kResourceExhausted, "grpc: trying to send message larger than max (" +
                                                    std::to_string(response_bytes) + " vs. " +
                                                    std::to_string(mvcc::kResponseBytesMax) + ")");
}

std::string_view Call::grpc_path() const { return method_->grpc_path; }

void refuse_for_space(std::shared_ptr<Call> call, RefuseFn refuse) {
  Node* node = call->context().node;
  node->raise_no_space(
      [call = std::move(call), refuse] { refuse(call.get(), rpc_errors::kNoSpace); });
}

}  // namespace mortise::api
