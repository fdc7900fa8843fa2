#include "host/mvcc/test_model.h"

#include <algorithm>

#include "host/base/crc32c.h"

namespace mortise::testing {
namespace {

bool in_range(const std::string& key, const std::string& lower, const std::string& end) {
  if (end.empty()) return key == lower;
  if (end == std::string(1, '\0')) return key >= lower;
  return key >= lower && key < end;
}

std::string big_endian(uint64_t v) {
  std::string out;
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(v >> shift));
  return out;
}

std::string varint(int64_t number) {
  std::string out;
  auto v = static_cast<uint64_t>(number);
  for (; v >= 0x80; v >>= 7) out.push_back(static_cast<char>(v | 0x80));
  out.push_back(static_cast<char>(v));
  return out;
}

std::string revision_name(const Model::Version& v) {
  std::string name =
      big_endian(static_cast<uint64_t>(v.main)) + "_" + big_endian(static_cast<uint64_t>(v.sub));
  return v.tombstone ? name + "t" : name;
}

std::string history_name(const std::string& key, int64_t main) {
  std::string out;
  for (char c : key) {
    out.push_back(c);
    if (c == '\0') out.push_back('\xff');
  }
  out.append(2, '\0');
  return out + big_endian(static_cast<uint64_t>(main));
}

int sign(int64_t a, int64_t b) { return a < b ? -1 : a > b; }

bool less_by(pb::RangeRequest::SortTarget target, const KeyValue& a, const KeyValue& b) {
  switch (target) {
    case pb::RangeRequest::VERSION: return a.version() < b.version();
    case pb::RangeRequest::CREATE: return a.create_revision() < b.create_revision();
    case pb::RangeRequest::MOD: return a.mod_revision() < b.mod_revision();
    case pb::RangeRequest::VALUE: return a.value() < b.value();
    default: return a.key() < b.key();
  }
}

bool passes(const pb::RangeRequest& r, const KeyValue& kv) {
  if (r.max_mod_revision() != 0 && kv.mod_revision() > r.max_mod_revision()) return false;
  if (r.min_mod_revision() != 0 && kv.mod_revision() < r.min_mod_revision()) return false;
  if (r.max_create_revision() != 0 && kv.create_revision() > r.max_create_revision()) return false;
  return r.min_create_revision() == 0 || kv.create_revision() >= r.min_create_revision();
}

const google::protobuf::RepeatedPtrField<pb::RequestOp>& branch(const pb::TxnRequest& request,
                                                                bool success) {
  return success ? request.success() : request.failure();
}

}  // namespace

Model::State Model::at(int64_t revision) const {
  if (revision >= visible()) return current_;
  State state;
  for (const auto& [key, places] : by_key_) {
    const Version* newest = nullptr;
    for (size_t place : places) {
      if (log_[place].main <= revision) newest = &log_[place];
    }
    if (newest != nullptr && !newest->tombstone) state[key] = newest->kv;
  }
  return state;
}

RpcStatus Model::range(const pb::RangeRequest& r, pb::RangeResponse* response) const {
  if (r.revision() > visible()) return rpc_errors::kFutureRevision;
  int64_t revision = r.revision() <= 0 ? visible() : r.revision();
  if (revision < compacted_) return rpc_errors::kCompacted;
  response->mutable_header()->set_revision(visible());
  std::vector<KeyValue> found;
  for (const auto& [key, kv] : at(revision)) {
    if (in_range(key, r.key(), r.range_end())) found.push_back(kv);
  }
  response->set_count(static_cast<int64_t>(found.size()));
  if (r.count_only()) return RpcStatus();

  bool natural =
      r.sort_order() == pb::RangeRequest::NONE ||
      (r.sort_target() == pb::RangeRequest::KEY && r.sort_order() == pb::RangeRequest::ASCEND);
  bool filtered = r.min_mod_revision() != 0 || r.max_mod_revision() != 0 ||
                  r.min_create_revision() != 0 || r.max_create_revision() != 0;
  auto limit = static_cast<size_t>(std::max<int64_t>(r.limit(), 0));
  if (natural && !filtered && limit > 0 && found.size() > limit + 1) found.resize(limit + 1);
  std::erase_if(found, [&](const KeyValue& kv) { return !passes(r, kv); });
  bool descend = r.sort_order() == pb::RangeRequest::DESCEND;
  std::stable_sort(found.begin(), found.end(), [&](const KeyValue& a, const KeyValue& b) {
    return descend ? less_by(r.sort_target(), b, a) : less_by(r.sort_target(), a, b);
  });
  if (limit > 0 && found.size() > limit) {
    found.resize(limit);
    response->set_more(true);
  }
  for (KeyValue& kv : found) {
    if (r.keys_only()) {
      kv.clear_value();
      if (r.sort_target() != pb::RangeRequest::VALUE) kv.clear_lease();
    }
    *response->add_kvs() = kv;
  }
  return RpcStatus();
}

void Model::finish() {
  if (sub_ > 0) ++revision_;
  sub_ = 0;
}

RpcStatus Model::check_put(const pb::PutRequest& r) const {
  if (r.lease() != 0 && !leases_.contains(r.lease())) return rpc_errors::kLeaseNotFound;
  if ((r.ignore_value() || r.ignore_lease()) && !current_.contains(r.key())) {
    return rpc_errors::kKeyNotFound;
  }
  return RpcStatus();
}

void Model::change_put(const pb::PutRequest& r, pb::PutResponse* response) {
  Version v;
  v.main = revision_ + 1;
  v.sub = sub_++;
  KeyValue old;
  if (auto it = current_.find(r.key()); it != current_.end()) {
    old = it->second;
    v.before = old;
  }
  v.kv.set_key(r.key());
  v.kv.set_create_revision(v.before ? old.create_revision() : v.main);
  v.kv.set_mod_revision(v.main);
  v.kv.set_version(old.version() + 1);
  v.kv.set_value(r.ignore_value() ? old.value() : r.value());
  v.kv.set_lease(r.ignore_lease() ? old.lease() : r.lease());
  if (r.prev_kv() && v.before) *response->mutable_prev_kv() = old;
  response->mutable_header()->set_revision(v.main);
  current_[r.key()] = v.kv;
  by_key_[r.key()].push_back(log_.size());
  log_.push_back(v);
}

void Model::change_delete(const pb::DeleteRangeRequest& r, pb::DeleteRangeResponse* response) {
  State before = current_;
  for (const auto& [key, kv] : before) {
    if (!in_range(key, r.key(), r.range_end())) continue;
    Version v;
    v.main = revision_ + 1;
    v.sub = sub_++;
    v.tombstone = true;
    v.kv.set_key(key);
    v.before = kv;
    by_key_[key].push_back(log_.size());
    log_.push_back(v);
    current_.erase(key);
    response->set_deleted(response->deleted() + 1);
    if (r.prev_kv()) *response->add_prev_kvs() = kv;
  }
  response->mutable_header()->set_revision(visible());
}

RpcStatus Model::put(const pb::PutRequest& request, pb::PutResponse* response) {
  RpcStatus rpc = check_put(request);
  if (rpc.ok()) change_put(request, response);
  finish();
  return rpc;
}

RpcStatus Model::delete_range(const pb::DeleteRangeRequest& request,
                              pb::DeleteRangeResponse* response) {
  change_delete(request, response);
  finish();
  return RpcStatus();
}

void Model::revoke(int64_t lease) {
  for (const auto& [key, kv] : State(current_)) {
    if (kv.lease() != lease) continue;
    pb::DeleteRangeRequest one;
    one.set_key(key);
    pb::DeleteRangeResponse ignored;
    change_delete(one, &ignored);
  }
  finish();
  leases_.erase(lease);
}

bool Model::holds(const pb::Compare& c) const {
  std::vector<KeyValue> found;
  for (const auto& [key, kv] : current_) {
    if (in_range(key, c.key(), c.range_end())) found.push_back(kv);
  }
  if (found.empty()) {
    if (c.target() == pb::Compare::VALUE) return false;
    found.emplace_back();
  }
  // The getters of a oneof give zero and empty where another member is set.
  return std::all_of(found.begin(), found.end(), [&](const KeyValue& kv) {
    int order = 0;
    if (c.target() == pb::Compare::VERSION) order = sign(kv.version(), c.version());
    if (c.target() == pb::Compare::CREATE) order = sign(kv.create_revision(), c.create_revision());
    if (c.target() == pb::Compare::MOD) order = sign(kv.mod_revision(), c.mod_revision());
    if (c.target() == pb::Compare::LEASE) order = sign(kv.lease(), c.lease());
    if (c.target() == pb::Compare::VALUE) order = kv.value().compare(c.value());
    if (c.result() == pb::Compare::EQUAL) return order == 0;
    if (c.result() == pb::Compare::NOT_EQUAL) return order != 0;
    return c.result() == pb::Compare::LESS ? order < 0 : order > 0;
  });
}

void Model::choose(const pb::TxnRequest& request, Path* path) const {
  bool hold = std::all_of(request.compare().begin(), request.compare().end(),
                          [&](const pb::Compare& c) { return holds(c); });
  (*path)[&request] = hold;
  for (const pb::RequestOp& op : branch(request, hold)) {
    if (op.has_request_txn()) choose(op.request_txn(), path);
  }
}

RpcStatus Model::check(const pb::TxnRequest& request, const Path& path) const {
  for (const pb::RequestOp& op : branch(request, path.at(&request))) {
    RpcStatus rpc;
    if (op.has_request_range()) {
      int64_t revision = op.request_range().revision();
      if (revision != 0 && revision > revision_) rpc = rpc_errors::kFutureRevision;
      if (revision != 0 && revision < compacted_) rpc = rpc_errors::kCompacted;
    }
    if (op.has_request_put()) rpc = check_put(op.request_put());
    if (op.has_request_txn()) rpc = check(op.request_txn(), path);
    if (!rpc.ok()) return rpc;
  }
  return RpcStatus();
}

void Model::run(const pb::TxnRequest& request, const Path& path, pb::TxnResponse* response) {
  response->mutable_header();
  response->set_succeeded(path.at(&request));
  for (const pb::RequestOp& op : branch(request, path.at(&request))) {
    pb::ResponseOp* out = response->add_responses();
    if (op.has_request_range()) (void)range(op.request_range(), out->mutable_response_range());
    if (op.has_request_put()) change_put(op.request_put(), out->mutable_response_put());
    if (op.has_request_delete_range()) {
      change_delete(op.request_delete_range(), out->mutable_response_delete_range());
    }
    if (op.has_request_txn()) run(op.request_txn(), path, out->mutable_response_txn());
  }
}

RpcStatus Model::txn(const pb::TxnRequest& request, pb::TxnResponse* response) {
  Path path;
  choose(request, &path);
  RpcStatus rpc = check(request, path);
  if (!rpc.ok()) return rpc;
  run(request, path, response);
  finish();
  response->mutable_header()->set_revision(revision_);
  return RpcStatus();
}

RpcStatus Model::compact(int64_t revision) {
  if (revision <= compacted_) return rpc_errors::kCompacted;
  if (revision > revision_) return rpc_errors::kFutureRevision;
  compacted_ = revision;
  return RpcStatus();
}

std::vector<const Model::Version*> Model::kept() const {
  std::vector<const Version*> out;
  for (size_t i = 0; i < log_.size(); ++i) {
    const Version& v = log_[i];
    bool newest = true;  // Of those at or below the compaction.
    for (size_t place : by_key_.at(v.kv.key())) {
      if (place > i && log_[place].main <= compacted_) newest = false;
    }
    if (v.main > compacted_ || (newest && (!v.tombstone || v.main == compacted_)))
      out.push_back(&v);
  }
  return out;
}

uint32_t Model::hash_kv(int64_t revision) const {
  return hash_up_to(revision, /*keep_tombstones=*/false);
}

uint32_t Model::compaction_hash(int64_t revision) const {
  return hash_up_to(revision, /*keep_tombstones=*/true);
}

uint32_t Model::hash_up_to(int64_t revision, bool keep_tombstones) const {
  std::set<std::pair<int64_t, int64_t>> keep;
  for (const auto& [key, places] : by_key_) {
    const Version* newest = nullptr;
    for (size_t place : places) {
      if (log_[place].main <= revision) newest = &log_[place];
    }
    if (newest == nullptr) continue;
    if (newest->tombstone && !(keep_tombstones && newest->main == revision)) continue;
    keep.insert({newest->main, newest->sub});
  }
  uint32_t crc = crc32c(0, "key");
  for (const Version* v : kept()) {
    if (v->main > revision) continue;
    if (v->main <= compacted_ && !keep.empty() && !keep.contains({v->main, v->sub})) continue;
    if (v->main == compacted_ && v->tombstone) continue;
    crc = crc32c(crc, revision_name(*v));
    crc = crc32c(crc, v->kv.SerializeAsString());
  }
  return crc;
}

Rows Model::revision_rows() const {
  Rows rows;
  for (const Version* v : kept()) rows[revision_name(*v)] = v->kv.SerializeAsString();
  return rows;
}

Rows Model::history_rows() const {
  Rows rows;
  for (const Version* v : kept()) {
    std::string value(1, v->tombstone ? '\1' : '\0');
    value += varint(v->sub);
    if (!v->tombstone) value += varint(v->kv.create_revision()) + varint(v->kv.version());
    rows[history_name(v->kv.key(), v->main)] = value;
  }
  return rows;
}

Rows Model::lease_key_rows() const {
  Rows rows;
  for (const auto& [key, kv] : current_) {
    if (kv.lease() != 0) rows[big_endian(static_cast<uint64_t>(kv.lease())) + key] = "";
  }
  return rows;
}

Rows Model::current_rows() const {
  Rows rows;
  for (const auto& [key, kv] : current_) rows[key] = kv.SerializeAsString();
  return rows;
}

}  // namespace mortise::testing
