#include "plugins/transport_grpc/unknown_call.h"

namespace mortise::transport_grpc {

UnknownCall::UnknownCall(ServerContext& context, Worker& worker) : CallBase(context, worker) {
  grpc_call_details_init(&details_);
}

UnknownCall::~UnknownCall() { grpc_call_details_destroy(&details_); }

void UnknownCall::request(ServerContext& context, Worker& worker) {
  auto* call = new UnknownCall(context, worker);
  call->request_op_.hand_over();
  if (grpc_server_request_call(context.server, &call->call_, &call->details_, &call->metadata_,
                               worker.queue, worker.queue, &call->request_op_) != GRPC_CALL_OK) {
    call->unref();
  }
}

void UnknownCall::on_request(bool ok) {
  if (!ok) return unref();
  begin();
  request(context_, worker_);
  const std::string_view path(reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(details_.method)),
                              GRPC_SLICE_LENGTH(details_.method));
  grpc_slice text = to_slice(context_.methods->describe_unknown(path));
  const grpc_op ops[] = {initial_metadata_op(), status_op(kUnimplemented, &text),
                         close_op(&cancelled_)};
  start(ops, std::size(ops), &answer_op_);
  grpc_slice_unref(text);
  unref();
}

void UnknownCall::on_answered(bool) { unref(); }

}  // namespace mortise::transport_grpc
