// The head of a request: from header fields to what a call needs, or to what is wrong with it. Its
// memory is used again for the next one. On the connection's loop.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mortise/abi/rpc.h"
#include "plugins/transport_grpc/methods.h"
#include "plugins/transport_grpc/status.h"

namespace mortise::transport_grpc {

// "1H", "20M", "5S", "100m", "7u", "1n": at most eight digits and a unit. What is wrong with it, or
// nothing. Zero is no time at all.
std::optional<std::string> parse_timeout(std::string_view text, uint64_t& out_ns);

class RequestHead {
 public:
  // Of all fields, each with 32 bytes for itself, as HTTP/2 counts. It is announced to clients.
  static constexpr size_t kBytesMax = 64 << 10;

  // What to answer instead of making a call.
  struct Refusal {
    std::string_view http_status = "200";
    Status status;
  };

  void clear();
  void add(std::string_view name, std::string_view value, const Methods& methods);
  // Whether the request is none of HTTP/2 at all.
  bool malformed() const { return connection_field_; }
  // As grpc-go judges, in its order.
  std::optional<Refusal> refusal(const Methods& methods) const;

  const mortise_method* method() const { return method_; }
  // Of the answer. Static.
  std::string_view content_type() const;
  // `token` goes before `authorization`, "Bearer " is removed from either. An empty one is a wrong
  // one, but for the host it would be none: it becomes a space, which no token is.
  std::string_view token() const;
  std::string_view client_api_version() const { return client_api_version_; }
  uint32_t caller_flags() const { return caller_flags_; }
  // Messages may be packed with gzip.
  bool gzip() const { return gzip_; }
  uint64_t timeout_ns() const { return timeout_ns_; }

 private:
  void add_content_type(std::string_view value);
  void add_encoding(std::string_view value);
  void add_metadata(std::string_view name, std::string_view value);

  size_t bytes_ = 0;
  const mortise_method* method_ = nullptr;
  uint32_t caller_flags_ = 0;
  uint32_t authorities_ = 0;
  uint32_t hosts_ = 0;
  bool post_ = false;
  bool grpc_content_type_ = false;
  bool connection_field_ = false;
  bool has_token_ = false;
  bool has_authorization_ = false;
  bool has_leader_ = false;
  bool has_version_ = false;
  bool has_timeout_ = false;
  bool gzip_ = false;
  uint64_t timeout_ns_ = 0;
  std::string http_method_;  // Unless it is POST.
  std::string path_;         // Unless it is a method's.
  std::string content_type_;
  std::string token_;
  std::string authorization_;
  std::string client_api_version_;
  std::string encoding_;  // Unless it is identity or gzip.
  std::string bad_timeout_;
};

}  // namespace mortise::transport_grpc
