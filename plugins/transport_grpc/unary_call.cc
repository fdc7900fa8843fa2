#include "plugins/transport_grpc/unary_call.h"

#include "plugins/transport_grpc/caller.h"
#include "plugins/transport_grpc/payload.h"

namespace mortise::transport_grpc {

UnaryCall::UnaryCall(ServerContext& context, Worker& worker, const Methods::Method& method)
    : CallBase(context, worker), method_(method), details_(grpc_empty_slice()) {}

UnaryCall::~UnaryCall() {
  grpc_slice_unref(details_);
  if (request_ != nullptr) grpc_byte_buffer_destroy(request_);
  if (response_ != nullptr) grpc_byte_buffer_destroy(response_);
}

void UnaryCall::request(ServerContext& context, Worker& worker, const Methods::Method& method) {
  auto* call = new UnaryCall(context, worker, method);
  call->request_op_.hand_over();
  if (grpc_server_request_registered_call(context.server, method.registered->server_tag(),
                                          &call->call_, &call->deadline_, &call->metadata_,
                                          &call->request_, worker.queue, worker.queue,
                                          &call->request_op_) != GRPC_CALL_OK) {
    call->unref();
  }
}

void UnaryCall::on_request(bool ok) {
  if (!ok) return unref();
  if (context_.late.take(this)) return;
  begin();
  request(context_, worker_, method_);
  dispatch();
  unref();
}

void UnaryCall::dispatch() {
  if (request_ == nullptr) {
    return refuse(kInternal, "the call ended without a request message");
  }
  const size_t size = grpc_byte_buffer_length(request_);
  const uint64_t max = context_.rpc->request_bytes_max;
  if (size > max) return refuse(kResourceExhausted, too_large_message(size, max));

  const Caller caller(call_, metadata_, deadline_);
  socket_ = context_.connections.find(caller.remote());
  ref();  // The host's, until done() has returned.
  const mortise_status status = context_.rpc->call(
      context_.host.raw(), method_.host->id, caller.get(),
      to_buffer(std::exchange(request_, nullptr)), &done, this, watched() ? &host_call_ : nullptr);
  if (status != MORTISE_OK) {
    unref();
    const Refusal refusal = refusal_of(status);
    return refuse(refusal.code, refusal.message);
  }
  if (!watched()) return;
  State expected = kDispatching;
  if (!state_.compare_exchange_strong(expected, kDispatched, std::memory_order_acq_rel)) {
    return answer(/*with_close=*/true);
  }
  const grpc_op op = close_op(&cancelled_);
  start(&op, 1, &close_op_);
}

void UnaryCall::refuse(mortise_rpc_code code, std::string_view message) {
  code_ = code;
  details_ = to_slice(message);
  answer(/*with_close=*/true);
}

void UnaryCall::done(void* context, mortise_rpc_code code, mortise_bytes status_message,
                     mortise_buffer body) {
  auto* self = static_cast<UnaryCall*>(context);
  self->gate_.close();
  self->code_ = code;
  if (status_message.size > 0) self->details_ = to_slice(sdk::view(status_message));
  self->response_ = to_message(body);
  if (!self->watched()) {
    self->answer(/*with_close=*/true);
  } else if (self->state_.exchange(kAnswered, std::memory_order_acq_rel) == kDispatched) {
    self->answer(/*with_close=*/false);
  }
  self->unref();
}

void UnaryCall::answer(bool with_close) {
  with_close_ = with_close;
  ref();
  if (HeldAnswers::put(this) || worker_.outbox.put(this)) return;
  send();
  unref();
}

void UnaryCall::send_from_outbox() {
  send();
  unref();
}

void UnaryCall::send() {
  grpc_op ops[4];
  size_t count = 0;
  ops[count++] = initial_metadata_op();
  if (code_ == GRPC_STATUS_OK) ops[count++] = message_op(response_);
  ops[count++] = status_op(code_, &details_);
  if (with_close_) ops[count++] = close_op(&cancelled_);
  start(ops, count, &sent_op_);
}

void UnaryCall::on_sent(bool) { unref(); }

void UnaryCall::on_close(bool) {
  if (cancelled_ != 0) {
    gate_.run([this] { context_.rpc->cancel(host_call_); });
  }
  unref();
}

}  // namespace mortise::transport_grpc
