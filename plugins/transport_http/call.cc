#include "plugins/transport_http/call.h"

#include <utility>

namespace mortise::transport_http {

mortise_caller CallerInfo::abi() const {
  mortise_caller caller{};
  caller.struct_size = sizeof(caller);
  caller.flags = flags;
  caller.remote = sdk::bytes(remote);
  caller.token = sdk::bytes(token);
  caller.tls_common_name = sdk::bytes(tls_common_name);
  caller.client_api_version = sdk::bytes(client_api_version);
  caller.timeout_ns = timeout_ns;
  return caller;
}

CallAnswer refusal_of(mortise_status status) {
  if (status == MORTISE_E_STOPPED) return {kUnavailable, "etcdserver: server stopped", {}};
  return {kInternal, "the server could not take the call", {}};
}

CallAnswer too_large(size_t size, uint64_t max) {
  return {kResourceExhausted,
          "grpc: received message larger than max (" + std::to_string(size) + " vs. " +
              std::to_string(max) + ")",
          {}};
}

UnaryCall::UnaryCall(Context& context, Loop& loop, const mortise_method& method, CallerInfo caller,
                     mortise_buffer request)
    : context_(context),
      loop_(loop),
      method_(method),
      caller_(std::move(caller)),
      request_(request) {
  context_.calls.add();
}

UnaryCall::~UnaryCall() {
  if (has_slot_) context_.slots.give_back();
  context_.calls.drop();
}

bool UnaryCall::start(Context& context, Loop& loop, CallReceiver& receiver, Owner owner,
                      const mortise_method& method, CallerInfo caller, mortise_buffer request,
                      CallAnswer& answer, UnaryCall** out) {
  *out = nullptr;
  if (request.size > context.rpc->request_bytes_max) {
    answer = too_large(request.size, context.rpc->request_bytes_max);
    const sdk::Buffer dropped(request);
    return true;
  }
  auto* call = new UnaryCall(context, loop, method, std::move(caller), request);
  call->waiting_ = !context.slots.take(loop, call);
  call->has_slot_ = !call->waiting_;
  if (call->has_slot_ && call->call()) {
    answer = std::move(call->answer_);
    delete call;
    return true;
  }
  call->receiver_ = &receiver;
  call->keep_alive_ = std::move(owner);
  *out = call;
  return false;
}

bool UnaryCall::call() {
  const mortise_caller caller = caller_.abi();
  const bool cancellable = (method_.flags & MORTISE_METHOD_CANCELLABLE) != 0;
  const mortise_status status =
      context_.rpc->call(context_.host.raw(), method_.id, &caller, request_.release(), &done, this,
                         cancellable ? &host_call_ : nullptr);
  if (status != MORTISE_OK) {
    answer_ = refusal_of(status);
    return true;
  }
  State expected = kCalling;
  return !state_.compare_exchange_strong(expected, kReturned, std::memory_order_acq_rel);
}

void UnaryCall::done(void* context, mortise_rpc_code code, mortise_bytes status_message,
                     mortise_buffer body) {
  auto* self = static_cast<UnaryCall*>(context);
  self->gate_.close();
  self->answer_.code = code;
  self->answer_.message = sdk::view(status_message);
  self->answer_.body = sdk::Buffer(body);
  if (self->state_.exchange(kAnswered, std::memory_order_acq_rel) == kCalling) return;
  HeldCompletions::put_or_deliver(self->loop_, self);
}

void UnaryCall::complete() {
  if (waiting_) {
    waiting_ = false;
    has_slot_ = true;
    if (receiver_ != nullptr && !call()) return;
  }
  const Owner keep_alive = std::move(keep_alive_);
  CallReceiver* const receiver = receiver_;
  CallAnswer answer = std::move(answer_);
  delete this;
  if (receiver != nullptr) receiver->on_answer(std::move(answer));
}

void UnaryCall::abandon() {
  receiver_ = nullptr;
  keep_alive_.reset();
  if (host_call_ == nullptr) return;
  gate_.run([this] { context_.rpc->cancel(host_call_); });
}

bool PageCall::start(Context& context, Loop& loop, PageReceiver& receiver, Owner owner,
                     const mortise_page_request& request, PageAnswer& answer, PageCall** out) {
  *out = nullptr;
  auto* call = new PageCall(context, loop);
  const mortise_status status =
      context.pages->serve(context.host.raw(), &request, &PageCall::done, call);
  if (status != MORTISE_OK) {
    delete call;
    answer.status = status == MORTISE_E_STOPPED ? 503 : 500;
    answer.content_type = "text/plain; charset=utf-8";
    answer.body = sdk::Buffer::from_static("the server could not serve the page\n");
    return true;
  }
  call->receiver_ = &receiver;
  call->keep_alive_ = std::move(owner);
  if (call->second_.exchange(true, std::memory_order_acq_rel)) {
    answer = std::move(call->answer_);
    delete call;
    return true;
  }
  *out = call;
  return false;
}

void PageCall::done(void* context, uint32_t http_status, mortise_bytes content_type,
                    mortise_bytes allow, mortise_buffer body) {
  auto* self = static_cast<PageCall*>(context);
  self->answer_.status = static_cast<int>(http_status);
  self->answer_.content_type = sdk::view(content_type);
  self->answer_.allow = sdk::view(allow);
  self->answer_.body = sdk::Buffer(body);
  if (self->second_.exchange(true, std::memory_order_acq_rel)) self->loop_.deliver(self);
}

void PageCall::complete() {
  const Owner keep_alive = std::move(keep_alive_);
  PageReceiver* const receiver = receiver_;
  PageAnswer answer = std::move(answer_);
  delete this;
  if (receiver != nullptr) receiver->on_page(std::move(answer));
}

void PageCall::abandon() {
  receiver_ = nullptr;
  keep_alive_.reset();
}

}  // namespace mortise::transport_http
