// What a request is for: access, routes, methods, pages.
#include <utility>

#include "plugins/transport_http/connection.h"
#include "plugins/transport_http/gzip.h"
#include "plugins/transport_http/http_stream.h"
#include "plugins/transport_http/target.h"
#include "plugins/transport_http/ui.h"
#include "plugins/transport_http/websocket.h"

namespace mortise::transport_http {
namespace {

constexpr std::string_view kOldPrefix = "/v3beta/";
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr std::string_view kBearer = "Bearer ";
constexpr size_t kGzipBytesMin = 4096;  // Of a page, from which it is worth the time.

std::string_view token_of(const Head& head) {
  std::string_view token = head.token.data() != nullptr ? head.token : head.authorization;
  if (token.starts_with(kBearer)) token.remove_prefix(kBearer.size());
  // An empty one is a wrong one, but for the host it would be none: this is no token, either.
  return token.empty() && token.data() != nullptr ? " " : token;
}

bool is_clean(std::string_view path) {
  return path.find("//") == std::string_view::npos && path.find("/.") == std::string_view::npos;
}

std::string not_whitelisted(std::string_view host) {
  std::string text =
      "\nThis server got your request, but does not know the name in its Host header.\n\n"
      "Either of these makes it answer:\n"
      "- Use https; the name is then not looked at.\n"
      "- Add the name to the list of names, e.g. --host-whitelist ";
  text.append("\"").append(host).append("\"\n\n");
  text.append("The check keeps web pages out that have the DNS lead a browser to this server ");
  text.append("(\"DNS rebinding\", CVE-2018-5702).\n");
  return text;
}

bool takes_events(std::string_view accept) {
  return accept.find("text/event-stream") != std::string_view::npos;
}

}  // namespace

void Connection::on_head(const Head& head) {
  style_.http_10 = head.http_10;
  style_.keep_alive = head.keep_alive && !context_.draining;
  style_.without_body = head.method == "HEAD";
  style_.accepts_trailers = head.accepts_trailers;
  style_.cors_origin = context_.cors_origin(head.origin);
  plan_ = Plan::kSay;
  const size_t head_bytes = head.bytes;
  const bool expects = head.expects_continue;
  // After this the views into the input are gone for whoever waits for a body.
  route(head);
  input_.take(head_bytes);
  if (phase_ != Phase::kBody) return;
  if (plan_ == Plan::kSay && (expects || (chunked_ || body_left_ > input_.size()))) {
    // What a body would be read for is known already.
    style_.keep_alive = false;
    on_body({});
    return;
  }
  if (expects && input_.empty()) out_.text().append(kContinue);
}

void Connection::route(const Head& head) {
  if (!peer_.is_tls && !context_.host_allowed(head.authority)) {
    context_.host.log(MORTISE_LOG_WARN, "rejecting HTTP request to prevent DNS rebinding attacks",
                      {{"host", host_of(head.authority)}});
    style_.cors_origin.clear();
    return say_text(421, not_whitelisted(host_of(head.authority)));
  }
  if (head.method == "OPTIONS") return say_text(200, {});
  std::string path;
  if (!percent_decode(head.path, path)) return say_text(400, "malformed path\n");
  if (redirects(head)) return;
  if (path.starts_with(kOldPrefix)) path.replace(0, kOldPrefix.size(), kGatewayPrefix);
  if (has_gateway() && path.starts_with(kGatewayPrefix)) return route_method(head, path);
  route_page(head, std::move(path));
}

bool Connection::has_gateway() const {
  return context_.options.gateway && (peer_.serves & MORTISE_SERVES_RPC) != 0;
}

// As Go's servers do with a path that says the same in more words.
bool Connection::redirects(const Head& head) {
  if (head.method == "CONNECT" || head.path == "*") return false;
  constexpr std::string_view kGateway = kGatewayPrefix.substr(0, kGatewayPrefix.size() - 1);
  if (is_clean(head.path) && head.path != kGateway) return false;
  std::string path = clean_path(head.path);
  if (path == kGateway && has_gateway()) path = kGatewayPrefix;
  if (path == head.path) return false;
  if (!head.query.empty()) path.append("?").append(head.query);
  const bool has_body = head.method == "GET" || head.method == "HEAD";
  saying_ =
      std::make_unique<Saying>(Saying{kOk, 307, has_body ? "link" : "", escape_location(path)});
  return true;
}

void Connection::route_method(const Head& head, std::string_view path) {
  method_ = context_.routes.find(path);
  if (method_ == nullptr) return say_error(kNotFound, "Not Found");
  const bool unary = method_->kind == MORTISE_UNARY;
  const bool events = !unary && takes_events(head.accept);
  const bool served =
      head.method == "POST" || head.wants_websocket || (events && head.method == "GET");
  if (!served) return say_error(kUnimplemented, "Method Not Allowed");
  if (context_.json == nullptr) {
    return say_error(kUnimplemented, "this server does not speak JSON");
  }
  if (!prepare_caller(head)) return;
  if (head.wants_websocket) {
    if (context_.may_open_websocket(head.origin, head.authority, peer_.is_tls)) {
      return upgrade(head);
    }
    style_.keep_alive = false;
    return say_text(403, "pages of this origin may not open a WebSocket (see --cors)\n");
  }
  if (unary) {
    plan_ = Plan::kCall;
    return;
  }
  open_stream(head, events);
}

bool Connection::prepare_caller(const Head& head) {
  caller_.flags = MORTISE_CALLER_VIA_GATEWAY;
  if (head.has_leader == "true") caller_.flags |= MORTISE_CALLER_REQUIRE_LEADER;
  caller_.token = token_of(head);
  caller_.client_api_version = head.client_api_version;
  caller_.timeout_ns = 0;
  if (head.grpc_timeout.data() == nullptr) return true;
  if (!parse_grpc_timeout(head.grpc_timeout, caller_.timeout_ns)) {
    say_error(kInvalidArgument, "invalid grpc-timeout: " + std::string(head.grpc_timeout));
    return false;
  }
  return true;
}

void Connection::open_stream(const Head& head, bool events) {
  if (head.expects_continue) out_.text().append(kContinue);
  phase_ = Phase::kStream;
  body_ended_ = !head.has_body;
  stream_ = std::make_unique<HttpStream>(
      *this, *method_, events ? HttpStream::Framing::kEvents : HttpStream::Framing::kLines);
  stream_->open(caller_);
  if (caller_.timeout_ns > 0) {
    timer_ = std::make_unique<Timer>(loop());
    timer_->start(std::chrono::nanoseconds(caller_.timeout_ns), [this] { on_timeout(); });
  }
  if (!body_ended_) return;
  std::string request;
  if (head.method == "GET" && !query_value(head.query, "request", request)) {
    stream_->refuse("malformed query");
    return;
  }
  stream_->on_input(request, true);
}

// The connection goes over into a session of its own.
void Connection::upgrade(const Head& head) {
  flush();
  const std::string_view bytes = input_.view();
  if (phase_ == Phase::kClosed) return;
  if (reading_ || !out_.empty() || bytes.size() != head.bytes || head.has_body) {
    style_.keep_alive = false;
    return say_text(400, "a WebSocket begins with a request of its own\n");
  }
  const int fd = socket_.release();
  if (fd >= 0) WebSocketSession::begin(worker_, fd, peer_, *method_, caller_, std::string(bytes));
  close();
}

void Connection::route_page(const Head& head, std::string path) {
  const bool pages = (peer_.serves & MORTISE_SERVES_PAGES) != 0;
  // The status page asks methods of the same listener.
  const bool shows_ui = pages && context_.options.gateway && context_.options.ui &&
                        (peer_.serves & MORTISE_SERVES_RPC) != 0;
  if (const Asset* asset = find_asset(path); shows_ui && asset != nullptr) {
    plan_ = Plan::kAsset;
    asset_ = asset;
    asset_method_allowed_ = head.method == "GET" || head.method == "HEAD";
    return;
  }
  if (!pages || context_.pages == nullptr) return say_text(404, "404 page not found\n");
  plan_ = Plan::kPage;
  wish_ = std::make_unique<PageWish>(PageWish{std::string(head.method), std::move(path),
                                              std::string(head.query), std::string(head.accept),
                                              head.accepts_gzip});
}

void Connection::say_error(mortise_rpc_code code, std::string_view message) {
  saying_ = std::make_unique<Saying>(Saying{code, 0, std::string(message), {}});
}

void Connection::say_text(int status, std::string text) {
  saying_ = std::make_unique<Saying>(Saying{kOk, status, std::move(text), {}});
}

void Connection::on_body(std::string_view body) {
  switch (plan_) {
    case Plan::kCall: return start_call(body);
    case Plan::kPage: return start_page(body);
    case Plan::kAsset: return write_asset();
    case Plan::kSay: break;
  }
  const std::unique_ptr<Saying> saying = std::move(saying_);
  if (saying->code != kOk) {
    write_error(out_, style_, saying->code, saying->text);
  } else if (!saying->location.empty()) {
    write_redirect(out_, style_, saying->location, !saying->text.empty());
  } else if (saying->text.empty()) {
    write_head(out_.text(), style_, {saying->status, {}, BodyKind::kLength, 0});
  } else {
    write_text(out_, style_, saying->status, saying->text);
  }
  end_exchange();
}

void Connection::start_call(std::string_view body) {
  phase_ = Phase::kCall;
  mortise_buffer request{};
  CallAnswer answer;
  std::string error;
  if (!context_.to_message(*method_, body, request, error)) {
    answer = {kInvalidArgument, std::move(error), {}};
  } else if (!UnaryCall::start(context_, loop(), *this, shared_from_this(), *method_, caller_,
                               request, answer, &call_)) {
    if (caller_.timeout_ns == 0) return;
    timer_ = std::make_unique<Timer>(loop());
    timer_->start(std::chrono::nanoseconds(caller_.timeout_ns), [this] { on_timeout(); });
    return;
  }
  write_call_answer(std::move(answer));
}

void Connection::write_call_answer(CallAnswer answer) {
  if (context_.draining) style_.keep_alive = false;
  sdk::Buffer json;
  if (answer.code != kOk) {
    write_error(out_, style_, answer.code, answer.message);
  } else if (context_.to_json(*method_, answer.body.view(), json)) {
    write_answer(out_, style_, std::move(json));
  } else {
    write_error(out_, style_, kInternal, "the answer could not be written as JSON");
  }
  end_exchange();
}

void Connection::on_answer(CallAnswer answer) {
  call_ = nullptr;
  if (phase_ == Phase::kClosed) return;
  write_call_answer(std::move(answer));
  advance();
}

void Connection::on_timeout() {
  const auto keep = shared_from_this();  // The call that is given up may be the last who does.
  if (phase_ == Phase::kStream) {
    stream_->on_timeout();
  } else if (call_ != nullptr) {
    std::exchange(call_, nullptr)->abandon();
    write_call_answer({kDeadlineExceeded, "context deadline exceeded", {}});
  }
  advance();
}

void Connection::write_asset() {
  if (asset_method_allowed_) {
    write_page(out_, style_, {200, asset_->content_type, {}, asset_fields()},
               sdk::Buffer::from_static(asset_->bytes));
  } else {
    write_page(out_, style_, {405, "text/plain; charset=utf-8", "GET, HEAD", {}},
               sdk::Buffer::from_static("Method Not Allowed\n"));
  }
  end_exchange();
}

void Connection::start_page(std::string_view body) {
  phase_ = Phase::kCall;
  mortise_page_request request{};
  request.struct_size = sizeof(request);
  request.method = sdk::bytes(wish_->method);
  request.path = sdk::bytes(wish_->path);
  request.query = sdk::bytes(wish_->query);
  request.accept = sdk::bytes(wish_->accept);
  request.body = sdk::bytes(body);
  request.listener = sdk::bytes(peer_.listener);
  PageAnswer answer;
  if (PageCall::start(context_, loop(), *this, shared_from_this(), request, answer, &page_)) {
    write_page_answer(std::move(answer));
  }
}

void Connection::write_page_answer(PageAnswer answer) {
  if (context_.draining) style_.keep_alive = false;
  const bool compress = wish_->accepts_gzip && answer.body.size() >= kGzipBytesMin;
  wish_.reset();
  Page page{answer.status, answer.content_type, answer.allow, {}};
  if (std::string packed; compress && gzip(answer.body.view(), packed)) {
    page.more_fields = "Content-Encoding: gzip\r\n";
    answer.body = sdk::Buffer::from(std::move(packed));
  }
  write_page(out_, style_, page, std::move(answer.body));
  end_exchange();
}

void Connection::on_page(PageAnswer answer) {
  page_ = nullptr;
  if (phase_ == Phase::kClosed) return;
  write_page_answer(std::move(answer));
  advance();
}

}  // namespace mortise::transport_http
