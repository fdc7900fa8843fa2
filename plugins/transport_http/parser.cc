#include "plugins/transport_http/parser.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <new>
#include <utility>

namespace mortise::transport_http {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using Text = beast::string_view;

constexpr std::string_view kEndOfHead = "\r\n\r\n";

std::string_view view(Text text) { return {text.data(), text.size()}; }

bool equals(std::string_view a, std::string_view b) {
  return beast::iequals(Text(a.data(), a.size()), Text(b.data(), b.size()));
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Whether one of the comma-separated words of `list` is `word`.
bool lists(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    std::string_view item = list.substr(0, comma);
    while (!item.empty() && (item.front() == ' ' || item.front() == '\t')) item.remove_prefix(1);
    while (!item.empty() && (item.back() == ' ' || item.back() == '\t')) item.remove_suffix(1);
    if (equals(item, word)) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

// What may stand in a Host header: of the syntax of URLs, the part for hosts and ports.
bool is_host(std::string_view text) {
  constexpr std::string_view kOthers = "!$%&'()*+,-.:;=[]_~";
  return std::ranges::all_of(text, [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kOthers.find(c) != std::string_view::npos;
  });
}

// An `Accept-Encoding` that names gzip, and not to rule it out.
bool lists_gzip(std::string_view list) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    std::string_view item = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    const size_t semicolon = std::min(item.find(';'), item.size());
    const std::string_view weight = item.substr(semicolon);
    const bool ruled_out = weight.find("q=0") != std::string_view::npos &&
                           weight.find_first_of("123456789") == std::string_view::npos;
    if (!ruled_out && lists(item.substr(0, semicolon), "gzip")) return true;
  }
  return false;
}

// Of a header that is sent more than once the first counts.
void keep_first(std::string_view& kept, std::string_view value) {
  if (kept.data() == nullptr) kept = value;
}

}  // namespace

struct Parser::Impl final : http::basic_parser<true> {
  explicit Impl(Head& to) : head(to) {
    header_limit(UINT32_MAX);  // Both limits are kept by the outer class.
    body_limit(UINT64_MAX);
  }

  Head& head;
  Refused refused{0, {}};
  std::string_view target;
  std::string* body = nullptr;
  size_t body_max = 0;
  bool in_trailers = false;
  bool has_length = false;
  bool has_encoding = false;
  bool has_host = false;
  bool upgrades = false;

  void fail(beast::error_code& error, int status, std::string_view reason) {
    refused = {status, reason};
    error = http::error::bad_field;
  }

  void on_request_impl(http::verb, Text method, Text t, int version, beast::error_code&) override {
    head.method = view(method);
    target = view(t);
    head.http_10 = version == 10;
  }
  void on_response_impl(int, Text, int, beast::error_code&) override {}

  void on_field_impl(http::field field, Text name, Text text, beast::error_code& error) override {
    if (in_trailers) return;
    const std::string_view value = view(text);
    switch (field) {
      case http::field::host:
        if (std::exchange(has_host, true)) return fail(error, 400, "too many Host headers");
        if (!is_host(value)) return fail(error, 400, "malformed Host header");
        head.authority = value;
        return;
      case http::field::content_length:
        if (std::exchange(has_length, true) || !all_digits(value)) {
          return fail(error, 400, "bad Content-Length");
        }
        return;
      case http::field::transfer_encoding:
        if (std::exchange(has_encoding, true)) return fail(error, 400, "bad Transfer-Encoding");
        if (!equals(value, "chunked")) return fail(error, 501, "unsupported transfer encoding");
        return;
      case http::field::expect:
        if (!equals(value, "100-continue")) return fail(error, 417, {});
        head.expects_continue = true;
        return;
      case http::field::upgrade: upgrades = upgrades || lists(value, "websocket"); return;
      case http::field::te:
        head.accepts_trailers = head.accepts_trailers || lists(value, "trailers");
        return;
      case http::field::accept_encoding:
        head.accepts_gzip = head.accepts_gzip || lists_gzip(value);
        return;
      case http::field::accept: return keep_first(head.accept, value);
      case http::field::origin: return keep_first(head.origin, value);
      case http::field::authorization: return keep_first(head.authorization, value);
      case http::field::sec_websocket_protocol: return keep_first(head.websocket_protocol, value);
      case http::field::unknown: return on_grpc_field(view(name), value);
      default: return;
    }
  }
  void on_grpc_field(std::string_view name, std::string_view value) {
    constexpr std::string_view kPrefix = "Grpc-";
    if (name.size() < kPrefix.size() || !equals(name.substr(0, kPrefix.size()), kPrefix)) return;
    name.remove_prefix(kPrefix.size());
    if (equals(name, "Timeout")) return keep_first(head.grpc_timeout, value);
    if (equals(name, "Metadata-Token")) return keep_first(head.token, value);
    if (equals(name, "Metadata-Authorization")) return keep_first(head.authorization, value);
    if (equals(name, "Metadata-Hasleader")) return keep_first(head.has_leader, value);
    if (equals(name, "Metadata-Client-Api-Version")) keep_first(head.client_api_version, value);
  }

  void on_header_impl(beast::error_code&) override {}
  void on_body_init_impl(boost::optional<std::uint64_t> const&, beast::error_code&) override {}
  size_t on_body_impl(Text text, beast::error_code&) override { return text.size(); }
  void on_chunk_header_impl(std::uint64_t size, Text, beast::error_code& error) override {
    in_trailers = size == 0;
    if (size > body_max - std::min<uint64_t>(body->size(), body_max)) fail(error, 413, {});
  }
  size_t on_chunk_body_impl(std::uint64_t, Text text, beast::error_code&) override {
    body->append(text.data(), text.size());
    return text.size();
  }
  void on_finish_impl(beast::error_code&) override {}
};

Parser::Parser(size_t header_bytes_max)
    : header_bytes_max_(header_bytes_max), impl_(std::make_unique<Impl>(head_)) {}
Parser::~Parser() = default;

Parser::Result Parser::refuse(int status, std::string_view reason) {
  refused_ = {status, reason};
  return Result::kRefused;
}

Parser::Result Parser::parse_head(std::string_view bytes) {
  const size_t end = bytes.find(kEndOfHead, searched_);
  const size_t size = end == std::string_view::npos ? bytes.size() : end + kEndOfHead.size();
  if (size > header_bytes_max_) return refuse(431);
  if (end == std::string_view::npos) {
    searched_ = bytes.size() < kEndOfHead.size() ? 0 : bytes.size() - kEndOfHead.size() + 1;
    return Result::kMore;
  }
  searched_ = 0;
  head_ = Head();
  head_.bytes = size;
  Impl* const impl = impl_.get();
  impl->~Impl();
  new (impl) Impl(head_);

  const std::string_view head = bytes.substr(0, size);
  if (head.find("\r\n ") != std::string_view::npos ||
      head.find("\r\n\t") != std::string_view::npos) {
    return refuse(400, "folded header");
  }
  beast::error_code error;
  const size_t taken = impl->put(boost::asio::buffer(head.data(), head.size()), error);
  if (impl->refused.status != 0) {
    refused_ = impl->refused;
    return Result::kRefused;
  }
  if (error == http::error::bad_version) return refuse(505);
  if (error || taken != size || !impl->is_header_done()) return refuse(400);
  return check_head() ? Result::kDone : Result::kRefused;
}

// What spans several headers.
bool Parser::check_head() {
  Impl& impl = *impl_;
  const auto bad = [&](std::string_view reason) {
    refuse(400, reason);
    return false;
  };
  if (impl.has_length && impl.has_encoding) return bad("bad Transfer-Encoding");
  if (head_.http_10 && impl.has_encoding) return bad("bad Transfer-Encoding");
  if (!head_.http_10 && !impl.has_host) return bad("missing required Host header");
  head_.chunked = impl.chunked();
  head_.content_length = impl.content_length().value_or(0);
  head_.has_body = head_.chunked || head_.content_length > 0;
  head_.keep_alive = impl.keep_alive();
  head_.expects_continue = head_.expects_continue && head_.has_body && !head_.http_10;
  head_.wants_websocket = impl.upgrades && impl.upgrade() && head_.method == "GET";

  std::string_view target = impl.target;
  for (std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    target.remove_prefix(scheme.size());
    const size_t path = std::min(target.find_first_of("/?"), target.size());
    head_.authority = target.substr(0, path);
    if (!is_host(head_.authority)) return bad({});
    target.remove_prefix(path);
    if (target.empty()) target = "/";
    break;
  }
  if (target != "*" && !target.starts_with('/')) return bad({});
  target = target.substr(0, target.find('#'));
  const size_t question = std::min(target.find('?'), target.size());
  head_.path = target.substr(0, question);
  head_.query = target.substr(std::min(question + 1, target.size()));
  return true;
}

Parser::Result Parser::parse_chunks(std::string_view bytes, std::string& out, size_t out_max,
                                    size_t& taken) {
  Impl& impl = *impl_;
  impl.body = &out;
  impl.body_max = out_max;
  taken = 0;
  while (!impl.is_done() && taken < bytes.size()) {
    beast::error_code error;
    taken += impl.put(boost::asio::buffer(bytes.data() + taken, bytes.size() - taken), error);
    if (error == http::error::need_more) break;
    if (!error) continue;
    return impl.refused.status == 413 ? refuse(413) : refuse(400, "bad chunk");
  }
  // The lines between chunks and the trailers are held to the limit of headers.
  if (!impl.is_done() && bytes.size() - taken > header_bytes_max_) return refuse(431);
  return impl.is_done() ? Result::kDone : Result::kMore;
}

}  // namespace mortise::transport_http
