// GET /members/hashkv of the peer port, both sides of it, with etcd's JSON.
//
// Functions without state. answer_hash_kv() reads all of the history: it is for a thread that may
// take its time.
#pragma once

#include "host/base/rpc_error.h"
#include "host/base/status.h"
#include "host/integrity/asking.h"

namespace mortise::integrity {

// What this member answers for a revision; 0 is the newest. `rpc` tells what was wrong with it.
struct LocalHash {
  RpcStatus rpc;
  KvHash hash;
};
using HashAt = std::function<Result<LocalHash>(int64_t revision)>;

peer::HttpResponse answer_hash_kv(const peer::HttpRequest& request, uint64_t cluster_id,
                                  const HashAt& hash_at);

struct PeerHash {
  enum class Failure { kNone, kFutureRevision, kCompacted, kClusterMismatch, kOther };
  Peer peer;
  Failure failure = Failure::kNone;
  std::string error;
  KvHash hash;  // If there was no failure.
};

std::string hash_kv_request(int64_t revision);
PeerHash read_hash_kv(const Peer& peer, const Result<peer::HttpResponse>& answer);

}  // namespace mortise::integrity
