#include "plugins/transport_grpc/stream_call.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "plugins/transport_grpc/connection.h"
#include "plugins/transport_grpc/worker.h"

namespace mortise::transport_grpc {

const mortise_stream_events StreamCall::kEvents = {sizeof(mortise_stream_events), 0,
                                                   &StreamCall::on_message, &StreamCall::on_credit,
                                                   &StreamCall::on_end};

StreamCall::StreamCall(Connection& connection, int32_t id, const mortise_method& method,
                       const RequestHead& head)
    : Call(connection, id, method, head),
      reader_(connection.context().rpc->request_bytes_max, head.gzip(),
              connection.context().unfinished) {
  start_deadline(head.timeout_ns());
}

StreamCall::~StreamCall() { drop_kept(); }

void StreamCall::open(const RequestHead& head) {
  const Context& context = connection_.context();
  const mortise_caller caller = make_caller(head);
  with_host_ = true;
  const mortise_status status = context.rpc->stream_open(context.host.raw(), method_.id, &caller,
                                                         &kEvents, this, &host_stream_);
  if (status == MORTISE_OK) {
    gate_.run(
        [&] { context.rpc->stream_grant(host_stream_, context.options.stream_window_bytes); });
    return;
  }
  with_host_ = false;
  input_done_ = true;
  gate_.close();
  finish(refusal_of(status));
}

void StreamCall::on_data(std::string_view bytes) {
  if (input_done_ || bytes.empty()) return;
  if (kept_.empty()) feed(bytes);
  if (!input_done_ && !bytes.empty()) keep(bytes);
}

void StreamCall::on_frame_end(bool input_ended) {
  if (!input_ended) return;
  input_ended_ = true;
  if (kept_.empty()) end_of_input();
}

void StreamCall::feed(std::string_view& bytes) {
  const size_t before = bytes.size();
  while (!bytes.empty() && credit_bytes_ > 0 && !input_done_) {
    const MessageReader::Result result = reader_.read(bytes);
    if (result == MessageReader::Result::kMessage) {
      hand_on();
    } else if (result != MessageReader::Result::kMore) {
      fail(reader_.refusal(result));
    }
  }
  if (attached_ && !input_done_) connection_.session().consume(id(), before - bytes.size());
}

void StreamCall::hand_on() {
  const MessageReader::Result result = reader_.unpack();
  if (result != MessageReader::Result::kMessage) return fail(reader_.refusal(result));
  const bool only_one = method_.kind == MORTISE_SERVER_STREAM;
  if (only_one) input_done_ = true;
  sdk::Buffer message(reader_.take());
  credit_bytes_ -= static_cast<int64_t>(message.size());
  const mortise_host_rpc_v1& rpc = *connection_.context().rpc;
  gate_.run([&] { rpc.stream_send(host_stream_, message.release()); });
  if (only_one) gate_.run([&] { rpc.stream_half_close(host_stream_); });
}

void StreamCall::keep(std::string_view bytes) {
  if (!connection_.context().unfinished.take(bytes.size())) {
    return fail(reader_.refusal(MessageReader::Result::kNoRoom));
  }
  kept_.append(bytes);
}

void StreamCall::drop_kept() {
  if (kept_.empty()) return;
  connection_.context().unfinished.give_back(kept_.size());
  std::string().swap(kept_);
}

void StreamCall::feed_kept() {
  if (kept_.empty() || input_done_) return;
  std::string_view bytes = kept_;
  feed(bytes);
  const size_t taken = kept_.size() - bytes.size();
  if (input_done_ || bytes.empty()) {
    drop_kept();
  } else {
    connection_.context().unfinished.give_back(taken);
    kept_.erase(0, taken);
  }
  if (input_ended_ && kept_.empty()) end_of_input();
}

void StreamCall::end_of_input() {
  if (input_done_) return;
  if (reader_.inside()) return fail({kInternal, "the last message is incomplete"});
  if (method_.kind == MORTISE_SERVER_STREAM) {
    return fail({kInternal, "the call ended without a request message"});
  }
  input_done_ = true;
  gate_.run([this] { connection_.context().rpc->stream_half_close(host_stream_); });
}

void StreamCall::fail(Status status) {
  input_done_ = true;
  finish(std::move(status));
  leave_host();
}

void StreamCall::finish(Status status) {
  end_deadline();
  if (!attached_ || outgoing().ended()) return;
  outgoing().end(std::move(status));
  advance();
}

// Something was added to what is to be sent.
void StreamCall::advance() {
  Session& session = connection_.session();
  if (responded_) return connection_.submitted(session.resume(*this));
  if (outgoing().bytes() == 0) return refuse(outgoing().status());
  responded_ = true;
  connection_.submitted(session.respond(*this, content_type_));
}

void StreamCall::on_written(size_t) {
  owed_bytes_ += outgoing().take_finished();
  const uint64_t window = connection_.context().options.stream_window_bytes;
  // A burst is granted again in a few large pieces.
  if (owed_bytes_ == 0 || (outgoing().bytes() > 0 && owed_bytes_ < window / 4)) return;
  const uint64_t grant = std::exchange(owed_bytes_, 0);
  gate_.run([&] { connection_.context().rpc->stream_grant(host_stream_, grant); });
}

void StreamCall::on_detached() {
  input_done_ = true;
  drop_kept();
}

void StreamCall::cancel_host() {
  gate_.run([this] { connection_.context().rpc->stream_cancel(host_stream_); });
}

void StreamCall::on_deadline() {
  if (outgoing().ended()) return;
  if (outgoing().bytes() == 0) return fail(deadline_exceeded());
  // A client that does not read would not see a status either.
  input_done_ = true;
  connection_.submitted(connection_.session().reset(id(), ErrorCode::kCancel));
}

template <class Change>
void StreamCall::add_event(Change&& change) {
  {
    std::lock_guard lock(mutex_);
    change(events_);
    if (std::exchange(scheduled_, true)) return;
  }
  transport_common::HeldCompletions::put_or_deliver(connection_.worker().loop, this);
}

void StreamCall::on_message(void* context, mortise_buffer message) {
  static_cast<StreamCall*>(context)->add_event(
      [&](Events& events) { events.messages.emplace_back(message); });
}

void StreamCall::on_credit(void* context, uint64_t bytes) {
  static_cast<StreamCall*>(context)->add_event([&](Events& events) {
    constexpr uint64_t kMax = std::numeric_limits<int64_t>::max() / 2;
    events.credit_bytes = std::min(kMax, events.credit_bytes + std::min(bytes, kMax));
  });
}

void StreamCall::on_end(void* context, mortise_rpc_code code, mortise_bytes status_message) {
  auto* self = static_cast<StreamCall*>(context);
  self->gate_.close();
  self->add_event([&](Events& events) {
    events.ended = true;
    events.status = {code, std::string(sdk::view(status_message))};
  });
}

void StreamCall::complete() {
  Events events;
  {
    std::lock_guard lock(mutex_);
    events = std::exchange(events_, {});
    scheduled_ = false;
  }
  if (events.ended && !host_ended()) return;
  if (!attached_) return;
  const bool had_ended = outgoing().ended();
  if (!had_ended) {
    for (sdk::Buffer& message : events.messages) outgoing().add(std::move(message));
  }
  if (events.credit_bytes > 0 && !events.ended) add_credit(events.credit_bytes);
  if (events.ended) {
    input_done_ = true;
    drop_kept();
    finish(std::move(events.status));
  } else if (!had_ended && !events.messages.empty()) {
    advance();
  }
}

void StreamCall::add_credit(uint64_t bytes) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  const int64_t room = credit_bytes_ > 0 ? kMax - credit_bytes_ : kMax;
  credit_bytes_ += static_cast<int64_t>(std::min(bytes, static_cast<uint64_t>(room)));
  feed_kept();
  connection_.submitted(true);  // The window has opened.
}

}  // namespace mortise::transport_grpc
