// Makes the operations of a history from a seed. It learns the current revision from the oracle's
// answers, so that revisions in requests lie around those that exist; everything else is drawn from
// the seed.
#pragma once

#include <cstdint>
#include <deque>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "proto/rpc.pb.h"
#include "tests/differential/known_differences.h"
#include "tests/differential/op.h"
#include "tests/differential/weights.h"

namespace mortise::differential {

class Generator {
 public:
  Generator(uint64_t seed, const Oracle& oracle, const Weights& weights);
  Op next();
  // What the oracle's last answer said.
  void observe_revision(int64_t revision) { revision_ = std::max(revision_, revision); }
  // A txn that may have put a key after it had deleted it.
  void observe_put_after_delete(int64_t revision) { put_after_delete_.insert(revision); }

 private:
  bool chance(int percent) { return static_cast<int>(random_() % 100) < percent; }
  uint64_t below(uint64_t bound) { return random_() % bound; }
  std::string key();
  std::string range_end(const std::string& key);
  std::string value();
  int64_t revision();
  int64_t lease();
  int64_t known_revision();

  etcdserverpb::RangeRequest range();
  etcdserverpb::RangeRequest range_to_stream();
  void draw_sort(etcdserverpb::RangeRequest* request);
  etcdserverpb::PutRequest put();
  etcdserverpb::DeleteRangeRequest delete_range();
  etcdserverpb::Compare compare();
  etcdserverpb::RequestOp request_op(int depth);
  etcdserverpb::TxnRequest txn(int depth);
  int64_t compaction_revision();
  Op compaction();
  Op hash_kv();
  Op lease_op();
  Op expiry();
  Op restart(OpKind kind);
  Op unary();
  void open_watchers();
  void close_watchers();
  etcdserverpb::WatchCreateRequest watch_create(int64_t id);

  std::mt19937_64 random_;
  Oracle oracle_;
  Weights weights_;
  int64_t revision_ = 1;
  int64_t compacted_ = 0;
  std::vector<int64_t> compactions_;  // Revisions that were asked for.
  std::set<int64_t> put_after_delete_;
  int64_t next_watch_ = 1;
  std::vector<int64_t> watches_;
  std::vector<std::string> keys_;
  std::deque<Op> pending_;
  int until_watch_phase_ = 20;
};

}  // namespace mortise::differential
