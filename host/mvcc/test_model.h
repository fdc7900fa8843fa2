// What etcd's key-value store does, written to be obviously right: a list of all changes and a map
// of what is there now. Tests compare the store with it.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "host/base/rpc_error.h"
#include "host/mvcc/test_store.h"
#include "proto/kv.pb.h"
#include "proto/rpc.pb.h"

namespace mortise::testing {

namespace pb = ::etcdserverpb;
using mvccpb::KeyValue;

class Model {
 public:
  struct Version {
    int64_t main = 0;
    int64_t sub = 0;
    bool tombstone = false;
    KeyValue kv;  // A tombstone has the key only.
    std::optional<KeyValue> before;
  };
  using State = std::map<std::string, KeyValue>;

  // Responses carry header.revision and no other part of a header.
  RpcStatus range(const pb::RangeRequest& request, pb::RangeResponse* response) const;
  RpcStatus put(const pb::PutRequest& request, pb::PutResponse* response);
  RpcStatus delete_range(const pb::DeleteRangeRequest& request, pb::DeleteRangeResponse* response);
  RpcStatus txn(const pb::TxnRequest& request, pb::TxnResponse* response);
  RpcStatus compact(int64_t revision);
  void grant(int64_t lease) { leases_.insert(lease); }
  void revoke(int64_t lease);

  int64_t revision() const { return revision_; }
  int64_t compacted() const { return compacted_; }
  const std::set<int64_t>& leases() const { return leases_; }
  const State& current() const { return current_; }
  const std::vector<Version>& log() const { return log_; }
  State at(int64_t revision) const;

  // HashKV at a revision that is kept.
  uint32_t hash_kv(int64_t revision) const;
  // The hash that a compaction at `revision` would leave if it came now.
  uint32_t compaction_hash(int64_t revision) const;
  // Rows of a store whose compactions are finished.
  Rows revision_rows() const;
  Rows history_rows() const;
  Rows lease_key_rows() const;
  Rows current_rows() const;

 private:
  int64_t visible() const { return revision_ + (sub_ > 0 ? 1 : 0); }
  void finish();
  void change_put(const pb::PutRequest& request, pb::PutResponse* response);
  void change_delete(const pb::DeleteRangeRequest& request, pb::DeleteRangeResponse* response);
  RpcStatus check_put(const pb::PutRequest& request) const;
  bool holds(const pb::Compare& compare) const;
  using Path = std::map<const pb::TxnRequest*, bool>;
  void choose(const pb::TxnRequest& request, Path* path) const;
  RpcStatus check(const pb::TxnRequest& request, const Path& path) const;
  void run(const pb::TxnRequest& request, const Path& path, pb::TxnResponse* response);
  // Versions that a finished compaction leaves.
  std::vector<const Version*> kept() const;
  // `keep_tombstones`: those at `revision` itself count as kept.
  uint32_t hash_up_to(int64_t revision, bool keep_tombstones) const;

  std::vector<Version> log_;
  std::map<std::string, std::vector<size_t>> by_key_;  // Places in log_.
  State current_;
  std::set<int64_t> leases_;
  int64_t revision_ = 1;
  int64_t sub_ = 0;
  int64_t compacted_ = -1;
};

}  // namespace mortise::testing
