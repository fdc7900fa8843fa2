#include "tests/differential/generator.h"

#include <algorithm>
#include <limits>

namespace mortise::differential {
namespace {

using namespace etcdserverpb;  // NOLINT(google-build-using-namespace): requests of every kind are
                               // made here.

constexpr int64_t kLeases = 8;
constexpr int64_t kLeaseTtl = 100000;  // Outlives the run.
constexpr int64_t kShortLeases = 2000;
// More than the operations whose revisions are not known yet.
constexpr int64_t kFarRevisions = 100;
constexpr size_t kWatchersMax = 10;
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

std::vector<std::string> alphabet() {
  using std::string_literals::operator""s;
  // Prefixes of each other, bytes at both ends of their range, and two that no LMDB page takes as
  // they are.
  std::vector<std::string> keys = {"\0"s, "\0\0"s, "a",     "a\0"s, "a\0\0b"s, "a\x01", "ab",
                                   "abc", "b",     "b\xff", "ba",   "c",       "k/1",   "k/2",
                                   "k/3", "k0",    "z",     "\xff", "\xff\xff"};
  keys.push_back(std::string(600, 'l'));
  keys.push_back(std::string(600, 'l') + "m");
  return keys;
}

std::string prefix_end(std::string key) {
  while (!key.empty() && key.back() == '\xff') key.pop_back();
  if (key.empty()) return std::string(1, '\0');
  key.back() = static_cast<char>(static_cast<unsigned char>(key.back()) + 1);
  return key;
}

}  // namespace

Generator::Generator(uint64_t seed, const Oracle& oracle, const Weights& weights)
    : random_(seed), oracle_(oracle), weights_(weights), keys_(alphabet()) {}

std::string Generator::key() {
  if (chance(1)) return "";
  return keys_[below(keys_.size())];
}

std::string Generator::range_end(const std::string& key) {
  switch (below(10)) {
    case 0:
    case 1:
    case 2: return "";
    case 3:
    case 4: return prefix_end(key);
    case 5: return std::string(1, '\0');
    case 6: return key;
    case 7: return key + std::string(1, '\0');
    default: return keys_[below(keys_.size())];
  }
}

std::string Generator::value() {
  switch (below(12)) {
    case 0: return "";
    case 1: return std::string(1, '\0');
    case 2: return std::string(below(6000), static_cast<char>('A' + below(26)));
    default: return "v" + std::to_string(below(12));
  }
}

// One that exists, most often.
int64_t Generator::known_revision() {
  int64_t low = std::max<int64_t>(compacted_, 1);
  return low + static_cast<int64_t>(
                   below(static_cast<uint64_t>(std::max<int64_t>(revision_ - low, 0) + 1)));
}

int64_t Generator::revision() {
  switch (below(20)) {
    case 0: return compacted_ - 1;
    case 1: return compacted_;
    case 2: return compacted_ + 1;
    case 3: return revision_ + 1;
    case 4: return revision_;
    case 5: return -static_cast<int64_t>(below(3));
    case 6: return chance(50) ? kMax : std::numeric_limits<int64_t>::min();
    case 7:
    case 8:
    case 9: return known_revision();
    case 10:
    case 11: return std::max<int64_t>(revision_ - static_cast<int64_t>(below(30)), 0);
    default: return 0;
  }
}

int64_t Generator::lease() { return chance(70) ? 0 : 1000 + static_cast<int64_t>(below(kLeases)); }

void Generator::draw_sort(RangeRequest* request) {
  request->set_sort_order(static_cast<RangeRequest::SortOrder>(below(3)));
  request->set_sort_target(static_cast<RangeRequest::SortTarget>(below(5)));
  if (oracle_.checks_sort_options && chance(2)) {
    request->set_sort_order(static_cast<RangeRequest::SortOrder>(7));
  }
  if (oracle_.checks_sort_options && chance(2)) {
    request->set_sort_target(static_cast<RangeRequest::SortTarget>(-1));
  }
}

RangeRequest Generator::range() {
  RangeRequest request;
  request.set_key(key());
  request.set_range_end(range_end(request.key()));
  request.set_revision(revision());
  if (chance(30)) request.set_limit(static_cast<int64_t>(below(8)));
  if (chance(2)) request.set_limit(chance(50) ? -1 : kMax);
  if (chance(35)) draw_sort(&request);
  request.set_serializable(chance(30));
  request.set_keys_only(chance(15));
  request.set_count_only(chance(10));
  if (chance(8)) request.set_min_mod_revision(known_revision());
  if (chance(8)) request.set_max_mod_revision(known_revision());
  if (chance(8)) request.set_min_create_revision(known_revision());
  if (chance(8)) request.set_max_create_revision(known_revision());
  return request;
}

// By a target other than the key etcd sorts each chunk by itself and goes on behind its last key:
// keys come twice then, and count counts them so.
RangeRequest Generator::range_to_stream() {
  RangeRequest request = range();
  if (request.sort_order() == RangeRequest::NONE) request.clear_sort_target();
  return request;
}

PutRequest Generator::put() {
  PutRequest request;
  request.set_key(key());
  request.set_value(value());
  request.set_lease(lease());
  request.set_prev_kv(chance(30));
  if (chance(8)) {
    request.set_ignore_value(true);
    if (chance(80)) request.clear_value();
  }
  if (chance(8)) {
    request.set_ignore_lease(true);
    if (chance(80)) request.clear_lease();
  }
  return request;
}

DeleteRangeRequest Generator::delete_range() {
  DeleteRangeRequest request;
  request.set_key(key());
  // Mostly single keys: otherwise the store would be empty most of the time.
  if (chance(45)) request.set_range_end(range_end(request.key()));
  request.set_prev_kv(chance(40));
  return request;
}

Compare Generator::compare() {
  Compare compare;
  compare.set_key(key());
  if (chance(25)) compare.set_range_end(range_end(compare.key()));
  compare.set_result(static_cast<Compare::CompareResult>(below(chance(2) ? 6 : 4)));
  compare.set_target(static_cast<Compare::CompareTarget>(below(5)));
  // The union's member mostly fits the target, and is left out at times.
  int member = chance(95) ? static_cast<int>(compare.target()) : static_cast<int>(below(6));
  switch (member) {
    case 0: compare.set_version(static_cast<int64_t>(below(4))); break;
    case 1: compare.set_create_revision(chance(40) ? 0 : known_revision()); break;
    case 2: compare.set_mod_revision(chance(30) ? 0 : known_revision()); break;
    case 3: compare.set_value(value()); break;
    case 4: compare.set_lease(lease()); break;
    default: break;
  }
  return compare;
}

RequestOp Generator::request_op(int depth) {
  RequestOp op;
  switch (below(10)) {
    case 0:
    case 1:
    case 2: *op.mutable_request_range() = range(); break;
    case 3:
    case 4:
    case 5:
    case 6: *op.mutable_request_put() = put(); break;
    case 7: *op.mutable_request_delete_range() = delete_range(); break;
    case 8:
      if (depth < 3) *op.mutable_request_txn() = txn(depth + 1);
      break;
    default: *op.mutable_request_put() = put(); break;
  }
  // Left empty, or a part that fails the whole, rarely; else most transactions would be refused.
  if (op.request_case() == RequestOp::REQUEST_NOT_SET && !chance(5))
    *op.mutable_request_put() = put();
  if (op.has_request_put()) {
    PutRequest* put = op.mutable_request_put();
    if (put->key().empty() && !chance(10)) put->set_key("a");
    if (!chance(15)) {
      put->clear_lease();
      put->clear_ignore_value();
      put->clear_ignore_lease();
    }
    // In a transaction etcd 3.4 looks for the key first and later versions for the lease.
    if (put->ignore_value() || put->ignore_lease()) put->clear_lease();
  }
  if (op.has_request_range() && !chance(20)) op.mutable_request_range()->clear_revision();
  return op;
}

TxnRequest Generator::txn(int depth) {
  TxnRequest request;
  uint64_t compares = below(3);
  for (uint64_t i = 0; i < compares; ++i) *request.add_compare() = compare();
  bool reads_only = depth == 0 && chance(15);
  bool huge = depth == 0 && chance(1);
  for (auto* branch : {request.mutable_success(), request.mutable_failure()}) {
    uint64_t count = huge ? 120 + below(16) : below(4);
    for (uint64_t i = 0; i < count; ++i) {
      if (reads_only || (huge && i > 6)) {
        *branch->Add()->mutable_request_range() = range();
      } else {
        *branch->Add() = request_op(depth);
      }
    }
  }
  return request;
}

int64_t Generator::compaction_revision() {
  switch (below(8)) {
    case 0: return compacted_;
    case 1: return revision_ + 1 + static_cast<int64_t>(below(3));
    case 2: return revision();
    case 3: return revision_;
    default: return std::max(compacted_ + 1, revision_ - static_cast<int64_t>(below(40)));
  }
}

Op Generator::compaction() {
  CompactionRequest request;
  int64_t at = compaction_revision();
  // Of a revision that operations on their way make, nothing is known.
  if (at > revision_ && at < revision_ + kFarRevisions) at += kFarRevisions;
  while (oracle_.loses_puts_after_deletes && put_after_delete_.contains(at)) --at;
  request.set_revision(at);
  // A hash at a compacted revision depends on whether the compaction has ended, so each is waited
  // for.
  request.set_physical(true);
  // The oracle may refuse it: this is a guess that makes for interesting revisions, no more.
  if (request.revision() > compacted_ && request.revision() <= revision_)
    compacted_ = request.revision();
  compactions_.push_back(request.revision());
  Op op = make_op(OpKind::kCompact, request);
  if (watches_.empty()) return op;
  // A watcher that is behind gets either its events or a cancellation, as it happens; so none may
  // be behind.
  pending_.push_back(op);
  return make_barrier();
}

Op Generator::hash_kv() {
  HashKVRequest request;
  // Compactions leave hashes that are asked for by their revision, some of them gone since.
  if (chance(40) && !compactions_.empty()) {
    size_t back = std::min<size_t>(below(14), compactions_.size() - 1);
    request.set_revision(compactions_[compactions_.size() - 1 - back]);
  } else if (chance(60)) {
    request.set_revision(revision());
  }
  return make_op(OpKind::kHashKv, request);
}

Op Generator::lease_op() {
  int64_t id = 1000 + static_cast<int64_t>(below(kLeases));
  switch (below(10)) {
    case 0:
    case 1:
    case 2: {
      LeaseGrantRequest request;
      request.set_id(id);
      request.set_ttl(chance(4) ? 9000000001 : kLeaseTtl + id);
      return make_op(OpKind::kLeaseGrant, request);
    }
    case 3:
    case 4: {
      LeaseRevokeRequest request;
      request.set_id(chance(95) ? id : 0);
      return make_op(OpKind::kLeaseRevoke, request);
    }
    case 5: return make_op(OpKind::kLeaseLeases, LeaseLeasesRequest());
    case 6:
    case 7: {
      LeaseKeepAliveRequest request;
      request.set_id(id);
      return make_op(OpKind::kLeaseKeepAlive, request);
    }
    default: {
      LeaseTimeToLiveRequest request;
      request.set_id(chance(95) ? id : -5);
      request.set_keys(chance(70));
      return make_op(OpKind::kLeaseTimeToLive, request);
    }
  }
}

// Its puts have a lease that lives for a second.
Op Generator::expiry() {
  TxnRequest request;
  const int64_t lease = kShortLeases + static_cast<int64_t>(below(4));
  const size_t first = below(keys_.size());
  const size_t count = 1 + below(5);
  for (size_t i = 0; i < count; ++i) {
    PutRequest* put = request.add_success()->mutable_request_put();
    put->set_key(keys_[(first + i) % keys_.size()]);
    put->set_value(value());
    put->set_lease(lease);
  }
  return make_op(OpKind::kExpiry, request);
}

// Behind a barrier, since no watch stream outlives it.
Op Generator::restart(OpKind kind) {
  watches_.clear();
  pending_.push_back(make_mark(kind));
  return make_barrier();
}

WatchCreateRequest Generator::watch_create(int64_t id) {
  WatchCreateRequest request;
  request.set_watch_id(id);
  request.set_key(key());
  request.set_range_end(range_end(request.key()));
  int64_t start = chance(30)   ? 0
                  : chance(10) ? revision_ + static_cast<int64_t>(below(20))
                               : known_revision();
  if (chance(5)) start = compacted_ - 1;
  if (start == compacted_ && !oracle_.keeps_tombstone_at_compaction) ++start;
  request.set_start_revision(std::max<int64_t>(start, 0));
  if (chance(20)) request.add_filters(WatchCreateRequest::NOPUT);
  if (chance(20)) request.add_filters(WatchCreateRequest::NODELETE);
  request.set_prev_kv(chance(50));
  request.set_fragment(chance(20));
  return request;
}

void Generator::open_watchers() {
  uint64_t count = 2 + below(4);
  for (uint64_t i = 0; i < count && watches_.size() < kWatchersMax; ++i) {
    bool again = !watches_.empty() && chance(8);
    int64_t id = again ? watches_[below(watches_.size())] : next_watch_++;
    pending_.push_back(make_op(OpKind::kWatchCreate, watch_create(id)));
    if (!again) watches_.push_back(id);
  }
  until_watch_phase_ = 60 + static_cast<int>(below(120));
}

void Generator::close_watchers() {
  pending_.push_back(make_barrier());
  std::shuffle(watches_.begin(), watches_.end(), random_);
  while (!watches_.empty() && (watches_.size() > 6 || chance(60))) {
    WatchCancelRequest request;
    request.set_watch_id(watches_.back());
    watches_.pop_back();
    pending_.push_back(make_op(OpKind::kWatchCancel, request));
  }
}

Op Generator::unary() {
  switch (weights_.choose(below(weights_.sum()))) {
    case Choice::kPut: return make_op(OpKind::kPut, put());
    case Choice::kRange: return make_op(OpKind::kRange, range());
    case Choice::kRangeStream:
      return make_op(oracle_.streams_ranges ? OpKind::kRangeStream : OpKind::kRange,
                     range_to_stream());
    case Choice::kDeleteRange: return make_op(OpKind::kDeleteRange, delete_range());
    case Choice::kTxn: return make_op(OpKind::kTxn, txn(0));
    case Choice::kCompact: return compaction();
    case Choice::kHashKv: return hash_kv();
    case Choice::kLease: return lease_op();
    case Choice::kExpiry: return expiry();
    case Choice::kRestart: return restart(OpKind::kRestart);
    case Choice::kKill: return restart(OpKind::kKill);
  }
  return make_barrier();
}

Op Generator::next() {
  if (pending_.empty() && --until_watch_phase_ <= 0) {
    if (!watches_.empty()) close_watchers();
    open_watchers();
  }
  if (pending_.empty()) return unary();
  Op op = pending_.front();
  pending_.pop_front();
  return op;
}

}  // namespace mortise::differential
