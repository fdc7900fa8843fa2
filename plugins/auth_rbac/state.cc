#include "plugins/auth_rbac/state.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "plugins/auth_rbac/base64.h"
#include "plugins/auth_rbac/bcrypt.h"
#include "plugins/auth_rbac/errors.h"
#include "plugins/auth_rbac/permission_order.h"
#include "plugins/auth_rbac/requests.h"
#include "plugins/auth_rbac/wire.h"

namespace mortise::auth_rbac {
namespace {

using sdk::RpcStatus;

std::string row_key(char row, std::string_view name) {
  std::string key(1, row);
  key.append(name);
  return key;
}

const std::string kEnabledKey = row_key(MORTISE_AUTH_ROW_STATE, "authEnabled");
const std::string kRevisionKey = row_key(MORTISE_AUTH_ROW_STATE, "authRevision");

std::string big_endian(uint64_t value) {
  std::string out;
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
  return out;
}

sdk::Status damaged(std::string_view what) {
  return sdk::Status(MORTISE_E_CORRUPTION, "auth: a stored " + std::string(what) + " is damaged");
}

sdk::Status load_state_row(std::string_view name, std::string_view value, View& out) {
  if (name == "authEnabled") out.enabled = value == std::string_view("\1", 1);
  if (name != "authRevision") return {};
  if (value.size() != 8) return damaged("revision");
  out.revision = 0;
  for (const char c : value) out.revision = out.revision << 8 | static_cast<uint8_t>(c);
  return {};
}

bool valid_range(const Permission& p) {
  if (p.key.empty()) return false;
  return p.range_end.empty() || p.key < p.range_end || is_open_end(p.range_end);
}

std::vector<std::string> without(const std::vector<std::string>& roles, std::string_view role) {
  std::vector<std::string> kept = roles;
  std::erase(kept, role);
  return kept;
}

// One request on its way into the rows and the view.
class Change {
 public:
  Change(sdk::AuthTxn txn, const View& view, uint64_t index, Outcome& out)
      : txn_(txn), view_(view), index_(index), out_(out) {}

  RpcStatus apply(uint32_t field, std::string_view request);

 private:
  RpcStatus enable();
  RpcStatus disable();
  RpcStatus log_in(std::string_view request);
  RpcStatus user_add(std::string_view request);
  RpcStatus change_password(std::string_view request);
  RpcStatus user_delete(const PlainRequest& r);
  RpcStatus user_get(const PlainRequest& r);
  RpcStatus grant_role(const PlainRequest& r);
  RpcStatus revoke_role(const PlainRequest& r);
  RpcStatus role_add(const PlainRequest& r);
  RpcStatus role_delete(const PlainRequest& r);
  RpcStatus role_get(const PlainRequest& r);
  RpcStatus grant_permission(std::string_view request);
  RpcStatus revoke_permission(const PlainRequest& r);
  RpcStatus status();
  template <class Item>
  RpcStatus list(const Directory<Item>& all);

  // The stored hash out of a request; false if there is none that can be stored.
  bool select_password(std::string_view name, std::string_view password, std::string_view hashed,
                       std::string& out) const;
  void put_user(UserRecord user) {
    txn_.put(row_key(MORTISE_AUTH_ROW_USER, user.name), user.encode());
    next().put_user(std::move(user));
  }
  void put_role(RoleRecord role) {
    txn_.put(row_key(MORTISE_AUTH_ROW_ROLE, role.name), role.encode());
    next().put_role(std::move(role));
  }
  RpcStatus next_revision() {
    txn_.put(kRevisionKey, big_endian(++next().revision));
    return granted();
  }

  View& next() {
    if (out_.next == nullptr) out_.next = std::make_shared<View>(view_);
    return *out_.next;
  }

  sdk::AuthTxn txn_;
  const View& view_;
  uint64_t index_;
  Outcome& out_;
};

RpcStatus Change::enable() {
  if (view_.enabled) return granted();
  const User* root = view_.user(kRoot);
  if (root == nullptr) return refuse(kRootUserNotExist);
  if (!root->root) return refuse(kRootRoleNotExist);
  txn_.put(kEnabledKey, std::string_view("\1", 1));
  next().enabled = true;
  return granted();
}

RpcStatus Change::disable() {
  if (!view_.enabled) return granted();
  txn_.put(kEnabledKey, std::string_view("\0", 1));
  next().enabled = false;
  out_.auth_disabled = true;
  return next_revision();
}

RpcStatus Change::status() {
  put_number(out_.response, 2, view_.enabled ? 1 : 0);
  put_number(out_.response, 3, view_.revision);
  return granted();
}

// The password was checked by the member that was asked.
RpcStatus Change::log_in(std::string_view request) {
  LogInRequest r;
  if (!r.parse(request)) return refuse(kMalformed);
  if (!view_.enabled) return refuse(kNotEnabled);
  const User* user = view_.user(r.name);
  if (user == nullptr || user->record.no_password()) return refuse(kAuthFailed);
  if (r.simple_token.empty()) return granted();
  out_.token_user = r.name;
  out_.token = r.simple_token + "." + std::to_string(index_);
  put_bytes(out_.response, 2, out_.token);
  return granted();
}

bool Change::select_password(std::string_view name, std::string_view password,
                             std::string_view hashed, std::string& out) const {
  // Entries of etcd 3.4 carry the password. Each member of etcd's hashes it with a salt of its own;
  // here the entry decides the salt.
  if (!password.empty() && hashed.empty()) {
    out = bcrypt_of_entry(index_, name, password);
    return !out.empty();
  }
  return base64_decode(hashed, out);
}

RpcStatus Change::user_add(std::string_view request) {
  UserAddRequest r;
  if (!r.parse(request)) return refuse(kMalformed);
  if (r.name.empty()) return refuse(kUserEmpty);
  if (view_.user(r.name) != nullptr) return refuse(kUserExists);
  UserRecord user;
  user.options = r.options ? *r.options : UserOptions{};
  if (!user.no_password() &&
      !select_password(r.name, r.password.view(), r.hashed_password, user.password)) {
    return refuse(kNoPasswordUser);
  }
  user.name = std::move(r.name);
  put_user(std::move(user));
  return next_revision();
}

RpcStatus Change::change_password(std::string_view request) {
  ChangePasswordRequest r;
  if (!r.parse(request)) return refuse(kMalformed);
  const User* user = view_.user(r.name);
  if (user == nullptr) return refuse(kUserNotFound);
  UserRecord changed = user->record;
  changed.password.clear();
  if (!changed.no_password() &&
      !select_password(r.name, r.password.view(), r.hashed_password, changed.password)) {
    return refuse(kNoPasswordUser);
  }
  out_.ended_user = r.name;
  put_user(std::move(changed));
  return next_revision();
}

RpcStatus Change::user_delete(const PlainRequest& r) {
  if (view_.enabled && r.first == kRoot) return refuse(kInvalidManagement);
  if (view_.user(r.first) == nullptr) return refuse(kUserNotFound);
  txn_.remove(row_key(MORTISE_AUTH_ROW_USER, r.first));
  next().remove_user(r.first);
  out_.ended_user = r.first;
  return next_revision();
}

RpcStatus Change::user_get(const PlainRequest& r) {
  const User* user = view_.user(r.first);
  if (user == nullptr) return refuse(kUserNotFound);
  for (const std::string& role : user->record.roles) put_message(out_.response, 2, role);
  return granted();
}

template <class Item>
RpcStatus Change::list(const Directory<Item>& all) {
  for (const auto& item : all) {
    if constexpr (std::is_same_v<Item, User>) {
      put_message(out_.response, 2, item->record.name);
    } else {
      put_message(out_.response, 2, item->name);
    }
  }
  return granted();
}

RpcStatus Change::grant_role(const PlainRequest& r) {
  const User* user = view_.user(r.first);
  if (user == nullptr) return refuse(kUserNotFound);
  // The role "root" is known to all, whether or not it was added.
  if (r.second != kRoot && view_.role(r.second) == nullptr) return refuse(kRoleNotFound);
  const std::vector<std::string>& held = user->record.roles;
  if (std::binary_search(held.begin(), held.end(), r.second)) return granted();
  UserRecord changed = user->record;
  changed.roles.push_back(r.second);
  std::sort(changed.roles.begin(), changed.roles.end());
  put_user(std::move(changed));
  return next_revision();
}

RpcStatus Change::revoke_role(const PlainRequest& r) {
  if (view_.enabled && r.first == kRoot && r.second == kRoot) return refuse(kInvalidManagement);
  const User* user = view_.user(r.first);
  if (user == nullptr) return refuse(kUserNotFound);
  UserRecord changed = user->record;
  changed.roles = without(changed.roles, r.second);
  if (changed.roles.size() == user->record.roles.size()) return refuse(kRoleNotGranted);
  put_user(std::move(changed));
  return next_revision();
}

RpcStatus Change::role_add(const PlainRequest& r) {
  if (r.first.empty()) return refuse(kRoleEmpty);
  if (view_.role(r.first) != nullptr) return refuse(kRoleExists);
  RoleRecord role;
  role.name = r.first;
  put_role(std::move(role));
  return next_revision();
}

RpcStatus Change::role_delete(const PlainRequest& r) {
  if (view_.enabled && r.first == kRoot) return refuse(kInvalidManagement);
  if (view_.role(r.first) == nullptr) return refuse(kRoleNotFound);
  txn_.remove(row_key(MORTISE_AUTH_ROW_ROLE, r.first));
  next().remove_role(r.first);
  for (const auto& user : view_.users()) {
    std::vector<std::string> kept = without(user->record.roles, r.first);
    if (kept.size() == user->record.roles.size()) continue;
    UserRecord changed = user->record;
    changed.roles = std::move(kept);
    put_user(std::move(changed));
  }
  return next_revision();
}

RpcStatus Change::role_get(const PlainRequest& r) {
  const RoleRecord* role = view_.role(r.first);
  if (role == nullptr) return refuse(kRoleNotFound);
  if (r.first == kRoot) {
    Permission all;
    all.type = static_cast<uint64_t>(PermissionType::kReadWrite);
    all.range_end.assign(1, '\0');
    put_message(out_.response, 2, all.encode());
    return granted();
  }
  for (const Permission& p : role->permissions) put_message(out_.response, 2, p.encode());
  return granted();
}

RpcStatus Change::grant_permission(std::string_view request) {
  GrantPermissionRequest r;
  if (!r.parse(request)) return refuse(kMalformed);
  if (!r.permission) return refuse(kPermissionNotGiven);
  if (!valid_range(*r.permission)) return refuse(kInvalidManagement);
  const RoleRecord* role = view_.role(r.role);
  if (role == nullptr) return refuse(kRoleNotFound);
  RoleRecord changed = *role;
  auto& all = changed.permissions;
  // Only the first of this key is looked at, so that others with it are added again.
  const auto first =
      std::lower_bound(all.begin(), all.end(), r.permission->key,
                       [](const Permission& p, const std::string& key) { return p.key < key; });
  if (first != all.end() && first->key == r.permission->key &&
      first->range_end == r.permission->range_end) {
    first->type = r.permission->type;
  } else {
    all.push_back(std::move(*r.permission));
    sort_permissions(all);
  }
  put_role(std::move(changed));
  return next_revision();
}

RpcStatus Change::revoke_permission(const PlainRequest& r) {
  const RoleRecord* role = view_.role(r.first);
  if (role == nullptr) return refuse(kRoleNotFound);
  RoleRecord changed = *role;
  const size_t gone = std::erase_if(changed.permissions, [&](const Permission& p) {
    return p.key == r.second && p.range_end == r.third;
  });
  if (gone == 0) return refuse(kPermissionNotGranted);
  put_role(std::move(changed));
  return next_revision();
}

RpcStatus Change::apply(uint32_t field, std::string_view request) {
  switch (field) {
    case kAuthEnable: return enable();
    case kAuthDisable: return disable();
    case kAuthStatus: return status();
    case kAuthenticate: return log_in(request);
    case kUserAdd: return user_add(request);
    case kUserChangePassword: return change_password(request);
    case kRoleGrantPermission: return grant_permission(request);
    case kUserList: return list(view_.users());
    case kRoleList: return list(view_.roles());
    default: break;
  }
  PlainRequest r;
  if (!r.parse(request)) return refuse(kMalformed);
  switch (field) {
    case kUserDelete: return user_delete(r);
    case kUserGet: return user_get(r);
    case kUserGrantRole: return grant_role(r);
    case kUserRevokeRole: return revoke_role(r);
    case kRoleAdd: return role_add(r);
    case kRoleDelete: return role_delete(r);
    case kRoleGet: return role_get(r);
    case kRoleRevokePermission: return revoke_permission(r);
    default: return RpcStatus{kInternal, "auth: a request of an unknown kind"};
  }
}

}  // namespace

sdk::Status load_view(sdk::AuthTxn txn, View& out) {
  std::vector<UserRecord> users;
  std::vector<RoleRecord> roles;
  std::string from(1, '\0');
  for (;;) {
    std::string_view key, value;
    const sdk::Status status = txn.next(from, key, value);
    if (status.code == MORTISE_E_NOT_FOUND) break;
    MORTISE_SDK_RETURN_IF_ERROR(status);
    from.assign(key).push_back('\0');
    const std::string_view name = key.substr(1);
    if (key.front() == MORTISE_AUTH_ROW_STATE) {
      MORTISE_SDK_RETURN_IF_ERROR(load_state_row(name, value, out));
    } else if (key.front() == MORTISE_AUTH_ROW_USER) {
      if (!users.emplace_back().parse(value) || users.back().name != name) return damaged("user");
    } else if (key.front() == MORTISE_AUTH_ROW_ROLE) {
      if (!roles.emplace_back().parse(value) || roles.back().name != name) return damaged("role");
    } else {
      return damaged("row");
    }
  }
  out.rebuild(std::move(users), std::move(roles));
  return {};
}

sdk::RpcStatus apply_request(uint32_t request_field, std::string_view request, uint64_t entry_index,
                             sdk::AuthTxn txn, const View& view, Outcome& out) {
  return Change(txn, view, entry_index, out).apply(request_field, request);
}

}  // namespace mortise::auth_rbac
