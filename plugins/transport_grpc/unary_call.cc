#include "plugins/transport_grpc/unary_call.h"

#include <utility>

#include "plugins/transport_grpc/connection.h"
#include "plugins/transport_grpc/worker.h"

namespace mortise::transport_grpc {

UnaryCall::UnaryCall(Connection& connection, int32_t id, const mortise_method& method,
                     const RequestHead& head)
    : Call(connection, id, method, head),
      reader_(connection.context().rpc->request_bytes_max, head.gzip(),
              connection.context().unfinished),
      caller_(make_caller(head)),
      token_(head.token()),
      client_api_version_(head.client_api_version()),
      began_(connection.worker().now()) {
  caller_.token = sdk::bytes(token_);
  caller_.client_api_version = sdk::bytes(client_api_version_);
  start_deadline(caller_.timeout_ns);
}

void UnaryCall::on_data(std::string_view bytes) {
  if (!receiving_ || bytes.empty()) return;
  if (has_message_) return fail({kInternal, "the call has more than one request message"});
  const size_t before = bytes.size();
  const MessageReader::Result result = reader_.read(bytes);
  switch (result) {
    case MessageReader::Result::kMore:
      connection_.session().consume(id(), before - bytes.size());
      return;
    case MessageReader::Result::kMessage:
      has_message_ = true;
      if (!bytes.empty()) fail({kInternal, "the call has more than one request message"});
      return;
    default: return fail(reader_.refusal(result));
  }
}

void UnaryCall::on_frame_end(bool input_ended) {
  if (!receiving_) return;
  if (has_message_) return start();
  if (!input_ended) return;
  fail({kInternal, reader_.inside() ? "the request message is incomplete"
                                    : "the call ended without a request message"});
}

void UnaryCall::start() {
  receiving_ = false;
  waiting_ = !connection_.admit(*this);
  if (!waiting_) dispatch();
}

void UnaryCall::dispatch() {
  waiting_ = false;
  const MessageReader::Result result = reader_.unpack();
  if (result != MessageReader::Result::kMessage) return fail(reader_.refusal(result));
  const Context& context = connection_.context();
  with_host_ = true;
  const mortise_status status =
      context.rpc->call(context.host.raw(), method_.id, &caller_, reader_.take(), &done, this,
                        cancellable() ? &host_call_ : nullptr);
  if (status != MORTISE_OK) {
    with_host_ = false;
    return fail(refusal_of(status));
  }
  State expected = kCalling;
  if (state_.compare_exchange_strong(expected, kReturned, std::memory_order_acq_rel)) {
    connection_.worker().poller.count_waiting();
  } else {
    complete();
  }
}

void UnaryCall::done(void* context, mortise_rpc_code code, mortise_bytes status_message,
                     mortise_buffer body) {
  auto* self = static_cast<UnaryCall*>(context);
  if (self->cancellable()) self->gate_.close();
  self->status_.code = code;
  if (status_message.size > 0) self->status_.message = sdk::view(status_message);
  self->body_ = sdk::Buffer(body);
  if (self->state_.exchange(kAnswered, std::memory_order_acq_rel) == kCalling) return;
  transport_common::HeldCompletions::put_or_deliver(self->connection_.worker().loop, self);
}

void UnaryCall::complete() {
  if (host_ended() && !answered_) answer();
}

void UnaryCall::answer() {
  if (status_.code != kOk) return fail(status_);
  answered_ = true;
  end_deadline();
  outgoing().add(std::move(body_));
  outgoing().end({});
  connection_.add_unread(outgoing().bytes());
  connection_.submitted(connection_.session().respond(*this, content_type_));
}

void UnaryCall::fail(const Status& status) {
  receiving_ = false;
  answered_ = true;
  end_deadline();
  refuse(status);
}

void UnaryCall::on_written(size_t bytes) { connection_.drop_unread(bytes); }

void UnaryCall::on_detached() {
  receiving_ = false;
  if (std::exchange(waiting_, false)) connection_.forget(*this);
  connection_.drop_unread(outgoing().bytes());
}

void UnaryCall::cancel_host() {
  if (!cancellable()) return;
  gate_.run([this] { connection_.context().rpc->cancel(host_call_); });
}

void UnaryCall::on_deadline() {
  if (answered_) return;
  if (std::exchange(waiting_, false)) connection_.forget(*this);
  fail(deadline_exceeded());
  leave_host();
}

void UnaryCall::sweep(Clock::time_point now) {
  if (!receiving_) return;
  const std::chrono::milliseconds more(reader_.size() / kRequestBytesPerMs);
  if (now - began_ > kRequestTimeMax + more) {
    fail({kDeadlineExceeded, "the request message did not come in time"});
  }
}

}  // namespace mortise::transport_grpc
