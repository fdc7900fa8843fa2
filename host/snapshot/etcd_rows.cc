#include "host/snapshot/etcd_rows.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "host/apply/applier.h"
#include "host/base/crc32c.h"
#include "host/membership/cluster.h"
#include "host/mvcc/compactor.h"
#include "host/mvcc/view.h"

namespace mortise::snapshot {
namespace {

using SmallRows = std::vector<std::pair<std::string, std::string>>;

std::string u64_be(uint64_t v) {
  std::string bytes(8, '\0');
  mvcc::put_u64_be(bytes.data(), v);
  return bytes;
}

std::string conf_state_json(const raft::ConfState& state) {
  nlohmann::ordered_json json;
  auto add = [&](const char* name, const std::vector<raft::NodeId>& ids) {
    if (!ids.empty()) json[name] = ids;
  };
  add("voters", state.voters);
  add("learners", state.learners);
  add("voters_outgoing", state.voters_outgoing);
  add("learners_next", state.learners_next);
  json["auto_leave"] = state.auto_leave;
  return membership::go_json(json);
}

}  // namespace

Status EtcdRows::load(const store::Reader* reader, const Position& position,
                      std::string_view storage_version) {
  reader_ = reader;
  buckets_.push_back({.name = "key", .in_store = true, .keyspace = store::kRevisions});
  buckets_.push_back({.name = "lease", .in_store = true, .keyspace = store::kLeases});
  buckets_.push_back({.name = "alarm", .in_store = true, .keyspace = store::kAlarms});
  MORTISE_RETURN_IF_ERROR(add_auth());
  MORTISE_RETURN_IF_ERROR(add_cluster());
  MORTISE_RETURN_IF_ERROR(add_members());
  MORTISE_RETURN_IF_ERROR(add_meta(position, storage_version));
  std::sort(buckets_.begin(), buckets_.end(),
            [](const Bucket& a, const Bucket& b) { return a.name < b.name; });
  for (Bucket& bucket : buckets_) std::sort(bucket.rows.begin(), bucket.rows.end());
  return Status();
}

std::string auth_row(std::string_view bucket, std::string_view key) {
  const auto* known = std::find_if(std::begin(kAuthBuckets), std::end(kAuthBuckets),
                                   [&](const AuthBucket& b) { return b.name == bucket; });
  MORTISE_CHECK(known != std::end(kAuthBuckets), bucket);
  return std::string(1, known->row_prefix).append(key);
}

std::string first_auth_revision() { return u64_be(1); }

Status EtcdRows::add_auth() {
  MORTISE_ASSIGN_OR_RETURN(auto cursor, reader_->cursor(store::kAuth));
  MORTISE_RETURN_IF_ERROR(cursor.seek({}, {}));
  std::map<char, Bucket> buckets;
  for (const AuthBucket& known : kAuthBuckets) buckets[known.row_prefix].name = known.name;
  std::string_view row, value;
  bool any = false;
  for (; cursor.next(&row, &value); any = true) {
    auto bucket = row.empty() ? buckets.end() : buckets.find(row.front());
    if (bucket == buckets.end()) {
      return corruption("a stored row of users and roles is malformed");
    }
    bucket->second.rows.emplace_back(row.substr(1), value);
  }
  MORTISE_RETURN_IF_ERROR(cursor.status());
  if (!any)
    buckets[MORTISE_AUTH_ROW_STATE].rows.emplace_back("authRevision", first_auth_revision());
  for (auto& [name, bucket] : buckets) buckets_.push_back(std::move(bucket));
  return Status();
}

Status EtcdRows::add_cluster() {
  Bucket cluster{.name = "cluster"};
  bool found;
  std::string_view version;
  MORTISE_RETURN_IF_ERROR(
      reader_->get(store::kMeta, membership::kClusterVersionKey, &found, &version));
  if (found) cluster.rows.emplace_back("clusterVersion", version);
  MORTISE_RETURN_IF_ERROR(reader_->get(store::kMeta, membership::kDowngradeKey, &found, &version));
  if (found) {
    nlohmann::ordered_json json{{"target-version", version}, {"enabled", true}};
    cluster.rows.emplace_back("downgrade", membership::go_json(json));
  }
  buckets_.push_back(std::move(cluster));
  return Status();
}

Status EtcdRows::add_members() {
  MORTISE_ASSIGN_OR_RETURN(auto cursor, reader_->cursor(store::kMembers));
  MORTISE_RETURN_IF_ERROR(cursor.seek({}, {}));
  Bucket members{.name = "members"};
  Bucket removed{.name = "members_removed"};
  std::string_view row, value;
  while (cursor.next(&row, &value)) {
    if (value.empty() && row.size() == 8) {
      removed.rows.emplace_back(membership::hex_id(mvcc::get_u64_be(row.data())), "removed");
      continue;
    }
    membership::Member member;
    if (!membership::decode_member(value, &member))
      return corruption("a stored member is malformed");
    members.rows.emplace_back(membership::hex_id(member.id), membership::member_json(member));
  }
  MORTISE_RETURN_IF_ERROR(cursor.status());
  buckets_.push_back(std::move(members));
  buckets_.push_back(std::move(removed));
  return Status();
}

Status EtcdRows::add_meta(const Position& position, std::string_view storage_version) {
  MORTISE_ASSIGN_OR_RETURN(auto conf_state, apply::read_conf_state(*reader_));
  MORTISE_ASSIGN_OR_RETURN(auto state, mvcc::read_state(*reader_));
  MORTISE_ASSIGN_OR_RETURN(int64_t finished, mvcc::finished_compaction(*reader_));
  Bucket meta{.name = "meta"};
  meta.rows = {{"storageVersion", std::string(storage_version)},
               {"confState", conf_state_json(conf_state)}};
  if (position.index > 0) meta.rows.emplace_back("consistent_index", u64_be(position.index));
  if (position.term > 0) meta.rows.emplace_back("term", u64_be(position.term));
  if (state.compacted != mvcc::kNeverCompacted) {
    meta.rows.emplace_back("scheduledCompactRev", mvcc::encode_revision({state.compacted, 0}));
  }
  if (finished != mvcc::kNeverCompacted) {
    meta.rows.emplace_back("finishedCompactRev", mvcc::encode_revision({finished, 0}));
  }
  buckets_.push_back(std::move(meta));
  return Status();
}

Status EtcdRows::rewind() {
  bucket_ = 0;
  opened_ = false;
  cursor_ = store::Cursor();
  status_ = Status();
  return Status();
}

bbolt::RowSource::Item EtcdRows::open_bucket(std::string_view* name) {
  const Bucket& bucket = buckets_[bucket_];
  *name = bucket.name;
  opened_ = true;
  row_ = 0;
  if (!bucket.in_store) return Item::kBucket;
  auto cursor = reader_->cursor(bucket.keyspace, MORTISE_CURSOR_NO_CACHE);
  if (!cursor.ok()) {
    status_ = cursor.status();
    return Item::kFailed;
  }
  cursor_ = std::move(cursor).value();
  status_ = cursor_.seek({}, {});
  return status_.ok() ? Item::kBucket : Item::kFailed;
}

bool EtcdRows::next_row(std::string_view* key, std::string_view* value) {
  const Bucket& bucket = buckets_[bucket_];
  if (bucket.in_store) return cursor_.next(key, value);
  if (row_ == bucket.rows.size()) return false;
  *key = bucket.rows[row_].first;
  *value = bucket.rows[row_].second;
  ++row_;
  return true;
}

bbolt::RowSource::Item EtcdRows::next(std::string_view* key, std::string_view* value) {
  *value = {};
  if (bucket_ == buckets_.size()) return Item::kEnd;
  if (!opened_) return open_bucket(key);
  if (next_row(key, value)) return Item::kRow;
  if (buckets_[bucket_].in_store) {
    if (!cursor_.status().ok()) {
      status_ = cursor_.status();
      return Item::kFailed;
    }
    cursor_ = store::Cursor();
  }
  ++bucket_;
  opened_ = false;
  return next(key, value);
}

Result<uint32_t> hash_etcd_rows(const store::Reader& reader) {
  using Item = bbolt::RowSource::Item;
  EtcdRows rows;
  MORTISE_RETURN_IF_ERROR(rows.load(&reader, Position{}, ""));
  MORTISE_RETURN_IF_ERROR(rows.rewind());
  uint32_t crc = 0;
  bool in_meta = false;
  std::string_view key, value;
  for (;;) {
    Item item = rows.next(&key, &value);
    if (item == Item::kEnd) return crc;
    if (item == Item::kFailed) return rows.status();
    if (item == Item::kBucket) in_meta = key == "meta";
    if (item == Item::kRow && in_meta && key == "storageVersion") continue;
    crc = crc32c(crc32c(crc, key), value);
  }
}

}  // namespace mortise::snapshot
