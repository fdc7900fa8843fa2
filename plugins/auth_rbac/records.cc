#include "plugins/auth_rbac/records.h"

#include "plugins/auth_rbac/wire.h"

namespace mortise::auth_rbac {

bool Permission::parse(std::string_view message) {
  Reader in(message);
  while (in.next()) {
    if (in.field() == 1 && in.is_varint()) type = in.varint();
    if (in.field() == 2 && in.is_bytes()) key = in.bytes();
    if (in.field() == 3 && in.is_bytes()) range_end = in.bytes();
  }
  return in.ok();
}

std::string Permission::encode() const {
  std::string out;
  put_number(out, 1, type);
  put_bytes(out, 2, key);
  put_bytes(out, 3, range_end);
  return out;
}

bool UserOptions::parse(std::string_view message) {
  Reader in(message);
  while (in.next()) {
    if (in.field() == 1 && in.is_varint()) no_password = in.varint() != 0;
  }
  return in.ok();
}

std::string UserOptions::encode() const {
  std::string out;
  put_number(out, 1, no_password ? 1 : 0);
  return out;
}

bool UserRecord::parse(std::string_view message) {
  Reader in(message);
  while (in.next()) {
    if (!in.is_bytes()) continue;
    switch (in.field()) {
      case 1: name = in.bytes(); break;
      case 2: password = in.bytes(); break;
      case 3: roles.emplace_back(in.bytes()); break;
      case 4:
        if (!options) options.emplace();
        if (!options->parse(in.bytes())) return false;
        break;
      default: break;
    }
  }
  return in.ok();
}

std::string UserRecord::encode() const {
  std::string out;
  put_bytes(out, 1, name);
  put_bytes(out, 2, password);
  for (const std::string& role : roles) put_message(out, 3, role);
  if (options) put_message(out, 4, options->encode());
  return out;
}

bool RoleRecord::parse(std::string_view message) {
  Reader in(message);
  while (in.next()) {
    if (in.field() == 1 && in.is_bytes()) name = in.bytes();
    if (in.field() != 2 || !in.is_bytes()) continue;
    Permission permission;
    if (!permission.parse(in.bytes())) return false;
    permissions.push_back(std::move(permission));
  }
  return in.ok();
}

std::string RoleRecord::encode() const {
  std::string out;
  put_bytes(out, 1, name);
  for (const Permission& permission : permissions) put_message(out, 2, permission.encode());
  return out;
}

}  // namespace mortise::auth_rbac
