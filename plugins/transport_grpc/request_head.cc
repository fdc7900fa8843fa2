#include "plugins/transport_grpc/request_head.h"

#include <algorithm>
#include <limits>

namespace mortise::transport_grpc {
namespace {

constexpr std::string_view kGrpc = "application/grpc";
constexpr std::string_view kGrpcProto = "application/grpc+proto";
constexpr std::string_view kBearer = "Bearer ";
constexpr size_t kFieldBytes = 32;
constexpr size_t kTimeoutBytesMin = 2;
constexpr size_t kTimeoutBytesMax = 9;

// Nanoseconds, or zero if there is no such unit.
uint64_t unit_ns(char unit) {
  switch (unit) {
    case 'H': return 3600'000'000'000;
    case 'M': return 60'000'000'000;
    case 'S': return 1'000'000'000;
    case 'm': return 1'000'000;
    case 'u': return 1'000;
    case 'n': return 1;
    default: return 0;
  }
}

std::string quoted(std::string_view text) { return std::string("\"").append(text).append("\""); }

}  // namespace

std::optional<std::string> parse_timeout(std::string_view text, uint64_t& out_ns) {
  if (text.size() < kTimeoutBytesMin) return "timeout string is too short: " + quoted(text);
  if (text.size() > kTimeoutBytesMax) return "timeout string is too long: " + quoted(text);
  const uint64_t unit = unit_ns(text.back());
  if (unit == 0) return "timeout unit is not recognized: " + quoted(text);
  uint64_t count = 0;
  for (const char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return "timeout is not a number: " + quoted(text);
    count = count * 10 + static_cast<uint64_t>(c - '0');
  }
  constexpr uint64_t kMaxNs = std::numeric_limits<int64_t>::max();
  out_ns = count > kMaxNs / unit ? kMaxNs : count * unit;
  return std::nullopt;
}

void RequestHead::clear() {
  bytes_ = 0;
  method_ = nullptr;
  caller_flags_ = authorities_ = hosts_ = 0;
  post_ = grpc_content_type_ = connection_field_ = false;
  has_token_ = has_authorization_ = has_leader_ = has_version_ = has_timeout_ = gzip_ = false;
  timeout_ns_ = 0;
  for (std::string* text : {&http_method_, &path_, &content_type_, &token_, &authorization_,
                            &client_api_version_, &encoding_, &bad_timeout_}) {
    text->clear();
  }
}

void RequestHead::add(std::string_view name, std::string_view value, const Methods& methods) {
  bytes_ += name.size() + value.size() + kFieldBytes;
  if (bytes_ > kBytesMax) return;  // The request is going to be refused.
  if (name == ":path") {
    method_ = methods.find(value);
    if (method_ == nullptr) path_ = value;
  } else if (name == ":method") {
    post_ = value == "POST";
    if (!post_) http_method_ = value;
  } else if (name == "content-type") {
    add_content_type(value);
  } else if (name == ":authority") {
    ++authorities_;
  } else if (name == "host") {
    ++hosts_;
  } else if (name == "grpc-timeout") {
    has_timeout_ = true;
    if (auto wrong = parse_timeout(value, timeout_ns_)) bad_timeout_ = std::move(*wrong);
  } else if (name == "grpc-encoding") {
    add_encoding(value);
  } else if (name == "connection") {
    connection_field_ = true;
  } else {
    add_metadata(name, value);
  }
}

void RequestHead::add_content_type(std::string_view value) {
  const bool is_it =
      value.starts_with(kGrpc) &&
      (value.size() == kGrpc.size() || value[kGrpc.size()] == '+' || value[kGrpc.size()] == ';');
  grpc_content_type_ = grpc_content_type_ || is_it;
  if (is_it || !grpc_content_type_) content_type_ = value;
}

void RequestHead::add_encoding(std::string_view value) {
  gzip_ = value == "gzip";
  encoding_ = gzip_ || value == "identity" ? "" : value;
}

// Of a key that is sent more than once the first value counts.
void RequestHead::add_metadata(std::string_view name, std::string_view value) {
  if (name == "token" && !has_token_) {
    has_token_ = true;
    token_ = value;
  } else if (name == "authorization" && !has_authorization_) {
    has_authorization_ = true;
    authorization_ = value;
  } else if (name == "hasleader" && !has_leader_) {
    has_leader_ = true;
    if (value == "true") caller_flags_ |= MORTISE_CALLER_REQUIRE_LEADER;
  } else if (name == "client-api-version" && !has_version_) {
    has_version_ = true;
    client_api_version_ = value;
  } else if (name == "grpcgateway-accept") {
    // From a gateway, whose certificate is not its clients'.
    caller_flags_ |= MORTISE_CALLER_VIA_GATEWAY;
  }
}

std::string_view RequestHead::content_type() const {
  return content_type_ == kGrpcProto ? kGrpcProto : kGrpc;
}

std::string_view RequestHead::token() const {
  std::string_view token = has_token_ ? token_ : authorization_;
  if (token.starts_with(kBearer)) token.remove_prefix(kBearer.size());
  if (token.empty() && (has_token_ || has_authorization_)) return " ";
  return token;
}

std::optional<RequestHead::Refusal> RequestHead::refusal(const Methods& methods) const {
  if (bytes_ > kBytesMax) {
    return Refusal{"200",
                   {kResourceExhausted,
                    "the request's header is larger than " + std::to_string(kBytesMax) + " bytes"}};
  }
  if (authorities_ > 1 || hosts_ > 1) {
    return Refusal{"400", {kInternal, "more than one :authority or host"}};
  }
  if (!grpc_content_type_) {
    return Refusal{
        "415", {kInvalidArgument, "invalid gRPC request content-type " + quoted(content_type_)}};
  }
  if (!bad_timeout_.empty()) {
    return Refusal{"400", {kInternal, "malformed grpc-timeout: " + bad_timeout_}};
  }
  if (!post_) {
    return Refusal{"405",
                   {kInternal, "the method of a call is POST, and not " + quoted(http_method_)}};
  }
  if (has_timeout_ && timeout_ns_ == 0) return Refusal{"200", deadline_exceeded()};
  if (method_ == nullptr) {
    return Refusal{"200", {kUnimplemented, methods.describe_unknown(path_)}};
  }
  if (!encoding_.empty()) return Refusal{"200", not_installed(encoding_)};
  return std::nullopt;
}

}  // namespace mortise::transport_grpc
