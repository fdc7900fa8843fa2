// etcdserverpb.InternalRaftRequest, the payload of a log entry: one request and a header with its
// id. The request's bytes go in and come out as the client sent them.
#pragma once

#include "host/wire/codec.h"

namespace mortise::wire {

// Field numbers of InternalRaftRequest.
enum RaftRequestField : uint32_t {
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

bool decode(std::string_view bytes, RaftRequest* out);
std::string encode_raft_request(uint64_t id, uint32_t field, std::string_view request);

}  // namespace mortise::wire
