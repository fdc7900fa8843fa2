#include "plugins/transport_grpc/call.h"

#include <grpc/support/log.h>

#include <string>

namespace mortise::transport_grpc {

CallBase::~CallBase() {
  grpc_metadata_array_destroy(&metadata_);
  if (call_ != nullptr) grpc_call_unref(call_);
  if (started_) context_.live.drop();
}

bool LateCalls::take(CallBase* call) {
  if (!begun_.load(std::memory_order_acquire)) return false;
  {
    std::lock_guard lock(mutex_);
    if (!released_) {
      calls_.push_back(call);
      return true;
    }
  }
  call->unref();
  return true;
}

void LateCalls::release() {
  std::vector<CallBase*> calls;
  {
    std::lock_guard lock(mutex_);
    released_ = true;
    calls.swap(calls_);
  }
  for (CallBase* call : calls) call->unref();
}

void CallBase::start(const grpc_op* ops, size_t count, Completion* tag) {
  ref();
  tag->hand_over();
  // The only errors are batches that break the library's rules.
  const grpc_call_error error = grpc_call_start_batch(call_, ops, count, tag, nullptr);
  GPR_ASSERT(error == GRPC_CALL_OK);
}

grpc_status_code to_grpc(mortise_rpc_code code) {
  if (code < GRPC_STATUS_OK || code > GRPC_STATUS_UNAUTHENTICATED) return GRPC_STATUS_UNKNOWN;
  return static_cast<grpc_status_code>(code);
}

grpc_slice to_slice(std::string_view text) {
  return grpc_slice_from_copied_buffer(text.data(), text.size());
}

Refusal refusal_of(mortise_status status) {
  if (status == MORTISE_E_STOPPED) return {kUnavailable, "etcdserver: server stopped"};
  return {kInternal, "the server could not take the call"};
}

std::string too_large_message(size_t size, uint64_t max) {
  return "grpc: received message larger than max (" + std::to_string(size) + " vs. " +
         std::to_string(max) + ")";
}

grpc_op initial_metadata_op() {
  grpc_op op{};
  op.op = GRPC_OP_SEND_INITIAL_METADATA;
  return op;
}

grpc_op status_op(mortise_rpc_code code, grpc_slice* details) {
  grpc_op op{};
  op.op = GRPC_OP_SEND_STATUS_FROM_SERVER;
  op.data.send_status_from_server.status = to_grpc(code);
  op.data.send_status_from_server.status_details =
      GRPC_SLICE_LENGTH(*details) == 0 ? nullptr : details;
  return op;
}

grpc_op message_op(grpc_byte_buffer* message) {
  grpc_op op{};
  op.op = GRPC_OP_SEND_MESSAGE;
  op.data.send_message.send_message = message;
  return op;
}

grpc_op close_op(int* cancelled) {
  grpc_op op{};
  op.op = GRPC_OP_RECV_CLOSE_ON_SERVER;
  op.data.recv_close_on_server.cancelled = cancelled;
  return op;
}

}  // namespace mortise::transport_grpc
