// etcdserverpb.InternalRaftRequest, the payload of a log entry: one request and a header with its
// id. The request's bytes go in and come out as the client sent them.
#pragma once

#include "host/wire/codec.h"

namespace mortise::wire {

// Field numbers of InternalRaftRequest.
enum RaftRequestField : uint32_t {
  kRaftV2 = 2,  // etcdserverpb.Request, of etcd up to 3.5.
  kRaftRange = 3,
  kRaftPut = 4,
  kRaftDeleteRange = 5,
  kRaftTxn = 6,
  kRaftCompaction = 7,
  kRaftLeaseGrant = 8,
  kRaftLeaseRevoke = 9,
  kRaftAlarm = 10,
  kRaftLeaseCheckpoint = 11,
  kRaftHeader = 100,
  kRaftAuthFirst = 1000,
  kRaftAuthEnable = 1000,
  kRaftAuthDisable = 1011,
  kRaftAuthenticate = 1012,
  kRaftAuthStatus = 1013,
  kRaftUserAdd = 1100,
  kRaftUserDelete = 1101,
  kRaftUserGet = 1102,
  kRaftUserChangePassword = 1103,
  kRaftUserGrantRole = 1104,
  kRaftUserRevokeRole = 1105,
  kRaftUserList = 1106,
  kRaftRoleList = 1107,
  kRaftRoleAdd = 1200,
  kRaftRoleDelete = 1201,
  kRaftRoleGet = 1202,
  kRaftRoleGrantPermission = 1203,
  kRaftRoleRevokePermission = 1204,
  kRaftAuthLast = 1299,
  kRaftClusterVersionSet = 1300,
  kRaftClusterMemberAttrSet = 1301,
  kRaftDowngradeInfoSet = 1302,
};

struct RaftRequest {
  uint64_t id = 0;
  std::string_view username;
  uint64_t auth_revision = 0;
  uint32_t field = 0;        // 0: no request that this version knows.
  std::string_view request;  // Its bytes, in the entry.
};

// In whose name a request is logged; nobody while there is no authentication, or for the members'
// own requests.
struct Author {
  std::string_view user;
  uint64_t auth_revision = 0;  // At which the user was known.
};

// etcd up to 3.5 also logs an etcdserverpb.Request with nothing around it: then that is the
// request, with field kRaftV2.
bool decode(std::string_view bytes, RaftRequest* out);
std::string encode_raft_request(uint64_t id, uint32_t field, std::string_view request,
                                const Author& author = {});

}  // namespace mortise::wire
