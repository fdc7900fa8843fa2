#include "host/peer/server_session.h"

#include "host/peer/codec.h"
#include "host/peer/snapshot_transfer.h"

namespace mortise::peer {
namespace {

constexpr std::string_view kStreamPrefix = "/raft/stream/";

HttpResponse wrong_method(const char* allowed) {
  HttpResponse response = text_response(405, "Method Not Allowed");
  response.headers.emplace_back("Allow", allowed);
  return response;
}

// Major and minor of a version header; what does not say it is etcd 2.0.
std::pair<int, int> version_of(std::string_view text) {
  std::pair<int, int> version{2, 0};
  if (!text.empty() && !parse_version(text, &version)) version = {0, 0};
  return version;
}

}  // namespace

// Answers a request of Hooks::handle from any thread. Dropped without an answer, it ends the
// connection.
struct ServerSession::Reply {
  Reply(ContextRef c, std::weak_ptr<ServerSession> s)
      : context(std::move(c)), session(std::move(s)) {}
  ~Reply() {
    if (used.exchange(true)) return;
    context->loop.post([session = session] {
      if (auto self = session.lock()) self->end();
    });
  }
  void send(HttpResponse response) {
    if (used.exchange(true)) return;
    context->loop.post([session = session, response = std::move(response)]() mutable {
      if (auto self = session.lock()) self->answer(std::move(response));
    });
  }
  const ContextRef context;
  const std::weak_ptr<ServerSession> session;
  std::atomic<bool> used{false};
};

ServerSession::ServerSession(ContextRef context, PeerBook* book, ConnectionRef connection,
                             std::function<void()> on_end)
    : context_(std::move(context)),
      book_(book),
      connection_(std::move(connection)),
      on_end_(std::move(on_end)) {}

void ServerSession::close() {
  if (connection_) connection_->abort();
  connection_.reset();
}

void ServerSession::end() {
  close();
  if (auto on_end = std::exchange(on_end_, nullptr)) on_end();
}

void ServerSession::next_request() {
  auto rest = parser_ ? parser_->take_rest() : boost::beast::flat_buffer(kHttpBufferBytesMax);
  body_ = std::make_unique<std::string>();
  parser_ = std::make_unique<HttpParser<true>>(body_.get());
  parser_->set_rest(std::move(rest));
  head_seen_ = in_head_ = false;
  route_ = Route::kNone;
  connection_->read_within(kIdleTime);
  advance();
}

// Goes on with the bytes that are there.
void ServerSession::advance() {
  if (parser_->has_input() && !std::exchange(in_head_, true)) connection_->read_within(kHeadTime);
  Status status = parser_->feed();
  if (!status.ok()) {
    if (head_seen_) return end();
    return refuse(text_response(400, "Bad Request"));
  }
  if (!parser_->is_head_done()) return read();
  if (!std::exchange(head_seen_, true)) return on_head();
  if (body_->size() > body_bytes_max_) {
    return refuse(text_response(413, "request body too large"));
  }
  if (!parser_->is_done()) return read();
  on_request();
}

void ServerSession::read() {
  connection_->async_read_some(parser_->room(), [self = shared_from_this(), c = connection_](
                                                    const ErrorCode& error, size_t size) {
    if (c != self->connection_) return;
    if (error) return self->end();
    self->parser_->filled(size);
    self->advance();
  });
}

ServerSession::Route ServerSession::route() const {
  if (path_ == "/raft") return Route::kPipeline;
  if (path_ == "/raft/snapshot") return Route::kSnapshot;
  if (path_ == "/raft/probing") return Route::kProbing;
  if (path_.starts_with(kStreamPrefix)) return Route::kStream;
  return path_.starts_with("/raft/") ? Route::kNone : Route::kOther;
}

void ServerSession::on_head() {
  const auto& head = parser_->head();
  method_.assign(head.method_string().data(), head.method_string().size());
  std::string_view target(head.target().data(), head.target().size());
  const size_t mark = target.find('?');
  path_ = target.substr(0, mark);
  query_ = mark == std::string_view::npos ? "" : target.substr(mark + 1);
  route_ = route();
  connection_->read_within(kBodyTime);
  switch (route_) {
    case Route::kPipeline:
      if (method_ != "POST") return refuse(wrong_method("POST"));
      if (refuse_stranger()) return;
      return read_body(kPipelineBytesMax);
    case Route::kSnapshot:
      if (method_ != "POST") return refuse(wrong_method("POST"));
      if (refuse_stranger()) return;
      return on_snapshot();
    case Route::kStream:
      if (method_ != "GET") return refuse(wrong_method("GET"));
      if (refuse_stranger()) return;
      return on_stream();
    default: return read_body(kSmallBodyBytesMax);
  }
}

void ServerSession::read_body(uint64_t bytes_max) {
  body_bytes_max_ = bytes_max;
  if (parser_->content_length().value_or(0) > bytes_max) {
    return refuse(text_response(413, "request body too large"));
  }
  if (parser_->is_done() || parser_->header("Expect") != "100-continue") return advance();
  write("HTTP/1.1 100 Continue\r\n\r\n", [this] { advance(); });
}

HttpHeaders ServerSession::cluster_header() const {
  HttpHeaders headers = {{"X-Etcd-Cluster-ID", context_->cluster_text}};
  if (route_ == Route::kStream) {
    headers.emplace_back("X-Server-Version", context_->options.server_version);
  }
  return headers;
}

// Answers one of another version or cluster.
bool ServerSession::refuse_stranger() {
  const auto theirs = version_of(parser_->header("X-Server-Version"));
  const auto their_min = version_of(parser_->header("X-Min-Cluster-Version"));
  const std::string_view cluster = parser_->header("X-Etcd-Cluster-ID");
  LogFields line = {
      {"local-member-id", context_->local_text},
      {"local-member-cluster-id", context_->cluster_text},
      {"local-member-server-version", context_->options.server_version},
      {"local-member-server-minimum-cluster-version", context_->options.min_cluster_version},
      {"remote-peer-server-name", std::string(parser_->header("X-Server-From"))},
      {"remote-peer-server-version", std::string(parser_->header("X-Server-Version"))},
      {"remote-peer-server-minimum-cluster-version",
       std::string(parser_->header("X-Min-Cluster-Version"))}};
  const char* text = nullptr;
  if (theirs < version_of(context_->options.min_cluster_version) ||
      version_of(context_->options.server_version) < their_min) {
    text = "incompatible version";
    context_->log(LogLevel::kWarn, "failed version compatibility check", std::move(line));
  } else if (cluster != context_->cluster_text) {
    text = "cluster ID mismatch";
    line.push_back({"remote-peer-cluster-id", std::string(cluster)});
    context_->log(LogLevel::kWarn, "request cluster ID mismatch", std::move(line));
  } else {
    return false;
  }
  refuse(text_response(412, text));
  return true;
}

// A member that is not known yet can be answered from now on.
void ServerSession::note_sender() {
  NodeId from;
  const std::string_view urls = parser_->header("X-PeerURLs");
  if (!urls.empty() && parse_hex(parser_->header("X-Server-From"), &from)) {
    book_->note_remote(from, urls);
  }
}

void ServerSession::on_stream() {
  const std::string_view rest = std::string_view(path_).substr(kStreamPrefix.size());
  const size_t slash = rest.find('/');
  const std::string_view kind = rest.substr(0, slash);
  StreamType type = StreamType::kMessage;
  if (kind == "msgapp") {
    type = StreamType::kMsgAppV2;
  } else if (kind != "message") {
    return refuse(text_response(404, "invalid path"));
  }
  NodeId from;
  if (slash == std::string_view::npos || !parse_hex(rest.substr(slash + 1), &from)) {
    return refuse(text_response(404, "invalid from"));
  }
  LogFields line = {{"local-member-id", context_->local_text},
                    {"remote-peer-id-stream-handler", context_->local_text},
                    {"remote-peer-id-from", hex_text(from)},
                    {"cluster-id", context_->cluster_text}};
  if (context_->hooks.is_removed && context_->hooks.is_removed(from)) {
    context_->log(LogLevel::kWarn, "rejected stream from remote peer because it was removed", line);
    return refuse(text_response(410, "removed member"));
  }
  auto peer = book_->find_peer(from);
  if (!peer) {
    const std::string_view urls = parser_->header("X-PeerURLs");
    if (!urls.empty()) book_->note_remote(from, urls);
    context_->log(LogLevel::kWarn, "failed to find remote peer in cluster", line);
    return refuse(text_response(404, "error sender not found"));
  }
  if (parser_->header("X-Raft-To") != context_->local_text) {
    line.push_back({"remote-peer-id-header", std::string(parser_->header("X-Raft-To"))});
    context_->log(LogLevel::kWarn, "ignored streaming request; ID mismatch", line);
    return refuse(text_response(412, "to field mismatch"));
  }
  peer->attach(type, std::exchange(connection_, nullptr));
  end();
}

void ServerSession::on_snapshot() {
  note_sender();
  auto incoming = std::make_shared<IncomingSnapshot>();
  auto task = [incoming] { receive_snapshot(std::move(*incoming)); };
  incoming->context = context_;
  incoming->connection = connection_;
  incoming->body = std::move(body_);
  incoming->parser = std::move(parser_);
  if (book_->run_transfer(std::move(task))) {
    connection_.reset();
    return end();
  }
  body_ = std::move(incoming->body);
  parser_ = std::move(incoming->parser);
  refuse(text_response(500, "too many snapshots at a time"));
}

void ServerSession::on_request() {
  connection_->read_whenever();
  switch (route_) {
    case Route::kPipeline: return on_message();
    case Route::kProbing: {
      HttpResponse response;
      response.headers = {{"Content-Type", "text/plain; charset=utf-8"}};
      response.body = probe_answer(std::chrono::system_clock::now());
      return answer(std::move(response));
    }
    case Route::kOther: return on_other();
    default: return answer(text_response(404, "404 page not found"));
  }
}

void ServerSession::on_message() {
  note_sender();
  auto message = decode_message(*body_);
  if (!message.ok()) {
    context_->log(
        LogLevel::kWarn, "failed to unmarshal Raft message",
        {{"local-member-id", context_->local_text}, {"error", message.status().message()}});
    return answer(text_response(400, "error unmarshalling raft message"));
  }
  const NodeId from = message.value().from;
  const uint64_t bytes = body_->size();
  Status status = context_->deliver(std::move(message).value());
  context_->counters.change(from, [&](CounterTable::Row& row) {
    row.counters.received_bytes += bytes;
    if (!status.ok()) ++row.counters.received_failures;
  });
  if (status.ok()) {
    HttpResponse response;
    response.status = 204;
    return answer(std::move(response));
  }
  context_->log(LogLevel::kWarn, "failed to process Raft message",
                {{"local-member-id", context_->local_text}, {"error", status.message()}});
  if (status.code() == StatusCode::kNotFound) return answer(text_response(403, status.message()));
  answer(text_response(500, "error processing raft message"));
}

void ServerSession::on_other() {
  if (!context_->hooks.handle) return answer(text_response(404, "404 page not found"));
  HttpRequest request;
  request.method = method_;
  request.path = path_;
  request.query = query_;
  request.headers = copy_headers(parser_->head());
  request.body = std::move(*body_);
  request.remote = connection_->remote();
  auto reply = std::make_shared<Reply>(context_, weak_from_this());
  context_->hooks.handle(std::move(request),
                         [reply](HttpResponse response) { reply->send(std::move(response)); });
}

void ServerSession::answer(HttpResponse response) {
  if (!connection_) return;
  if (route_ == Route::kPipeline || route_ == Route::kStream) {
    for (auto& header : cluster_header()) response.headers.push_back(std::move(header));
  }
  const bool keep_alive = parser_->keep_alive();
  write(response_bytes(response, keep_alive, method_ != "HEAD"), [this, keep_alive] {
    if (keep_alive) return next_request();
    linger();
  });
}

// Answers before the request has been read to its end, which ends the connection.
void ServerSession::refuse(HttpResponse response) {
  if (route_ != Route::kOther && route_ != Route::kNone) {
    for (auto& header : cluster_header()) response.headers.push_back(std::move(header));
  }
  connection_->read_whenever();
  if (head_seen_ && parser_->is_done() && parser_->keep_alive()) {
    return write(response_bytes(response, true, true), [this] { next_request(); });
  }
  write(response_bytes(response, false, true), [this] { linger(); });
}

void ServerSession::write(std::string bytes, std::function<void()> then) {
  out_ = std::move(bytes);
  connection_->async_write(asio::buffer(out_), context_->options.write_limit,
                           [self = shared_from_this(), c = connection_, then = std::move(then)](
                               const ErrorCode& error, size_t) {
                             if (c != self->connection_) return;
                             if (error) return self->end();
                             c->write_whenever();
                             then();
                           });
}

// An end with bytes unread would take the answer with it, so what still comes is taken for a
// moment.
void ServerSession::linger() {
  ErrorCode error;
  connection_->socket().shutdown(Connection::Socket::shutdown_send, error);
  connection_->read_within(kDrainTime);
  auto buffer = std::make_shared<std::string>(kReadBytes, '\0');
  auto left = std::make_shared<uint64_t>(kDrainedBytesMax);
  auto step = std::make_shared<std::function<void()>>();
  std::weak_ptr<std::function<void()>> again = step;
  *step = [self = shared_from_this(), buffer, left, again] {
    auto next = again.lock();
    self->connection_->async_read_some(
        asio::buffer(*buffer),
        [self, left, next, c = self->connection_](const ErrorCode& failed, size_t size) {
          if (c != self->connection_) return;
          if (failed || size >= *left) return self->end();
          *left -= size;
          (*next)();
        });
  };
  (*step)();
}

}  // namespace mortise::peer
