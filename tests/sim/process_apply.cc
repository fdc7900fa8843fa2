// Applying, reads, chores, compaction.
#include "host/base/crc32c.h"
#include "host/mvcc/hash.h"
#include "tests/sim/process.h"
#include "tests/sim/watcher.h"

namespace mortise::sim {
namespace {

// The state is compared among members at multiples of this index.
constexpr uint64_t kHashEvery = 16;

// Over all that is replicated. Rows that a compaction has made superfluous do not count: when they
// go is each member's own business.
Result<uint64_t> hash_of(const store::Store& store) {
  MORTISE_ASSIGN_OR_RETURN(auto view, mvcc::View::open(store));
  mvcc::HashKvResult history;
  MORTISE_RETURN_IF_ERROR(mvcc::hash_kv(view, 0, &history));
  uint32_t crc = 0;
  for (const store::Keyspace keyspace :
       {store::kCurrent, store::kLeases, store::kLeaseKeys, store::kAlarms, store::kMembers}) {
    MORTISE_ASSIGN_OR_RETURN(auto cursor, view.reader().cursor(keyspace));
    MORTISE_RETURN_IF_ERROR(cursor.seek({}, {}));
    std::string_view key, value;
    while (cursor.next(&key, &value)) crc = crc32c(crc32c(crc, key), value);
    MORTISE_RETURN_IF_ERROR(cursor.status());
  }
  for (const std::string_view row : {mvcc::kStateKey, apply::kConfStateKey}) {
    bool found;
    std::string_view value;
    MORTISE_RETURN_IF_ERROR(view.reader().get(store::kMeta, row, &found, &value));
    crc = crc32c(crc, found ? value : std::string_view());
  }
  return uint64_t{history.hash} << 32 | crc;
}

}  // namespace

apply::Hooks Process::hooks() {
  apply::Hooks hooks;
  hooks.membership_changed = [this](const raft::MembershipChange& change) {
    return replica_->apply_membership(change);
  };
  hooks.removed_self = [this] {
    env_->after(random_.below(5) * kSecond, [machine = machine_] { machine->remove(); });
  };
  hooks.committed = [](const mvcc::State&, uint64_t) {};
  hooks.publish = [this](std::shared_ptr<mvcc::EventBatch> batch) {
    oracle_->events(machine_->id(), *batch);
    feed(*batch);
  };
  hooks.wants_prev = [] { return true; };
  hooks.compact = [this](int64_t revision) { start_compaction(revision, false); };
  hooks.log = [](std::string_view, std::string_view, const apply::LogFields&) {};
  return hooks;
}

void Process::schedule_apply() {
  if (apply_scheduled_ || to_apply_.empty()) return;
  apply_scheduled_ = true;
  Micros delay = random_.skewed(50, 2 * kMillisecond);
  if (random_.permille(3)) delay = random_.below(kSecond);  // A slow commit of the store.
  after(delay, [this] { apply_some(); });
}

void Process::apply_some() {
  apply_scheduled_ = false;
  std::vector<raft::EntryRef> entries;
  raft::SnapshotRef snapshot;
  while (!to_apply_.empty() && !snapshot) {
    if (to_apply_.front().snapshot) {
      if (!entries.empty()) break;
      snapshot = to_apply_.front().snapshot;
    } else if (to_apply_.front().entry->index > applied()) {
      entries.push_back(to_apply_.front().entry);
    }
    to_apply_.pop_front();
  }
  const Status status = snapshot ? switch_store(snapshot) : apply_entries(entries);
  if (!status.ok()) {
    fail(status);
    return;
  }
  replica_->applied(applied());
  finish_reads();
  work();
  schedule_apply();
}

Status Process::apply_entries(const std::vector<raft::EntryRef>& entries) {
  // The bug that breaks this rule at once is to be found by what follows from it.
  std::optional<uint64_t> durable = durable_.last_index;
  if (machine_->site().options.bug == Bug::kAcknowledgeBeforeSync) durable.reset();
  for (size_t begin = 0; begin < entries.size();) {
    size_t end = begin;
    do {
      oracle_->applying(machine_->id(), *entries[end], durable);
      if (env_->failed()) return Status();
    } while (entries[end++]->index % kHashEvery != 0 && end < entries.size());
    MORTISE_RETURN_IF_ERROR(state_->applier->apply(std::span(entries).subspan(begin, end - begin)));
    check_state(entries[end - 1]->index);
    begin = end;
  }
  if (!entries.empty()) {
    env_->trace("member " + std::to_string(machine_->id()) + " applied " +
                std::to_string(applied()) + " revision " + std::to_string(revision()));
  }
  return Status();
}

void Process::check_state(uint64_t index) {
  if (index % kHashEvery == 0) oracle_->state_hash(machine_->id(), index, final_hash());
}

uint64_t Process::final_hash() const { return hash_of(*state_->store).value(); }

// Reads.

void Process::read(const etcdserverpb::RangeRequest& request, ReadDone done) {
  Read read{request, std::move(done), {}};
  if (request.serializable() || machine_->site().options.bug == Bug::kReadWithoutQuorum) {
    answer(read);
    return;
  }
  const uint64_t token = next_token_++;
  if (!replica_->read_index(token).ok()) {
    ReadAnswer dropped;
    dropped.rpc = rpc_errors::kNoLeader;
    read.done(dropped);
    return;
  }
  reads_.emplace(token, std::move(read));
  work();
}

// The leader must not have been deposed when the time begins anew, or the next one would not know.
void Process::keep_alive(int64_t lease, Renewed done) {
  const uint64_t token = next_token_++;
  if (replica_->basic().role != raft::Role::kLeader || !replica_->read_index(token).ok()) {
    done(false);
    return;
  }
  Read read;
  read.then = [this, lease, done = std::move(done)] {
    int64_t ttl = 0;
    done(state_->lessor->renew(lease, &ttl, [] {}) == lease::Lessor::Renewal::kRenewed);
  };
  reads_.emplace(token, std::move(read));
  work();
}

void Process::read_states(const std::vector<raft::ReadState>& states) {
  for (const raft::ReadState& state : states) {
    const auto found = reads_.find(state.token);
    if (found == reads_.end()) continue;  // The answer came twice.
    confirmed_.emplace(state.index, std::move(found->second));
    reads_.erase(found);
  }
  after(0, [this] { finish_reads(); });
}

void Process::finish_reads() {
  while (!confirmed_.empty() && confirmed_.begin()->first <= applied()) {
    Read read = std::move(confirmed_.begin()->second);
    confirmed_.erase(confirmed_.begin());
    answer(read);
  }
}

void Process::answer(Read& read) {
  if (read.then) {
    read.then();
    return;
  }
  auto view = mvcc::View::open(*state_->store);
  const mvcc::StoredBlockCounts counts(&view->reader());
  mvcc::ReadContext context;
  context.reader = &view->reader();
  context.counts = &counts;
  context.revision = view->state().revision;
  context.compacted = view->state().compacted;
  const std::string bytes = read.request.SerializeAsString();
  wire::RangeRequest request;
  MORTISE_CHECK(wire::decode(bytes, &request), "a range request does not parse");
  ByteBuffer body;
  mvcc::RangeResult result;
  const Status status = mvcc::range(context, request, &body, &result);
  MORTISE_CHECK(status.ok(), status.message());
  ReadAnswer out;
  out.rpc = result.rpc;
  out.revision = context.revision;
  if (result.rpc.ok()) {
    mvcc::append_range_tail(result, &body);
    MORTISE_CHECK(out.response.ParseFromArray(body.data(), static_cast<int>(body.size())),
                  "a range response does not parse");
  }
  read.done(out);
}

// Chores.

void Process::chores() {
  revoke_expired();
  release_log();
  work();
  after(machine_->real(kSecond / 2), [this] { chores(); });
}

void Process::revoke_expired() {
  if (replica_->basic().role != raft::Role::kLeader) return;
  for (const int64_t lease : state_->lessor->expired(10, std::chrono::milliseconds(2000))) {
    etcdserverpb::LeaseRevokeRequest request;
    request.set_id(lease);
    const uint64_t id = machine_->site().next_request_id++;
    propose(id, wire::encode_raft_request(id, wire::kRaftLeaseRevoke, request.SerializeAsString()),
            {});
  }
  const auto checkpoints = state_->lessor->due_checkpoints(10);
  if (checkpoints.empty()) return;
  const uint64_t id = machine_->site().next_request_id++;
  propose(id,
          wire::encode_raft_request(id, wire::kRaftLeaseCheckpoint,
                                    lease::encode_checkpoints(checkpoints)),
          {});
}

bool Process::sync_store() {
  auto synced = state_->store->sync();
  if (!synced.ok()) {
    fail(synced.status());
    return false;
  }
  synced_ = *synced;
  return true;
}

void Process::release_log() {
  if (applied() < released_ + machine_->site().release_every || !sync_store()) return;
  released_ = synced_;
  writer_->release(released_);
}

// Compactions: the scan is one event, each slice of what goes another one.

void Process::start_compaction(int64_t revision, bool resumed) {
  compactions_.emplace_back(revision, resumed);
  if (compactions_.size() == 1) after(random_.below(50) * kMillisecond, [this] { remove_next(); });
}

void Process::remove_next() {
  if (compactions_.empty()) return;
  const auto [revision, resumed] = compactions_.front();
  if (removals_.empty()) {
    mvcc::CompactionOptions options;
    if (resumed) options.scan_by = mvcc::ScanBy::kKeys;
    options.pause = [] { return true; };
    mvcc::ScanResult scan;
    const Status status = mvcc::find_removals(
        *state_->store, compaction_finished_, revision, options,
        [&](std::unique_ptr<mvcc::Removal> removal) { removals_.push_back(std::move(removal)); },
        &scan);
    if (!status.ok()) fail(status);
  }
  if (!removals_.empty()) {
    const Status status = state_->applier->remove(*removals_.front());
    if (!status.ok()) fail(status);
    removals_.pop_front();
  }
  if (removals_.empty()) {
    compaction_finished_ = revision;
    compactions_.pop_front();
  }
  if (!compactions_.empty()) after(random_.below(50) * kMillisecond, [this] { remove_next(); });
}

}  // namespace mortise::sim
