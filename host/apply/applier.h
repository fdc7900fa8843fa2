// Turns committed log entries into the state of the store: one chain for every member, a pure
// function of (state, entry).
//
// The stages of an entry, in this order:
//   1. decode    a membership change or an InternalRaftRequest; an empty entry only counts.
//   2. gate      alarms refuse what they forbid, before anything is read. (gate_stage.cc)
//   3. auth      who asked must still be allowed to, by the users and roles as of the entry before.
//                (auth_stage.cc)
//   4. handler   kv, lease, alarm, users or membership; writes go to the batch. (kv_stage.cc, ...)
// A membership change that etcd's rules forbid reaches the raft core as one without effect.
// The entries of a batch go into one backend commit together with the applied position. Only after
// the commit are effects shown: events are published first, then calls are answered, so that a
// client that has its answer finds its own events before any later question.
//
// Owned by the apply thread. A Status that is not ok means that the store failed: the node stops.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "host/apply/alarms.h"
#include "host/apply/counters.h"
#include "host/apply/effect_hash.h"
#include "host/apply/result.h"
#include "host/auth/authority.h"
#include "host/lease/lessor.h"
#include "host/membership/cluster.h"
#include "host/membership/published.h"
#include "host/mvcc/compactor.h"
#include "host/mvcc/writer.h"
#include "host/raft/types.h"
#include "host/wire/raft_request.h"

namespace mortise::apply {

// A batch is committed when it holds this much, even if more entries wait.
constexpr size_t kBatchBytesMax = 8 << 20;
constexpr size_t kBatchOpsMax = 20000;

// Row of the meta keyspace: the membership of the raft core as of the applied index.
constexpr std::string_view kConfStateKey = "conf-state";

// A field of a line in the log.
using LogField = std::pair<std::string, std::variant<std::string, bool, std::vector<std::string>>>;
using LogFields = std::vector<LogField>;

struct Hooks {
  // For the log: a request that took longer than slow_after, or that failed.
  std::chrono::nanoseconds slow_after = std::chrono::nanoseconds::max();
  // Without a result: the commit of a batch, with its last request.
  std::function<void(const wire::RaftRequest&, const ApplyResult*, std::chrono::nanoseconds took)>
      was_slow;
  std::function<void(const wire::RaftRequest&, const ApplyResult&, std::chrono::nanoseconds took)>
      has_failed;
  // A membership entry is applied; returns the core's new membership, or what makes it senseless.
  std::function<Result<raft::ConfState>(const raft::MembershipChange&)> membership_changed;
  // The entry that removes this member is applied and committed.
  std::function<void()> removed_self;
  // After a commit, before calls are answered. `state` is what is visible now.
  std::function<void(const mvcc::State& state, uint64_t applied_index)> committed;
  std::function<void(std::shared_ptr<mvcc::EventBatch>)> publish;
  // An entry of the batch changed what callers may do; before the batch's events are published.
  // The users are those who were deleted or got another password.
  std::function<void(const std::vector<std::string>& users)> auth_changed;
  // Does anybody want previous values with events?
  std::function<bool()> wants_prev;
  // Many calls are answered between answering(true) and answering(false).
  std::function<void(bool)> answering;
  // Is the store larger than its quota? The answer to a request that let it grow then says so.
  std::function<bool()> over_quota;
  // A compaction was applied: rows up to `revision` may be removed.
  std::function<void(int64_t revision)> compact;
  // For the log: something an operator should know.
  std::function<void(std::string_view level, std::string_view message, LogFields fields)> log;
};

class Applier {
 public:
  Applier(store::Store* store, lease::Lessor* lessor, membership::Cluster* cluster, Alarms* alarms,
          WaitList* waiters, Hooks hooks);
  // Before open(). Without one the store must hold nobody who would have to authenticate, and
  // entries about users and roles are failures.
  void set_authority(auth::Authority* authority) { authority_ = authority; }
  // Reads state, leases, members, alarms, users and roles.
  Status open();

  Status apply(std::span<const raft::EntryRef> entries);
  // Removes rows that a compaction has made superfluous, and lets go of the view of the store that
  // is held between batches, so that the store can free what nobody else sees.
  Status remove(const mvcc::Removal& removal);

  const mvcc::State& visible() const { return visible_; }
  uint64_t applied_index() const { return applied_index_; }
  // What the entries since open() did, for a comparison with other members.
  const EffectHash& effects() const { return effects_; }
  const Counters& counters() const { return counters_; }
  const mvcc::WriteCounters& write_counters() const { return writer_.counters(); }

 private:
  struct Done {
    std::unique_ptr<Waiter> waiter;
    ApplyResult result;
  };

  Status apply_entry(const raft::Entry& entry);
  void hash_effects(const raft::Entry& entry);
  Status apply_membership_entry(const raft::Entry& entry);
  // membership_stage.cc
  Status apply_single(raft::MembershipChange change, ApplyResult* result);
  Status apply_joint(raft::MembershipChange change, ApplyResult* result);
  Result<RpcStatus> try_single(const raft::MembershipChange& change,
                               const membership::ChangeContext& context);
  RpcStatus check_joint(const raft::MembershipChange& change) const;
  Status change_core(const raft::MembershipChange& change, raft::ConfState* conf_state);
  void carry_out(raft::ChangeType type, uint64_t id, const membership::ChangeContext& context);
  void put_member(const membership::Member& member, const char* message, const char* prefix);
  void remove_member(uint64_t id);
  void follow(const raft::ConfState& conf_state);
  LogFields log_fields(LogFields fields) const;
  Status dispatch(const wire::RaftRequest& request, uint64_t index, bool respond,
                  ApplyResult* result);
  void report(const wire::RaftRequest& request, const ApplyResult& result,
              std::chrono::steady_clock::time_point start);
  void report_commit(std::chrono::steady_clock::time_point start) const;
  RpcStatus gate(const wire::RaftRequest& request) const;
  // auth_stage.cc
  Status load_auth(const store::Reader& reader);
  Status permit(const wire::RaftRequest& request, RpcStatus* rpc);
  Status permit_leases(const mortise_identity& who, RpcStatus* rpc);
  Status apply_auth(const wire::RaftRequest& request, uint64_t index, ApplyResult* result);
  void note_auth_change(const wire::RaftRequest& request);
  void show_auth_changes();
  Status flush();
  void answer();

  Status apply_put(std::string_view request, bool respond, ApplyResult* result);
  Status apply_delete_range(std::string_view request, bool respond, ApplyResult* result);
  Status apply_txn(std::string_view request, bool respond, ApplyResult* result);
  Status apply_compaction(std::string_view request, ApplyResult* result);
  Status apply_lease_grant(std::string_view request, ApplyResult* result);
  Status apply_lease_revoke(std::string_view request, ApplyResult* result);
  Status apply_lease_checkpoint(std::string_view request);
  Status apply_alarm(std::string_view request, ApplyResult* result);
  Status apply_cluster_version(std::string_view request);
  void set_cluster_version(const std::string& version);
  Status apply_downgrade_info(std::string_view request);
  Status apply_member_attributes(std::string_view request);
  void set_attributes(const membership::Published& published);
  void apply_v2(std::string_view request);

  store::Store* store_;
  lease::Lessor* lessor_;
  membership::Cluster* cluster_;
  Alarms* alarms_;
  WaitList* waiters_;
  Hooks hooks_;
  auth::Authority* authority_ = nullptr;
  auth::WrittenRows auth_rows_;  // Of the batch.
  auth::Needs needs_;            // Of the entry that is being applied.
  bool auth_changed_ = false;
  std::vector<std::string> changed_users_;
  mvcc::Writer writer_;
  mvcc::State visible_;
  uint64_t applied_index_ = 0;
  uint64_t applied_term_ = 0;
  uint64_t batch_index_ = 0;
  uint64_t batch_term_ = 0;
  const raft::Entry* last_entry_ = nullptr;  // Of the batch, while apply() runs.
  EffectHash effects_;
  size_t entry_rows_begin_ = 0;  // Rows of the batch before the entry that is being applied.
  std::vector<Done> done_;
  bool has_revoked_ = false;          // A lease; others see it after the commit.
  std::vector<int64_t> compactions_;  // Announced after the commit.
  bool removed_self_ = false;
  Counters counters_;
};

// May the request make the store larger? Such are refused when there is no space.
bool grows(const wire::RaftRequest& request);

// The ConfState row.
std::string encode_conf_state(const raft::ConfState& state);
Result<raft::ConfState> read_conf_state(const store::Reader& reader);

}  // namespace mortise::apply
