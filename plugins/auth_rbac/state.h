// The replicated state of auth: what each auth request out of the log does, in rows and to the
// View.
//
// apply() is a function of the rows, the entry and nothing else, so that every member writes the
// same bytes. Where etcd's rules look odd they are kept, since members of both kinds may share a
// cluster and their rows are compared: a permission is replaced only if the first one with its key
// has its range, enabling keeps the revision, a role that is held already changes nothing.
//
// Used by the apply loop only. A refused request changes nothing.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "mortise/sdk/auth.h"
#include "plugins/auth_rbac/view.h"

namespace mortise::auth_rbac {

// Numbers of the fields of InternalRaftRequest.
enum RequestField : uint32_t {
  kAuthEnable = 1000,
  kAuthDisable = 1011,
  kAuthenticate = 1012,
  kAuthStatus = 1013,
  kUserAdd = 1100,
  kUserDelete = 1101,
  kUserGet = 1102,
  kUserChangePassword = 1103,
  kUserGrantRole = 1104,
  kUserRevokeRole = 1105,
  kUserList = 1106,
  kRoleList = 1107,
  kRoleAdd = 1200,
  kRoleDelete = 1201,
  kRoleGet = 1202,
  kRoleGrantPermission = 1203,
  kRoleRevokePermission = 1204
};

// What an entry did, beside its rows. `token` is the simple token that it brought.
struct Outcome {
  std::shared_ptr<View> next;  // Null: users, roles and all else are as before.
  std::string response;
  std::string ended_user;  // Whose tokens end.
  bool auth_disabled = false;
  std::string token_user;
  std::string token;
};

// Reads all rows. Bytes that are no user or role are corruption.
sdk::Status load_view(sdk::AuthTxn txn, View& out);

// `view` is the state before the entry.
sdk::RpcStatus apply_request(uint32_t request_field, std::string_view request, uint64_t entry_index,
                             sdk::AuthTxn txn, const View& view, Outcome& out);

}  // namespace mortise::auth_rbac
