// Which method a path is for, and what a code is in HTTP. Pure.
#pragma once

#include <string_view>
#include <unordered_map>

#include "mortise/abi/rpc.h"

namespace mortise::transport_http {

constexpr std::string_view kGatewayPrefix = "/v3/";

class Routes {
 public:
  explicit Routes(const mortise_host_rpc_v1& rpc);
  // Null if there is none.
  const mortise_method* find(std::string_view path) const;

 private:
  std::unordered_map<std::string_view, const mortise_method*> methods_;
};

// gRPC's codes, as far as this side gives them by itself.
enum Code : mortise_rpc_code {
  kOk = 0,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kResourceExhausted = 8,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kUnauthenticated = 16
};

int http_status(mortise_rpc_code code);
std::string_view http_status_text(int status);

}  // namespace mortise::transport_http
