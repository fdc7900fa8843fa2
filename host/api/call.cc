#include "host/api/call.h"

#include "host/api/methods.h"

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

void propose(Call call, uint32_t field, std::string_view request) {
  const Context& context = call.context();
  context.node->propose(field, request, std::make_unique<ProposalWaiter>(std::move(call)));
}

RpcStatus Call::too_large(size_t response_bytes) {
  return RpcStatus(RpcCode::kResourceExhausted, "grpc: trying to send message larger than max (" +
                                                    std::to_string(response_bytes) + " vs. " +
                                                    std::to_string(mvcc::kResponseBytesMax) + ")");
}

std::string_view Call::grpc_path() const { return method_->grpc_path; }

}  // namespace mortise::api
