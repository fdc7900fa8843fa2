#include "plugins/transport_http/websocket.h"

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <deque>
#include <memory>
#include <utility>

#include "plugins/transport_common/loop_impl.h"
#include "plugins/transport_http/connection.h"
#include "plugins/transport_http/json_splitter.h"
#include "plugins/transport_http/stream.h"

namespace mortise::transport_http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using Error = beast::error_code;
using Protocol = asio::generic::stream_protocol;
using Request = http::request<http::empty_body>;

constexpr std::string_view kBearer = "Bearer";
constexpr std::chrono::seconds kHandshakeMax{10};

int family_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  return getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 ? address.ss_family
                                                                            : AF_INET;
}

bool parse(std::string_view head, Request& out) {
  http::request_parser<http::empty_body> parser;
  parser.header_limit(UINT32_MAX);
  Error error;
  parser.put(asio::buffer(head.data(), head.size()), error);
  if (error || !parser.is_done()) return false;
  out = parser.release();
  return true;
}

// "Bearer, TOKEN" or "Bearer,TOKEN"
std::string token_of_protocol(std::string_view protocol) {
  if (!protocol.starts_with(kBearer)) return {};
  protocol.remove_prefix(kBearer.size());
  while (!protocol.empty() && (protocol.front() == ',' || protocol.front() == ' ')) {
    protocol.remove_prefix(1);
  }
  return std::string(protocol);
}

class Session final : public std::enable_shared_from_this<Session>,
                      public StreamSink,
                      public CallReceiver,
                      public Watched {
 public:
  Session(Worker& worker, int fd, const Peer& peer, const mortise_method& method, CallerInfo caller)
      : worker_(worker),
        context_(worker.context),
        method_(method),
        remote_(peer.remote),
        common_name_(peer.common_name),
        caller_(std::move(caller)),
        socket_(worker.loop.impl().io) {
    caller_.remote = remote_;
    caller_.tls_common_name = common_name_;
    Error error;
    socket_.next_layer().assign(Protocol(family_of(fd), 0), fd, error);
    if (error) ::close(fd);
    context_.connections.add();
  }
  ~Session() { context_.connections.drop(); }

  void begin(std::string_view head);

  void on_message(sdk::Buffer message) override;
  void on_credit() override { pump(); }
  void on_end(const CallAnswer& status) override;
  void on_events_told() override {}
  void on_answer(CallAnswer answer) override;
  void sweep(Clock::time_point) override {}
  void begin_drain() override {
    if (!open_) close();
  }
  void give_up() override { close(); }
  void close() override;

 private:
  void configure(const Request& request);
  void on_accepted();
  void pump();
  void read();
  void on_frame(const Error& error);
  bool take_object(std::string_view json);
  void fail(mortise_rpc_code code, std::string_view message);
  void send(std::string frame);
  void write_next();
  void finish();

  Worker& worker_;
  Context& context_;
  const mortise_method& method_;
  const std::string remote_;
  const std::string common_name_;
  CallerInfo caller_;
  websocket::stream<Protocol::socket, false> socket_;
  beast::flat_buffer frame_;
  JsonSplitter splitter_;
  std::deque<std::string> unsent_;
  uint64_t owed_bytes_ = 0;
  HostStream* stream_ = nullptr;
  UnaryCall* call_ = nullptr;
  std::unique_ptr<Timer> timer_;
  bool open_ = false;
  bool reading_ = false;
  bool writing_ = false;
  bool ended_ = false;  // Nothing is added to unsent_.
  bool closed_ = false;
};

void Session::configure(const Request& request) {
  const auto idle = std::chrono::milliseconds(context_.options.idle_timeout_ms);
  socket_.set_option(websocket::stream_base::timeout{kHandshakeMax, idle, true});
  socket_.read_message_max(context_.body_bytes_max);
  const auto asked = request[http::field::sec_websocket_protocol];
  const std::string_view protocol(asked.data(), asked.size());
  if (!protocol.starts_with(kBearer)) return;
  caller_.token = token_of_protocol(protocol);
  socket_.set_option(websocket::stream_base::decorator([](websocket::response_type& response) {
    response.set(http::field::sec_websocket_protocol,
                 beast::string_view(kBearer.data(), kBearer.size()));
  }));
}

void Session::begin(std::string_view head) {
  worker_.add(this);
  auto request = std::make_shared<Request>();
  if (!parse(head, *request)) return close();
  configure(*request);
  socket_.async_accept(*request, [self = shared_from_this(), request](const Error& error) {
    if (self->closed_) return;
    if (error) return self->close();
    self->on_accepted();
  });
}

void Session::on_accepted() {
  open_ = true;
  socket_.text(true);
  socket_.auto_fragment(false);
  if (method_.kind == MORTISE_UNARY) return read();
  stream_ = HostStream::open(context_, worker_.loop, *this, shared_from_this(), method_, caller_);
  if (caller_.timeout_ns == 0) return;
  timer_ = std::make_unique<Timer>(worker_.loop);
  timer_->start(std::chrono::nanoseconds(caller_.timeout_ns),
                [this] { fail(kDeadlineExceeded, "context deadline exceeded"); });
}

void Session::read() {
  if (std::exchange(reading_, true)) return;
  socket_.async_read(frame_, [self = shared_from_this()](const Error& error, size_t) {
    self->reading_ = false;
    if (!self->closed_) self->on_frame(error);
  });
}

void Session::on_frame(const Error& error) {
  if (error) return close();
  const auto bytes = frame_.data();
  splitter_.append({static_cast<const char*>(bytes.data()), bytes.size()});
  splitter_.append("\n");
  frame_.consume(bytes.size());
  pump();
}

// Hands on what is there while the host has room, and reads on when all of that is gone.
void Session::pump() {
  const auto may_send = [this] {
    return !closed_ && !ended_ && call_ == nullptr &&
           (method_.kind == MORTISE_UNARY || (stream_ != nullptr && stream_->has_credit()));
  };
  while (may_send()) {
    std::string_view json;
    switch (splitter_.next(json)) {
      case JsonSplitter::Result::kObject: break;
      case JsonSplitter::Result::kBad: return fail(kInvalidArgument, splitter_.error());
      case JsonSplitter::Result::kMore:
        if (splitter_.size() > context_.body_bytes_max) {
          return fail(kResourceExhausted, "a message of the request is too large");
        }
        return read();
    }
    if (!take_object(json)) return;
  }
  // The client's end is heard of all the same.
  if (!closed_ && (ended_ || call_ != nullptr)) read();
}

bool Session::take_object(std::string_view json) {
  mortise_buffer message{};
  std::string error;
  if (!context_.to_message(method_, json, message, error)) {
    fail(kInvalidArgument, error);
    return false;
  }
  if (message.size > context_.rpc->request_bytes_max) {
    const CallAnswer answer = too_large(message.size, context_.rpc->request_bytes_max);
    const sdk::Buffer dropped(message);
    fail(answer.code, answer.message);
    return false;
  }
  if (method_.kind != MORTISE_UNARY) {
    stream_->send(message);
    if (method_.kind == MORTISE_SERVER_STREAM) stream_->half_close();
    return method_.kind == MORTISE_BIDI_STREAM;
  }
  CallAnswer answer;
  if (UnaryCall::start(context_, worker_.loop, *this, shared_from_this(), method_, caller_, message,
                       answer, &call_)) {
    on_answer(std::move(answer));
    return false;
  }
  return true;
}

void Session::on_answer(CallAnswer answer) {
  call_ = nullptr;
  if (closed_) return;
  sdk::Buffer json;
  if (answer.code != kOk) {
    send(error_json(answer.code, answer.message));
  } else if (context_.to_json(method_, answer.body.view(), json)) {
    send(std::string(json.view()));
  } else {
    send(error_json(kInternal, "the answer could not be written as JSON"));
  }
  finish();
}

void Session::on_message(sdk::Buffer message) {
  if (closed_ || ended_) return;
  sdk::Buffer json;
  if (!context_.to_json(method_, message.view(), json)) {
    return fail(kInternal, "a message could not be written as JSON");
  }
  owed_bytes_ += message.size();
  std::string frame = "{\"result\":";
  frame.append(json.view()).append("}");
  send(std::move(frame));
}

void Session::on_end(const CallAnswer& status) {
  stream_ = nullptr;
  if (closed_ || ended_) return;
  if (status.code != kOk) send("{\"error\":" + error_json(status.code, status.message) + "}");
  finish();
}

void Session::fail(mortise_rpc_code code, std::string_view message) {
  if (closed_ || ended_) return;
  const auto keep = shared_from_this();
  if (stream_ != nullptr) std::exchange(stream_, nullptr)->detach();
  send("{\"error\":" + error_json(code, message) + "}");
  finish();
}

void Session::send(std::string frame) {
  unsent_.push_back(std::move(frame));
  write_next();
}

void Session::finish() {
  ended_ = true;
  write_next();
}

void Session::write_next() {
  if (writing_ || closed_) return;
  if (unsent_.empty()) {
    if (stream_ != nullptr && owed_bytes_ > 0) stream_->grant(std::exchange(owed_bytes_, 0));
    if (!ended_) return;
    writing_ = true;
    socket_.async_close(websocket::close_code::normal,
                        [self = shared_from_this()](const Error&) { self->close(); });
    return;
  }
  writing_ = true;
  const std::string& frame = unsent_.front();
  socket_.async_write(asio::buffer(frame.data(), frame.size()),
                      [self = shared_from_this()](const Error& error, size_t) {
                        self->writing_ = false;
                        if (self->closed_) return;
                        if (error) return self->close();
                        self->unsent_.pop_front();
                        self->write_next();
                      });
}

void Session::close() {
  if (std::exchange(closed_, true)) return;
  const auto keep = shared_from_this();
  worker_.remove(this);
  timer_.reset();
  if (stream_ != nullptr) std::exchange(stream_, nullptr)->detach();
  if (call_ != nullptr) std::exchange(call_, nullptr)->abandon();
  Error ignored;
  socket_.next_layer().close(ignored);
}

}  // namespace

void WebSocketSession::begin(Worker& worker, int fd, const Peer& peer, const mortise_method& method,
                             CallerInfo caller, std::string head) {
  std::make_shared<Session>(worker, fd, peer, method, std::move(caller))->begin(head);
}

}  // namespace mortise::transport_http
