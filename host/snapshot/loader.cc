#include "host/snapshot/loader.h"

#include <algorithm>
#include <map>

#include "host/apply/applier.h"
#include "host/lease/lessor.h"
#include "host/membership/cluster.h"
#include "host/mvcc/compactor.h"
#include "host/snapshot/etcd_state.h"
#include "host/snapshot/version_index.h"
#include "host/wire/key_value.h"

namespace mortise::snapshot {
namespace {

constexpr uint64_t kRowsBetweenLooks = 1000;  // At keep_going().
constexpr uint64_t kBlockKeys = 512;          // Of key_counts: room to grow, and to shrink.

using SmallRows = std::map<std::string, std::string>;

Status malformed_version(mvcc::Revision revision, const std::string& what) {
  return corruption("revision " + std::to_string(revision.main) + "." +
                    std::to_string(revision.sub) + " of the snapshot " + what);
}

std::string u64_be(uint64_t v) {
  std::string bytes(8, '\0');
  mvcc::put_u64_be(bytes.data(), v);
  return bytes;
}

// Makes the rows of all keyspaces, one after the other.
class Loader : public store::PairSource {
 public:
  Loader(const bbolt::Source& source, const bbolt::File& file, const LoadOptions& options)
      : file_(file),
        options_(options),
        versions_(&source, options.temp_dir, options.sort_bytes),
        lease_keys_(options.temp_dir, options.sort_bytes / 4) {}

  // The first walk. Afterwards result() holds but for the number of keys.
  Status prepare();
  const Loaded& result() const { return result_; }

  // store::PairSource
  bool next(store::Keyspace* keyspace, std::string_view* key, std::string_view* value) override;
  Status status() const override { return status_; }

 private:
  using Rows = bool (Loader::*)(std::string_view* key, std::string_view* value);
  struct Stage {
    store::Keyspace keyspace;
    Status (Loader::*begin)();
    Rows next;
  };
  static const Stage kStages[];

  Status read_leases();
  Status read_history();
  Status take_version(const bbolt::Row& row, std::optional<uint64_t> offset);
  void take_roster(const membership::Roster& roster);
  Status settle_position();
  Status check_going();
  bool fail(Status status) {
    status_ = std::move(status);
    return false;
  }

  Status begin_meta();
  Status begin_revisions();
  Status begin_current();
  Status begin_history();
  Status begin_leases();
  Status begin_lease_keys();
  Status begin_alarms();
  Status begin_members();
  Status begin_auth();
  Status begin_counts();
  Status begin_rows(SmallRows rows);
  bool next_row(std::string_view* key, std::string_view* value);
  bool next_of_bucket(std::string_view* key, std::string_view* value);
  bool next_current(std::string_view* key, std::string_view* value);
  bool newest_of_next_key(Version* newest);
  Status note_current(const wire::KeyValue& kv);
  bool next_history(std::string_view* key, std::string_view* value);
  bool next_lease_key(std::string_view* key, std::string_view* value);

  const bbolt::File& file_;
  const LoadOptions& options_;
  EtcdState state_;
  Loaded result_;
  VersionIndex versions_;
  ExternalSort lease_keys_;
  std::vector<uint64_t> leases_;  // Ascending.
  SmallRows counts_;
  uint64_t block_keys_ = 0;  // In the last block.

  size_t stage_ = 0;
  bool begun_ = false;
  uint64_t rows_ = 0;
  SmallRows small_;
  SmallRows::const_iterator at_;
  std::optional<bbolt::Cursor> bucket_;
  bool has_ahead_ = false;
  Version version_, ahead_;
  std::string copy_, user_key_;
  Status status_;
};

// In the order of their numbers.
const Loader::Stage Loader::kStages[] = {
    {store::kMeta, &Loader::begin_meta, &Loader::next_row},
    {store::kRevisions, &Loader::begin_revisions, &Loader::next_of_bucket},
    {store::kCurrent, &Loader::begin_current, &Loader::next_current},
    {store::kKeyHistory, &Loader::begin_history, &Loader::next_history},
    {store::kLeases, &Loader::begin_leases, &Loader::next_of_bucket},
    {store::kLeaseKeys, &Loader::begin_lease_keys, &Loader::next_lease_key},
    {store::kAlarms, &Loader::begin_alarms, &Loader::next_row},
    {store::kMembers, &Loader::begin_members, &Loader::next_row},
    {store::kAuth, &Loader::begin_auth, &Loader::next_row},
    {store::kKeyCounts, &Loader::begin_counts, &Loader::next_row},
};

Status Loader::check_going() {
  if (++rows_ % kRowsBetweenLooks != 0 || options_.keep_going()) return Status();
  return Status(StatusCode::kStopped, "loading the snapshot was stopped");
}

Status Loader::prepare() {
  MORTISE_ASSIGN_OR_RETURN(state_, read_etcd_state(file_));
  if (options_.roster) take_roster(*options_.roster);
  if (state_.cluster_version.empty()) state_.cluster_version = options_.cluster_version;
  MORTISE_RETURN_IF_ERROR(read_leases());
  MORTISE_RETURN_IF_ERROR(read_history());
  mvcc::State& state = result_.state;
  state.compacted = std::max(state_.scheduled_compaction, state_.finished_compaction);
  state.revision = std::max(state.revision, state.compacted);
  return settle_position();
}

void Loader::take_roster(const membership::Roster& roster) {
  state_.members.clear();
  for (const auto& [id, member] : roster.members) state_.members.push_back(member);
  state_.removed_members.assign(roster.removed.begin(), roster.removed.end());
}

Status Loader::settle_position() {
  Position& position = result_.position;
  position = options_.position.value_or(state_.position);
  if (state_.position.index > position.index) {
    return corruption("the snapshot holds entries of the log up to " +
                      std::to_string(state_.position.index) + ", not up to " +
                      std::to_string(position.index) + " as was said");
  }
  if (options_.conf_state) {
    result_.conf_state = *options_.conf_state;
  } else {
    result_.conf_state = state_.conf_state ? *state_.conf_state : conf_state_of(state_.members);
  }
  return Status();
}

Status Loader::read_leases() {
  MORTISE_ASSIGN_OR_RETURN(auto cursor, file_.find("lease"));
  bbolt::Row row;
  while (cursor.next(&row)) {
    MORTISE_RETURN_IF_ERROR(check_going());
    lease::LeaseRecord lease;
    if (row.is_bucket || row.key.size() != 8 || !lease::decode_lease(row.value, &lease) ||
        lease.id == 0 || lease::lease_row(lease.id) != row.key) {
      return corruption("a lease of the snapshot is malformed");
    }
    leases_.push_back(static_cast<uint64_t>(lease.id));
  }
  return cursor.status();
}

Status Loader::read_history() {
  MORTISE_ASSIGN_OR_RETURN(auto cursor, file_.find("key"));
  bbolt::Row row;
  while (cursor.next(&row)) {
    MORTISE_RETURN_IF_ERROR(check_going());
    MORTISE_RETURN_IF_ERROR(take_version(row, cursor.offset_of(row.value)));
  }
  return cursor.status();
}

Status Loader::take_version(const bbolt::Row& row, std::optional<uint64_t> offset) {
  mvcc::Revision revision;
  bool tombstone;
  if (row.is_bucket || !mvcc::decode_revision(row.key, &revision, &tombstone) ||
      revision.main <= 0 || revision.sub < 0) {
    return corruption("a revision of the snapshot has a malformed name");
  }
  wire::KeyValue kv;
  if (!wire::decode_key_value(row.value, &kv)) {
    return malformed_version(revision, "has a malformed value");
  }
  // etcdutl leaves a row without a value at the revision to which it has raised the newest one.
  bool is_mark = row.value.empty() && !tombstone;
  if (kv.key.empty() && !is_mark) return malformed_version(revision, "has no key");
  if (!tombstone && !is_mark && kv.mod_revision != revision.main) {
    return malformed_version(revision, "says that it is of " + std::to_string(kv.mod_revision));
  }
  result_.state.revision = std::max(result_.state.revision, revision.main);
  ++result_.versions;
  mvcc::HistoryValue history{revision.sub, tombstone, kv.create_revision, kv.version};
  return versions_.add(kv.key, revision.main, history, offset, row.value);
}

bool Loader::next(store::Keyspace* keyspace, std::string_view* key, std::string_view* value) {
  for (; stage_ < std::size(kStages); ++stage_) {
    const Stage& stage = kStages[stage_];
    Status status = begun_ ? check_going() : (this->*stage.begin)();
    if (!status.ok()) return fail(std::move(status));
    begun_ = true;
    *keyspace = stage.keyspace;
    if ((this->*stage.next)(key, value)) return true;
    if (!status_.ok()) return false;
    begun_ = false;
  }
  return false;
}

Status Loader::begin_rows(SmallRows rows) {
  small_ = std::move(rows);
  at_ = small_.begin();
  return Status();
}

bool Loader::next_row(std::string_view* key, std::string_view* value) {
  if (at_ == small_.end()) return false;
  *key = at_->first;
  *value = at_->second;
  ++at_;
  return true;
}

Status Loader::begin_meta() {
  SmallRows rows;
  rows[std::string(mvcc::kStateKey)].resize(mvcc::kStateBytes);
  mvcc::write_state(rows[std::string(mvcc::kStateKey)].data(), result_.state);
  rows[std::string(apply::kConfStateKey)] = apply::encode_conf_state(result_.conf_state);
  if (state_.finished_compaction != mvcc::kNeverCompacted) {
    rows[std::string(mvcc::kCompactFinishedKey)] =
        u64_be(static_cast<uint64_t>(state_.finished_compaction));
  }
  if (!state_.cluster_version.empty()) {
    rows[std::string(membership::kClusterVersionKey)] = state_.cluster_version;
  }
  if (!state_.downgrade_target.empty()) {
    rows[std::string(membership::kDowngradeKey)] = state_.downgrade_target;
  }
  if (options_.member_id != 0) {
    rows[std::string(membership::kIdentityKey)] =
        u64_be(options_.cluster_id) + u64_be(options_.member_id);
  }
  return begin_rows(std::move(rows));
}

Status Loader::begin_revisions() {
  MORTISE_ASSIGN_OR_RETURN(bucket_, file_.find("key"));
  return Status();
}

Status Loader::begin_leases() {
  MORTISE_ASSIGN_OR_RETURN(bucket_, file_.find("lease"));
  return Status();
}

bool Loader::next_of_bucket(std::string_view* key, std::string_view* value) {
  bbolt::Row row;
  if (!bucket_->next(&row)) {
    status_ = bucket_->status();
    return false;
  }
  *key = row.key;
  *value = row.value;
  return true;
}

Status Loader::begin_current() {
  bucket_.reset();
  MORTISE_RETURN_IF_ERROR(versions_.rewind());
  has_ahead_ = versions_.next(&ahead_);
  counts_[std::string("b")] = std::string();
  block_keys_ = 0;
  return versions_.status();
}

bool Loader::newest_of_next_key(Version* newest) {
  if (!has_ahead_) return false;
  do {
    std::swap(*newest, ahead_);
    has_ahead_ = versions_.next(&ahead_);
  } while (has_ahead_ && ahead_.prefix() == newest->prefix());
  status_ = versions_.status();
  return status_.ok();
}

bool Loader::next_current(std::string_view* key, std::string_view* value) {
  while (newest_of_next_key(&version_)) {
    if (version_.tombstone || version_.size == 0) continue;
    auto bytes = versions_.value(version_, &copy_);
    if (!bytes.ok()) return fail(bytes.status());
    wire::KeyValue kv;
    if (!wire::decode_key_value(*bytes, &kv)) return fail(corruption("the snapshot has changed"));
    if (Status status = note_current(kv); !status.ok()) return fail(std::move(status));
    *key = kv.key;
    *value = *bytes;
    return true;
  }
  return false;
}

// Counts the key, and notes the lease that it hangs on.
Status Loader::note_current(const wire::KeyValue& kv) {
  ++result_.keys;
  if (block_keys_ == kBlockKeys) {
    counts_.emplace_hint(counts_.end(), "b" + std::string(kv.key), std::string());
    block_keys_ = 0;
  }
  ++block_keys_;
  counts_.rbegin()->second.assign(reinterpret_cast<const char*>(&block_keys_), 8);
  auto lease = static_cast<uint64_t>(kv.lease);
  if (lease == 0 || !std::binary_search(leases_.begin(), leases_.end(), lease)) return Status();
  return lease_keys_.add(u64_be(lease) + std::string(kv.key), {});
}

Status Loader::begin_history() { return versions_.rewind(); }

bool Loader::next_history(std::string_view* key, std::string_view* value) {
  if (!versions_.next(&version_)) {
    status_ = versions_.status();
    return false;
  }
  *key = version_.history_row;
  *value = version_.history_value;
  return true;
}

Status Loader::begin_lease_keys() {
  bucket_.reset();
  return lease_keys_.rewind();
}

bool Loader::next_lease_key(std::string_view* key, std::string_view* value) {
  if (lease_keys_.next(key, value)) return true;
  status_ = lease_keys_.status();
  return false;
}

Status Loader::begin_alarms() {
  SmallRows rows;
  for (const apply::Alarm& alarm : state_.alarms) rows[apply::encode_alarm(alarm)];
  return begin_rows(std::move(rows));
}

Status Loader::begin_members() {
  SmallRows rows;
  for (const membership::Member& member : state_.members) {
    rows[membership::member_row(member.id)] = membership::encode_member(member);
  }
  for (uint64_t id : state_.removed_members) {
    rows[membership::member_row(id)] = "";
  }
  return begin_rows(std::move(rows));
}

Status Loader::begin_auth() { return begin_rows(std::move(state_.auth)); }

Status Loader::begin_counts() {
  if (result_.keys == 0) counts_.clear();
  return begin_rows(std::move(counts_));
}

}  // namespace

Result<Loaded> load(const bbolt::Source& source, const LoadOptions& options, store::Store* store) {
  MORTISE_ASSIGN_OR_RETURN(auto file, bbolt::File::open(&source));
  Loader loader(source, file, options);
  MORTISE_RETURN_IF_ERROR(loader.prepare());
  const Position& position = loader.result().position;
  MORTISE_RETURN_IF_ERROR(store->fill(&loader, position.index, position.term));
  return loader.result();
}

Result<bool> has_auth_enabled(const bbolt::Source& source) {
  MORTISE_ASSIGN_OR_RETURN(auto file, bbolt::File::open(&source));
  MORTISE_ASSIGN_OR_RETURN(auto state, read_etcd_state(file));
  return state.auth_enabled;
}

}  // namespace mortise::snapshot
