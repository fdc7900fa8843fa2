// The auth requests of etcd's API, as far as they have content.
//
// parse() lends nothing: members are copies. It returns false for bytes that are no such message.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "plugins/auth_rbac/records.h"
#include "plugins/auth_rbac/secret.h"

namespace mortise::auth_rbac {

struct UserAddRequest {
  std::string name;
  Secret password;
  std::optional<UserOptions> options;
  std::string hashed_password;
  bool parse(std::string_view message);
  std::string encode() const;
};

struct ChangePasswordRequest {
  std::string name;
  Secret password;
  std::string hashed_password;
  bool parse(std::string_view message);
  std::string encode() const;
};

// InternalAuthenticateRequest. A password in it is of no use to anybody, so it is not kept.
struct LogInRequest {
  std::string name;
  std::string simple_token;
  bool parse(std::string_view message);
  std::string encode() const;
};

struct GrantPermissionRequest {
  std::string role;
  std::optional<Permission> permission;
  bool parse(std::string_view message);
};

// Requests of one, two or three fields of bytes, 1 to 3: names, keys.
struct PlainRequest {
  std::string first;
  std::string second;
  std::string third;
  bool parse(std::string_view message);
};

}  // namespace mortise::auth_rbac
