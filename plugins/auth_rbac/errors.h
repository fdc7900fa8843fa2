// What clients see when they are refused: codes and texts of etcd's, and the ways to say them.
#pragma once

#include "mortise/sdk/auth.h"

namespace mortise::auth_rbac {

struct Refusal {
  mortise_rpc_code code;
  const char* message;
};

inline sdk::RpcStatus refuse(const Refusal& refusal) {
  return sdk::RpcStatus{refusal.code, refusal.message};
}
inline sdk::RpcStatus granted() { return sdk::RpcStatus{}; }

inline constexpr mortise_rpc_code kUnknown = 2;
inline constexpr mortise_rpc_code kInvalidArgument = 3;
inline constexpr mortise_rpc_code kPermissionDeniedCode = 7;
inline constexpr mortise_rpc_code kResourceExhausted = 8;
inline constexpr mortise_rpc_code kFailedPrecondition = 9;
inline constexpr mortise_rpc_code kInternal = 13;
inline constexpr mortise_rpc_code kUnavailable = 14;
inline constexpr mortise_rpc_code kUnauthenticated = 16;

inline constexpr Refusal kRootUserNotExist{kFailedPrecondition,
                                           "etcdserver: root user does not exist"};
inline constexpr Refusal kRootRoleNotExist{kFailedPrecondition,
                                           "etcdserver: root user does not have root role"};
inline constexpr Refusal kUserExists{kFailedPrecondition, "etcdserver: user name already exists"};
inline constexpr Refusal kUserEmpty{kInvalidArgument, "etcdserver: user name is empty"};
inline constexpr Refusal kUserNotFound{kFailedPrecondition, "etcdserver: user name not found"};
inline constexpr Refusal kRoleExists{kFailedPrecondition, "etcdserver: role name already exists"};
inline constexpr Refusal kRoleNotFound{kFailedPrecondition, "etcdserver: role name not found"};
inline constexpr Refusal kRoleEmpty{kInvalidArgument, "etcdserver: role name is empty"};
inline constexpr Refusal kAuthFailed{
    kInvalidArgument, "etcdserver: authentication failed, invalid user ID or password"};
inline constexpr Refusal kPermissionNotGiven{kInvalidArgument, "etcdserver: permission not given"};
inline constexpr Refusal kPermissionDenied{kPermissionDeniedCode, "etcdserver: permission denied"};
inline constexpr Refusal kRoleNotGranted{kFailedPrecondition,
                                         "etcdserver: role is not granted to the user"};
inline constexpr Refusal kPermissionNotGranted{kFailedPrecondition,
                                               "etcdserver: permission is not granted to the role"};
inline constexpr Refusal kNotEnabled{kFailedPrecondition,
                                     "etcdserver: authentication is not enabled"};
inline constexpr Refusal kInvalidToken{kUnauthenticated, "etcdserver: invalid auth token"};
inline constexpr Refusal kNameThroughGateway{
    kInvalidArgument,
    "CommonName of client sending a request against gateway will be ignored and not used as "
    "expected"};
inline constexpr Refusal kInvalidManagement{kInvalidArgument,
                                            "etcdserver: invalid auth management"};
inline constexpr Refusal kStaleRevision{MORTISE_AUTH_STALE,
                                        "etcdserver: revision of auth store is old"};
inline constexpr Refusal kWait{MORTISE_AUTH_WAIT, "etcdserver: invalid auth token"};
inline constexpr Refusal kStopping{kUnavailable, "etcdserver: server stopped"};
// Without a counterpart in etcd, which has no limit.
inline constexpr Refusal kTooManyLogins{kResourceExhausted, "etcdserver: too many requests"};
inline constexpr Refusal kNameTooLong{kInvalidArgument, "auth: the name is too long"};
inline constexpr Refusal kMalformed{kInvalidArgument, "auth: the request is malformed"};
// etcd has no code for these: its server reports them with their own text.
inline constexpr Refusal kNoPasswordUser{
    kUnknown, "auth: authentication failed, password was given for no password user"};
inline constexpr Refusal kVerifyOnly{kUnknown,
                                     "auth: token signing attempted with verify-only key"};
inline constexpr Refusal kPasswordTooLong{kUnknown, "bcrypt: password length exceeds 72 bytes"};
inline constexpr Refusal kPasswordHasNul{kInvalidArgument, "auth: the password has a NUL byte"};

}  // namespace mortise::auth_rbac
