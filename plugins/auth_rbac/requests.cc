#include "plugins/auth_rbac/requests.h"

#include "plugins/auth_rbac/wire.h"

namespace mortise::auth_rbac {

bool UserAddRequest::parse(std::string_view message) {
  Reader in(message);
  while (in.next()) {
    if (!in.is_bytes()) continue;
    switch (in.field()) {
      case 1: name = in.bytes(); break;
      case 2: password = Secret(in.bytes()); break;
      case 3:
        if (!options) options.emplace();
        if (!options->parse(in.bytes())) return false;
        break;
      case 4: hashed_password = in.bytes(); break;
      default: break;
    }
  }
  return in.ok();
}

std::string UserAddRequest::encode() const {
  std::string out;
  put_bytes(out, 1, name);
  put_bytes(out, 2, password.view());
  if (options) put_message(out, 3, options->encode());
  put_bytes(out, 4, hashed_password);
  return out;
}

bool ChangePasswordRequest::parse(std::string_view message) {
  Reader in(message);
  while (in.next()) {
    if (!in.is_bytes()) continue;
    if (in.field() == 1) name = in.bytes();
    if (in.field() == 2) password = Secret(in.bytes());
    if (in.field() == 3) hashed_password = in.bytes();
  }
  return in.ok();
}

std::string ChangePasswordRequest::encode() const {
  std::string out;
  put_bytes(out, 1, name);
  put_bytes(out, 2, password.view());
  put_bytes(out, 3, hashed_password);
  return out;
}

bool LogInRequest::parse(std::string_view message) {
  Reader in(message);
  while (in.next()) {
    if (!in.is_bytes()) continue;
    if (in.field() == 1) name = in.bytes();
    if (in.field() == 3) simple_token = in.bytes();
  }
  return in.ok();
}

std::string LogInRequest::encode() const {
  std::string out;
  put_bytes(out, 1, name);
  put_bytes(out, 3, simple_token);
  return out;
}

bool GrantPermissionRequest::parse(std::string_view message) {
  Reader in(message);
  while (in.next()) {
    if (!in.is_bytes()) continue;
    if (in.field() == 1) role = in.bytes();
    if (in.field() != 2) continue;
    if (!permission) permission.emplace();
    if (!permission->parse(in.bytes())) return false;
  }
  return in.ok();
}

bool PlainRequest::parse(std::string_view message) {
  Reader in(message);
  while (in.next()) {
    if (!in.is_bytes()) continue;
    if (in.field() == 1) first = in.bytes();
    if (in.field() == 2) second = in.bytes();
    if (in.field() == 3) third = in.bytes();
  }
  return in.ok();
}

}  // namespace mortise::auth_rbac
