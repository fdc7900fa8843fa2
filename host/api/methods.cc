#include "host/api/methods.h"

namespace mortise::api {
namespace {

// A method whose handler is missing belongs to the API but is not served in this version.
std::vector<MethodEntry> etcd_methods() {
  constexpr auto U = MORTISE_UNARY;
  constexpr auto S = MORTISE_SERVER_STREAM;
  constexpr auto B = MORTISE_BIDI_STREAM;
  return {
      {U, "/etcdserverpb.KV/Range", {"/v3/kv/range", nullptr}, kv_range},
      {S, "/etcdserverpb.KV/RangeStream", {nullptr}, nullptr, kv_range_stream},
      {U, "/etcdserverpb.KV/Put", {"/v3/kv/put", nullptr}, kv_put},
      {U, "/etcdserverpb.KV/DeleteRange", {"/v3/kv/deleterange", nullptr}, kv_delete_range},
      {U, "/etcdserverpb.KV/Txn", {"/v3/kv/txn", nullptr}, kv_txn},
      {U, "/etcdserverpb.KV/Compact", {"/v3/kv/compaction", nullptr}, kv_compact},
      {B, "/etcdserverpb.Watch/Watch", {"/v3/watch", nullptr}, nullptr, watch_watch},
      {U, "/etcdserverpb.Lease/LeaseGrant", {"/v3/lease/grant", nullptr}, lease_grant},
      {U,
       "/etcdserverpb.Lease/LeaseRevoke",
       {"/v3/lease/revoke", "/v3/kv/lease/revoke", nullptr},
       lease_revoke},
      {B,
       "/etcdserverpb.Lease/LeaseKeepAlive",
       {"/v3/lease/keepalive", nullptr},
       nullptr,
       lease_keep_alive},
      {U,
       "/etcdserverpb.Lease/LeaseTimeToLive",
       {"/v3/lease/timetolive", "/v3/kv/lease/timetolive", nullptr},
       lease_time_to_live},
      {U,
       "/etcdserverpb.Lease/LeaseLeases",
       {"/v3/lease/leases", "/v3/kv/lease/leases", nullptr},
       lease_leases},
      {U,
       "/etcdserverpb.Cluster/MemberAdd",
       {"/v3/cluster/member/add", nullptr},
       cluster_member_add},
      {U,
       "/etcdserverpb.Cluster/MemberRemove",
       {"/v3/cluster/member/remove", nullptr},
       cluster_member_remove},
      {U,
       "/etcdserverpb.Cluster/MemberUpdate",
       {"/v3/cluster/member/update", nullptr},
       cluster_member_update},
      {U,
       "/etcdserverpb.Cluster/MemberList",
       {"/v3/cluster/member/list", nullptr},
       cluster_member_list},
      {U,
       "/etcdserverpb.Cluster/MemberPromote",
       {"/v3/cluster/member/promote", nullptr},
       cluster_member_promote},
      {U, "/etcdserverpb.Maintenance/Alarm", {"/v3/maintenance/alarm", nullptr}, maintenance_alarm},
      {U,
       "/etcdserverpb.Maintenance/Status",
       {"/v3/maintenance/status", nullptr},
       maintenance_status},
      {U,
       "/etcdserverpb.Maintenance/Defragment",
       {"/v3/maintenance/defragment", nullptr},
       maintenance_defragment},
      {U, "/etcdserverpb.Maintenance/Hash", {"/v3/maintenance/hash", nullptr}, maintenance_hash},
      {U,
       "/etcdserverpb.Maintenance/HashKV",
       {"/v3/maintenance/hashkv", nullptr},
       maintenance_hash_kv},
      {S,
       "/etcdserverpb.Maintenance/Snapshot",
       {"/v3/maintenance/snapshot", nullptr},
       nullptr,
       maintenance_snapshot},
      {U,
       "/etcdserverpb.Maintenance/MoveLeader",
       {"/v3/maintenance/transfer-leadership", nullptr},
       maintenance_move_leader},
      {U,
       "/etcdserverpb.Maintenance/Downgrade",
       {"/v3/maintenance/downgrade", nullptr},
       maintenance_downgrade},
      {U, "/etcdserverpb.Auth/AuthEnable", {"/v3/auth/enable", nullptr}},
      {U, "/etcdserverpb.Auth/AuthDisable", {"/v3/auth/disable", nullptr}},
      {U, "/etcdserverpb.Auth/AuthStatus", {"/v3/auth/status", nullptr}, auth_status},
      {U, "/etcdserverpb.Auth/Authenticate", {"/v3/auth/authenticate", nullptr}},
      {U, "/etcdserverpb.Auth/UserAdd", {"/v3/auth/user/add", nullptr}},
      {U, "/etcdserverpb.Auth/UserGet", {"/v3/auth/user/get", nullptr}},
      {U, "/etcdserverpb.Auth/UserList", {"/v3/auth/user/list", nullptr}},
      {U, "/etcdserverpb.Auth/UserDelete", {"/v3/auth/user/delete", nullptr}},
      {U, "/etcdserverpb.Auth/UserChangePassword", {"/v3/auth/user/changepw", nullptr}},
      {U, "/etcdserverpb.Auth/UserGrantRole", {"/v3/auth/user/grant", nullptr}},
      {U, "/etcdserverpb.Auth/UserRevokeRole", {"/v3/auth/user/revoke", nullptr}},
      {U, "/etcdserverpb.Auth/RoleAdd", {"/v3/auth/role/add", nullptr}},
      {U, "/etcdserverpb.Auth/RoleGet", {"/v3/auth/role/get", nullptr}},
      {U, "/etcdserverpb.Auth/RoleList", {"/v3/auth/role/list", nullptr}},
      {U, "/etcdserverpb.Auth/RoleDelete", {"/v3/auth/role/delete", nullptr}},
      {U, "/etcdserverpb.Auth/RoleGrantPermission", {"/v3/auth/role/grant", nullptr}},
      {U, "/etcdserverpb.Auth/RoleRevokePermission", {"/v3/auth/role/revoke", nullptr}},
  };
}

// Locks and elections, and the services that every gRPC server has.
std::vector<MethodEntry> more_methods() {
  constexpr auto U = MORTISE_UNARY;
  constexpr auto S = MORTISE_SERVER_STREAM;
  constexpr auto B = MORTISE_BIDI_STREAM;
  return {
      {U, "/v3lockpb.Lock/Lock", {"/v3/lock/lock", nullptr}, nullptr, nullptr, lock_lock},
      {U, "/v3lockpb.Lock/Unlock", {"/v3/lock/unlock", nullptr}, lock_unlock},
      {U,
       "/v3electionpb.Election/Campaign",
       {"/v3/election/campaign", nullptr},
       nullptr,
       nullptr,
       election_campaign},
      {U, "/v3electionpb.Election/Proclaim", {"/v3/election/proclaim", nullptr}, election_proclaim},
      {U, "/v3electionpb.Election/Leader", {"/v3/election/leader", nullptr}, election_leader},
      {S,
       "/v3electionpb.Election/Observe",
       {"/v3/election/observe", nullptr},
       nullptr,
       election_observe},
      {U, "/v3electionpb.Election/Resign", {"/v3/election/resign", nullptr}, election_resign},
      {U, "/grpc.health.v1.Health/Check", {nullptr}, health_check},
      {U, "/grpc.health.v1.Health/List", {nullptr}, health_list},
      {S, "/grpc.health.v1.Health/Watch", {nullptr}, nullptr, health_watch},
      {B,
       "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
       {nullptr},
       nullptr,
       reflection_info},
      {B,
       "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
       {nullptr},
       nullptr,
       reflection_info},
  };
}

std::vector<MethodEntry> all_methods() {
  std::vector<MethodEntry> all = etcd_methods();
  for (MethodEntry& entry : more_methods()) all.push_back(std::move(entry));
  return all;
}

}  // namespace

const std::vector<MethodEntry>& methods() {
  static const std::vector<MethodEntry> table = all_methods();
  return table;
}

}  // namespace mortise::api
