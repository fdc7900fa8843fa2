// HTTP/1 requests out of bytes. Strict, as it stands between strangers and the server: what two
// parsers could read in two ways is refused.
//
// Used by one connection on its loop. The library that does the work is seen in parser.cc alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace mortise::transport_http {

// The part before the body. Views lie in the bytes that parse_head() was given.
struct Head {
  std::string_view method;
  std::string_view path;       // As sent, without the query.
  std::string_view query;      // Behind '?'.
  std::string_view authority;  // Of the target, or else the Host header.
  bool http_10 = false;
  bool keep_alive = false;
  bool has_body = false;
  bool chunked = false;
  uint64_t content_length = 0;
  bool expects_continue = false;
  bool accepts_trailers = false;
  bool wants_websocket = false;
  bool accepts_gzip = false;

  std::string_view accept;
  std::string_view origin;
  std::string_view authorization;
  std::string_view token;  // Grpc-Metadata-Token
  std::string_view grpc_timeout;
  std::string_view has_leader;          // Grpc-Metadata-Hasleader
  std::string_view client_api_version;  // Grpc-Metadata-Client-Api-Version
  std::string_view websocket_protocol;

  size_t bytes = 0;
};

// What is wrong with a request, as it is said to the client.
struct Refused {
  int status = 400;
  std::string_view reason;  // Static; empty if there is nothing to add.
};

class Parser {
 public:
  enum class Result : uint8_t { kMore, kDone, kRefused };

  explicit Parser(size_t header_bytes_max);
  ~Parser();
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  // `bytes` begin with the request; called with the same bytes and more until it is not kMore.
  Result parse_head(std::string_view bytes);
  const Head& head() const { return head_; }
  const Refused& refused() const { return refused_; }

  // A chunked body: appends its bytes to `out`, which gets no longer than `out_max`, and says how
  // many of `bytes` it took; the others come again with more behind them.
  Result parse_chunks(std::string_view bytes, std::string& out, size_t out_max, size_t& taken);

 private:
  struct Impl;

  Result refuse(int status, std::string_view reason = {});
  bool check_head();

  const size_t header_bytes_max_;
  std::unique_ptr<Impl> impl_;
  size_t searched_ = 0;  // So much of the head has no end in it.
  Head head_;
  Refused refused_;
};

}  // namespace mortise::transport_http
