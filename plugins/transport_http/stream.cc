#include "plugins/transport_http/stream.h"

#include <utility>

namespace mortise::transport_http {

HostStream::HostStream(Context& context, Loop& loop, StreamSink& sink, const mortise_method& method,
                       CallerInfo caller)
    : context_(context), loop_(loop), sink_(&sink), method_(method), caller_(std::move(caller)) {
  context_.calls.add();
}

HostStream::~HostStream() {
  if (has_slot_) context_.slots.give_back();
  context_.calls.drop();
}

HostStream* HostStream::open(Context& context, Loop& loop, StreamSink& sink, Owner owner,
                             const mortise_method& method, CallerInfo caller) {
  auto* stream = new HostStream(context, loop, sink, method, std::move(caller));
  stream->keep_alive_ = std::move(owner);
  stream->waiting_ = !context.slots.take(loop, stream);
  stream->has_slot_ = !stream->waiting_;
  if (stream->has_slot_) stream->open_now();
  return stream;
}

void HostStream::open_now() {
  const mortise_caller caller = caller_.abi();
  mortise_stream_events events{};
  events.struct_size = sizeof(events);
  events.on_message = &on_message;
  events.on_credit = &on_credit;
  events.on_end = &on_end;
  const mortise_status status =
      context_.rpc->stream_open(context_.host.raw(), method_.id, &caller, &events, this, &stream_);
  if (status != MORTISE_OK) {
    gate_.close();
    const CallAnswer refusal = refusal_of(status);
    on_end(this, refusal.code, sdk::bytes(refusal.message));
    return;
  }
  grant(context_.options.stream_window_bytes);
  if (half_closed_) gate_.run([this] { context_.rpc->stream_half_close(stream_); });
}

void HostStream::send(mortise_buffer message) {
  credit_ -= static_cast<int64_t>(message.size);
  sdk::Buffer owned(message);
  gate_.run([&] { context_.rpc->stream_send(stream_, owned.release()); });
}

void HostStream::half_close() {
  if (std::exchange(half_closed_, true) || waiting_) return;
  gate_.run([this] { context_.rpc->stream_half_close(stream_); });
}

void HostStream::grant(uint64_t bytes) {
  gate_.run([&] { context_.rpc->stream_grant(stream_, bytes); });
}

void HostStream::detach() {
  sink_ = nullptr;
  keep_alive_.reset();
  if (waiting_ || std::exchange(cancelled_, true)) return;
  gate_.run([this] { context_.rpc->stream_cancel(stream_); });
}

template <class Change>
void HostStream::add_event(Change&& change) {
  {
    std::lock_guard lock(mutex_);
    change(events_);
    if (std::exchange(scheduled_, true)) return;
  }
  loop_.deliver(this);
}

void HostStream::on_message(void* context, mortise_buffer message) {
  static_cast<HostStream*>(context)->add_event(
      [&](Events& events) { events.messages.emplace_back(message); });
}

void HostStream::on_credit(void* context, uint64_t bytes) {
  static_cast<HostStream*>(context)->add_event([&](Events& events) { events.credit += bytes; });
}

void HostStream::on_end(void* context, mortise_rpc_code code, mortise_bytes status_message) {
  auto* self = static_cast<HostStream*>(context);
  self->gate_.close();
  self->add_event([&](Events& events) {
    events.ended = true;
    events.status.code = code;
    events.status.message = sdk::view(status_message);
  });
}

void HostStream::complete() {
  if (waiting_) {
    waiting_ = false;
    has_slot_ = true;
    if (sink_ == nullptr) {
      delete this;
    } else {
      open_now();
    }
    return;
  }
  Events events;
  {
    std::lock_guard lock(mutex_);
    events = std::exchange(events_, {});
    scheduled_ = false;
  }
  const Owner keep_alive = keep_alive_;
  tell(events);
  if (events.ended) delete this;
}

void HostStream::tell(Events& events) {
  StreamSink* const first = sink_;
  for (sdk::Buffer& message : events.messages) {
    if (sink_ != nullptr) sink_->on_message(std::move(message));
  }
  credit_ += static_cast<int64_t>(events.credit);
  if (events.credit > 0 && sink_ != nullptr) sink_->on_credit();
  if (events.ended && sink_ != nullptr) {
    std::exchange(sink_, nullptr)->on_end(events.status);
    return;
  }
  if (first != nullptr && sink_ != nullptr) sink_->on_events_told();
}

}  // namespace mortise::transport_http
