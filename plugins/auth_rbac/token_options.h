// The value of --auth-token: "simple", or "jwt,pub-key=...,priv-key=...,sign-method=...,ttl=...".
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>

#include "mortise/sdk/status.h"

namespace mortise::auth_rbac {

enum class TokenKind { kNone, kSimple, kJwt };

struct TokenOptions {
  TokenKind kind = TokenKind::kSimple;
  std::map<std::string, std::string, std::less<>> of_kind;  // "ttl" to "10m", ...

  sdk::Status parse(std::string_view text);
};

sdk::Status invalid_options();

// "1h30m", "1.5s", "-2us", "0": what Go's time.ParseDuration takes. False if it is not one.
bool parse_duration(std::string_view text, std::chrono::nanoseconds& out);

}  // namespace mortise::auth_rbac
