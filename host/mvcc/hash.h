// HashKV: etcd's hash over the history up to a revision; the same number for the same history,
// whatever the backend.
#pragma once

#include "host/base/rpc_error.h"
#include "host/mvcc/view.h"

namespace mortise::mvcc {

constexpr std::string_view kHistoryBucket = "key";  // etcd's name of the history, hashed first.

struct HashKvResult {
  RpcStatus rpc;  // kCompacted or kFutureRevision.
  uint32_t hash = 0;
  int64_t compact_revision = kNeverCompacted;
  int64_t hash_revision = 0;
};

// `revision` 0 is the newest. Reads all of the history; any thread.
Status hash_kv(const View& view, int64_t revision, HashKvResult* result);

}  // namespace mortise::mvcc
