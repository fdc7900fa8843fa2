#include "plugins/transport_http/http_stream.h"

#include <utility>

#include "plugins/transport_http/connection.h"

namespace mortise::transport_http {
namespace {

constexpr std::string_view kLineFields =
    "Content-Type: application/json\r\nGrpc-Metadata-Content-Type: application/grpc\r\n";
constexpr std::string_view kEventFields =
    "Cache-Control: no-cache\r\nContent-Type: text/event-stream\r\n"
    "Grpc-Metadata-Content-Type: application/grpc\r\n";
constexpr std::string_view kErrorFields = "Content-Type: application/json\r\n";

void append_hex(std::string& out, size_t number) {
  constexpr char kDigits[] = "0123456789abcdef";
  int shift = 60;
  while (shift > 0 && (number >> shift) == 0) shift -= 4;
  for (; shift >= 0; shift -= 4) out.push_back(kDigits[(number >> shift) & 0xf]);
}

}  // namespace

HttpStream::HttpStream(Connection& connection, const mortise_method& method, Framing framing)
    : connection_(connection), method_(method), framing_(framing) {}

HttpStream::~HttpStream() { abandon(); }

void HttpStream::open(CallerInfo caller) {
  stream_ = HostStream::open(connection_.context(), connection_.loop(), *this,
                             connection_.shared_from_this(), method_, std::move(caller));
}

void HttpStream::abandon() {
  if (stream_ != nullptr) std::exchange(stream_, nullptr)->detach();
}

bool HttpStream::wants_input() const { return !ended_ && stream_->has_credit(); }

void HttpStream::on_input(std::string_view bytes, bool last) {
  splitter_.append(bytes);
  input_ended_ = input_ended_ || last;
  pump();
}

void HttpStream::on_credit() {
  pump();
  connection_.feed();
}

// Hands on what is there and what the host has room for.
void HttpStream::pump() {
  const bool single = method_.kind == MORTISE_SERVER_STREAM;
  while (!ended_ && !half_closed_ && stream_->has_credit()) {
    std::string_view json;
    switch (splitter_.next(json)) {
      case JsonSplitter::Result::kObject:
        if (!send(json)) return;
        if (single) {
          half_closed_ = true;
          stream_->half_close();
        }
        continue;
      case JsonSplitter::Result::kBad: return end(kInvalidArgument, splitter_.error());
      case JsonSplitter::Result::kMore: break;
    }
    if (splitter_.size() > connection_.context().body_bytes_max) {
      return end(kResourceExhausted, "a message of the request is too large");
    }
    if (!input_ended_) return;
    if (splitter_.has_rest()) return end(kInvalidArgument, "unexpected EOF");
    if (single && !send({})) return;
    half_closed_ = true;
    stream_->half_close();
  }
}

bool HttpStream::send(std::string_view json) {
  const Context& context = connection_.context();
  mortise_buffer message{};
  std::string error;
  if (!context.to_message(method_, json, message, error)) {
    end(kInvalidArgument, error);
    return false;
  }
  if (message.size > context.rpc->request_bytes_max) {
    const CallAnswer answer = too_large(message.size, context.rpc->request_bytes_max);
    const sdk::Buffer dropped(message);
    end(answer.code, answer.message);
    return false;
  }
  stream_->send(message);
  return true;
}

void HttpStream::begin_answer(int status) {
  answer_begun_ = true;
  ReplyHead head;
  head.status = status;
  head.kind = connection_.style().http_10 ? BodyKind::kUntilClose : BodyKind::kChunked;
  if (status != 200) {
    head.fields = kErrorFields;
  } else {
    head.fields = framing_ == Framing::kLines ? kLineFields : kEventFields;
  }
  write_head(connection_.out().text(), connection_.style(), head);
}

void HttpStream::write_line(std::string_view before, sdk::Buffer json, std::string_view after) {
  Output& out = connection_.out();
  const bool chunked = !connection_.style().http_10;
  if (chunked) {
    append_hex(out.text(), before.size() + json.size() + after.size());
    out.text().append("\r\n");
  }
  out.text().append(before);
  out.append(std::move(json));
  out.text().append(after);
  if (chunked) out.text().append("\r\n");
}

void HttpStream::on_message(sdk::Buffer message) {
  if (ended_) return;
  sdk::Buffer json;
  if (!connection_.context().to_json(method_, message.view(), json)) {
    return end(kInternal, "a message could not be written as JSON");
  }
  owed_bytes_ += message.size();
  if (!answer_begun_) begin_answer(200);
  const bool lines = framing_ == Framing::kLines;
  write_line(lines ? "{\"result\":" : "data: {\"result\":", std::move(json),
             lines ? "}\n" : "}\n\n");
}

void HttpStream::on_events_told() { connection_.proceed(); }

void HttpStream::on_flushed() {
  if (ended_ || owed_bytes_ == 0) return;
  stream_->grant(std::exchange(owed_bytes_, 0));
}

void HttpStream::on_timeout() { end(kDeadlineExceeded, "context deadline exceeded"); }

void HttpStream::refuse(std::string_view message) { end(kInvalidArgument, message); }

void HttpStream::on_end(const CallAnswer& status) {
  stream_ = nullptr;
  end(status.code, status.message);
}

void HttpStream::end(mortise_rpc_code code, std::string_view message) {
  if (std::exchange(ended_, true)) return;
  // What the client did wrong before it heard anything is said as for other methods.
  if (stream_ != nullptr && !answer_begun_) {
    abandon();
    write_error(connection_.out(), connection_.style(), code, message);
    return connection_.stream_ended();
  }
  abandon();
  const bool as_event = framing_ == Framing::kEvents && answer_begun_;
  if (!answer_begun_) begin_answer(http_status(code));
  if (code != kOk) {
    write_line(as_event ? "event: error\ndata: {\"error\":" : "{\"error\":",
               sdk::Buffer::from(error_json(code, message)), as_event ? "}\n\n" : "}\n");
  }
  if (!connection_.style().http_10) connection_.out().text().append("0\r\n\r\n");
  connection_.stream_ended();
}

}  // namespace mortise::transport_http
