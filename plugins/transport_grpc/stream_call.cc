#include "plugins/transport_grpc/stream_call.h"

#include <algorithm>
#include <limits>
#include <string>

#include "plugins/transport_grpc/caller.h"
#include "plugins/transport_grpc/payload.h"

namespace mortise::transport_grpc {

const mortise_stream_events StreamCall::kEvents = {sizeof(mortise_stream_events), 0,
                                                   &StreamCall::on_message, &StreamCall::on_credit,
                                                   &StreamCall::on_end};

StreamCall::StreamCall(ServerContext& context, Worker& worker, const Methods::Method& method)
    : CallBase(context, worker), method_(method), details_(grpc_empty_slice()) {}

StreamCall::~StreamCall() {
  grpc_slice_unref(details_);
  if (incoming_ != nullptr) grpc_byte_buffer_destroy(incoming_);
  if (outgoing_ != nullptr) grpc_byte_buffer_destroy(outgoing_);
}

void StreamCall::request(ServerContext& context, Worker& worker, const Methods::Method& method) {
  auto* call = new StreamCall(context, worker, method);
  call->request_op_.hand_over();
  if (grpc_server_request_registered_call(context.server, method.registered->server_tag(),
                                          &call->call_, &call->deadline_, &call->metadata_, nullptr,
                                          worker.queue, worker.queue,
                                          &call->request_op_) != GRPC_CALL_OK) {
    call->unref();
  }
}

void StreamCall::on_request(bool ok) {
  if (!ok) return unref();
  if (context_.late.take(this)) return;
  begin();
  request(context_, worker_, method_);
  const grpc_op op = close_op(&cancelled_);
  start(&op, 1, &close_op_);
  open();
  unref();
}

void StreamCall::open() {
  mortise_status status;
  {
    const Caller caller(call_, metadata_, deadline_);
    ref();  // The host's, until on_end() has returned.
    status = context_.rpc->stream_open(context_.host.raw(), method_.host->id, caller.get(),
                                       &kEvents, this, &host_stream_);
  }
  if (status == MORTISE_OK) {
    gate_.run(
        [this] { context_.rpc->stream_grant(host_stream_, context_.options.stream_window_bytes); });
    return;
  }
  gate_.close();
  const Refusal refusal = refusal_of(status);
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
    has_status_ = true;
    code_ = refusal.code;
    details_ = to_slice(refusal.message);
  }
  advance();
  unref();
}

void StreamCall::on_credit(void* context, uint64_t bytes) {
  auto* self = static_cast<StreamCall*>(context);
  {
    std::lock_guard lock(self->mutex_);
    constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
    const int64_t room = self->credit_bytes_ > 0 ? kMax - self->credit_bytes_ : kMax;
    self->credit_bytes_ += static_cast<int64_t>(std::min(bytes, static_cast<uint64_t>(room)));
  }
  self->read_if_wanted();
}

void StreamCall::read_if_wanted() {
  {
    std::lock_guard lock(mutex_);
    if (reading_ || input_ended_ || ended_ || gone_ || credit_bytes_ <= 0) return;
    reading_ = true;
  }
  grpc_op op{};
  op.op = GRPC_OP_RECV_MESSAGE;
  op.data.recv_message.recv_message = &incoming_;
  start(&op, 1, &read_op_);
}

void StreamCall::on_read(bool ok) {
  grpc_byte_buffer* message = std::exchange(incoming_, nullptr);
  if (!ok || message == nullptr) {
    if (message != nullptr) grpc_byte_buffer_destroy(message);
    end_of_input();
  } else {
    take_message(message);
  }
  unref();
}

void StreamCall::take_message(grpc_byte_buffer* message) {
  const size_t size = grpc_byte_buffer_length(message);
  const uint64_t max = context_.rpc->request_bytes_max;
  if (size > max) {
    grpc_byte_buffer_destroy(message);
    return fail(kResourceExhausted, too_large_message(size, max));
  }
  const bool only_one = method_.host->kind == MORTISE_SERVER_STREAM;
  {
    std::lock_guard lock(mutex_);
    credit_bytes_ -= static_cast<int64_t>(size);
    if (only_one) input_ended_ = true;
  }
  sdk::Buffer buffer(to_buffer(message));
  gate_.run([&] { context_.rpc->stream_send(host_stream_, buffer.release()); });
  if (only_one) gate_.run([this] { context_.rpc->stream_half_close(host_stream_); });
  {
    std::lock_guard lock(mutex_);
    reading_ = false;
  }
  read_if_wanted();
}

void StreamCall::end_of_input() {
  {
    std::lock_guard lock(mutex_);
    reading_ = false;
    input_ended_ = true;
    // A read also ends like this when the call is over; on_close() then says what happened.
    if (gone_ || ended_) return;
  }
  if (method_.host->kind == MORTISE_SERVER_STREAM) {
    return fail(kInternal, "the call ended without a request message");
  }
  gate_.run([this] { context_.rpc->stream_half_close(host_stream_); });
}

void StreamCall::fail(mortise_rpc_code code, std::string_view message) {
  {
    std::lock_guard lock(mutex_);
    reading_ = false;
    input_ended_ = true;
    if (ended_ || has_status_) return;
    has_status_ = true;
    code_ = code;
    details_ = to_slice(message);
  }
  gate_.run([this] { context_.rpc->stream_cancel(host_stream_); });
}

void StreamCall::on_message(void* context, mortise_buffer message) {
  auto* self = static_cast<StreamCall*>(context);
  sdk::Buffer owned(message);
  {
    std::lock_guard lock(self->mutex_);
    if (self->gone_) return;
    self->queue_out_.push_back(std::move(owned));
  }
  self->advance();
}

void StreamCall::on_end(void* context, mortise_rpc_code code, mortise_bytes status_message) {
  auto* self = static_cast<StreamCall*>(context);
  self->gate_.close();
  {
    std::lock_guard lock(self->mutex_);
    self->ended_ = true;
    if (!self->has_status_) {
      self->has_status_ = true;
      self->code_ = code;
      self->details_ = to_slice(sdk::view(status_message));
    }
  }
  self->advance();
  self->unref();
}

void StreamCall::advance() {
  Next next = Next::kNothing;
  sdk::Buffer message;
  bool more_follow = false;
  {
    std::lock_guard lock(mutex_);
    if (writing_ || gone_ || status_sent_) return;
    if (!queue_out_.empty()) {
      next = Next::kMessage;
      message = std::move(queue_out_.front());
      queue_out_.pop_front();
      more_follow = !queue_out_.empty();
      writing_ = true;
      writing_bytes_ = message.size();
    } else if (ended_) {
      next = Next::kStatus;
      status_sent_ = true;
    }
  }
  if (next == Next::kMessage) write(message.release(), more_follow);
  if (next == Next::kStatus) write_status();
}

void StreamCall::write(mortise_buffer message, bool more_follow) {
  outgoing_ = to_message(message);
  grpc_op ops[2];
  size_t count = 0;
  if (!std::exchange(headers_sent_, true)) ops[count++] = initial_metadata_op();
  ops[count] = message_op(outgoing_);
  // The library may then wait for the next message and send both at once.
  if (more_follow) ops[count].flags = GRPC_WRITE_BUFFER_HINT;
  ++count;
  start(ops, count, &write_op_);
}

void StreamCall::write_status() {
  grpc_op ops[2];
  size_t count = 0;
  if (!std::exchange(headers_sent_, true)) ops[count++] = initial_metadata_op();
  ops[count++] = status_op(code_, &details_);
  start(ops, count, &status_op_);
}

void StreamCall::on_written(bool) {
  grpc_byte_buffer_destroy(std::exchange(outgoing_, nullptr));
  uint64_t grant_bytes = 0;
  {
    std::lock_guard lock(mutex_);
    writing_ = false;
    owed_bytes_ += writing_bytes_;
    // A burst is granted again in a few large pieces.
    if (queue_out_.empty() || owed_bytes_ >= context_.options.stream_window_bytes / 4) {
      grant_bytes = std::exchange(owed_bytes_, 0);
    }
  }
  if (grant_bytes > 0) {
    gate_.run([&] { context_.rpc->stream_grant(host_stream_, grant_bytes); });
  }
  advance();
  unref();
}

void StreamCall::on_status_sent(bool) { unref(); }

void StreamCall::on_close(bool) {
  std::deque<sdk::Buffer> dropped;
  if (cancelled_ != 0) {
    {
      std::lock_guard lock(mutex_);
      gone_ = true;
      dropped.swap(queue_out_);
    }
    gate_.run([this] { context_.rpc->stream_cancel(host_stream_); });
  }
  unref();
}

}  // namespace mortise::transport_grpc
