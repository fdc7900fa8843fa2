// Every RPC of the server, with its paths and its handler. What a transport sees is made from this
// table.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "host/api/call.h"
#include "host/rpc/stream.h"
#include "mortise/abi/rpc.h"

namespace mortise::api {

using UnaryHandler = void (*)(Call call);
// For calls that may wait long for others. The answer may come before it returns.
using CancellableHandler = Cancellable* (*)(Call call);
// Null with the reason in *refused if the stream cannot be had.
using StreamHandler = rpc::ServerStream* (*)(const Context& context,
                                             const rpc::ClientStream& client,
                                             std::shared_ptr<auth::Warrant> warrant,
                                             RpcStatus* refused);

// Who may call a method while authentication is on.
enum class Access : uint8_t {
  kAdmin,   // Who has the role root.
  kUser,    // Any user.
  kJudged,  // The handler judges by the request.
  kAnybody,
};

struct MethodEntry {
  mortise_method_kind kind;
  Access access;
  const char* grpc_path;
  std::vector<const char*> http_paths;  // NULL-ended.
  UnaryHandler unary = nullptr;         // With a null handler the method answers Unimplemented.
  StreamHandler stream = nullptr;
  CancellableHandler cancellable = nullptr;
};

const std::vector<MethodEntry>& methods();

// Handlers, by service.
void kv_range(Call call);
void kv_put(Call call);
void kv_delete_range(Call call);
void kv_txn(Call call);
void kv_compact(Call call);
void lease_grant(Call call);
void lease_revoke(Call call);
void lease_time_to_live(Call call);
void lease_leases(Call call);
void cluster_member_add(Call call);
void cluster_member_list(Call call);
void cluster_member_promote(Call call);
void cluster_member_remove(Call call);
void cluster_member_update(Call call);
void maintenance_alarm(Call call);
void maintenance_status(Call call);
void maintenance_defragment(Call call);
void maintenance_downgrade(Call call);
void maintenance_hash(Call call);
void maintenance_hash_kv(Call call);
void maintenance_move_leader(Call call);
void auth_enable(Call call);
void auth_disable(Call call);
void auth_status(Call call);
void auth_authenticate(Call call);
void auth_user_add(Call call);
void auth_user_get(Call call);
void auth_user_list(Call call);
void auth_user_delete(Call call);
void auth_user_change_password(Call call);
void auth_user_grant_role(Call call);
void auth_user_revoke_role(Call call);
void auth_role_add(Call call);
void auth_role_get(Call call);
void auth_role_list(Call call);
void auth_role_delete(Call call);
void auth_role_grant_permission(Call call);
void auth_role_revoke_permission(Call call);
rpc::ServerStream* kv_range_stream(const Context&, const rpc::ClientStream&,
                                   std::shared_ptr<auth::Warrant>, RpcStatus*);
Cancellable* lock_lock(Call call);
void lock_unlock(Call call);
Cancellable* election_campaign(Call call);
void election_proclaim(Call call);
void election_leader(Call call);
void election_resign(Call call);
void health_check(Call call);
void health_list(Call call);
rpc::ServerStream* watch_watch(const Context&, const rpc::ClientStream&,
                               std::shared_ptr<auth::Warrant>, RpcStatus*);
rpc::ServerStream* maintenance_snapshot(const Context&, const rpc::ClientStream&,
                                        std::shared_ptr<auth::Warrant>, RpcStatus*);
rpc::ServerStream* election_observe(const Context&, const rpc::ClientStream&,
                                    std::shared_ptr<auth::Warrant>, RpcStatus*);
rpc::ServerStream* health_watch(const Context&, const rpc::ClientStream&,
                                std::shared_ptr<auth::Warrant>, RpcStatus*);
rpc::ServerStream* reflection_info(const Context&, const rpc::ClientStream&,
                                   std::shared_ptr<auth::Warrant>, RpcStatus*);
rpc::ServerStream* lease_keep_alive(const Context&, const rpc::ClientStream&,
                                    std::shared_ptr<auth::Warrant>, RpcStatus*);

}  // namespace mortise::api
