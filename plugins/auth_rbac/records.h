// Users and roles as they are stored: etcd's messages authpb.User and authpb.Role.
//
// encode() gives the bytes that etcd stores for the same content. Values; no thread owns anything
// here. parse() returns false for bytes that are no such message.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mortise::auth_rbac {

enum class PermissionType : uint64_t { kRead = 0, kWrite = 1, kReadWrite = 2 };

struct Permission {
  uint64_t type = 0;  // Of PermissionType, or a value that nothing is known about.
  std::string key;
  std::string range_end;

  bool operator==(const Permission&) const = default;
  bool parse(std::string_view message);
  std::string encode() const;
};

struct UserOptions {
  bool no_password = false;

  bool operator==(const UserOptions&) const = default;
  bool parse(std::string_view message);
  std::string encode() const;
};

struct UserRecord {
  std::string name;
  std::string password;  // The hash.
  std::vector<std::string> roles;
  std::optional<UserOptions> options;

  bool operator==(const UserRecord&) const = default;
  bool parse(std::string_view message);
  std::string encode() const;
  bool no_password() const { return options && options->no_password; }
};

struct RoleRecord {
  std::string name;
  std::vector<Permission> permissions;

  bool operator==(const RoleRecord&) const = default;
  bool parse(std::string_view message);
  std::string encode() const;
};

}  // namespace mortise::auth_rbac
