// The software of one simulated member while it runs: the real replica, log, applier, store,
// leases and membership, without a thread. A crash destroys it; what it wrote stays with its
// Machine.
//
// Each entrance is an event of the machine (Machine::run), and ends with work(). What takes time in
// a server, writing and applying, is an event later.
//
// Threads: one. Ownership: the Machine's. Errors: fail() ends the process or, if no fault explains
// it, the simulation.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "host/apply/applier.h"
#include "host/replica/replica.h"
#include "proto/rpc.pb.h"
#include "tests/sim/log_writer.h"
#include "tests/sim/machine.h"

namespace mortise::sim {

class Watcher;

class Process final : public replica::Surroundings {
 public:
  static Result<std::unique_ptr<Process>> start(Machine* machine);
  ~Process() override;
  void crash(bool power_loss) { writer_->crash(power_loss); }

  void deliver(raft::Message message);
  void report_unreachable(raft::NodeId peer);
  void report_snapshot(raft::NodeId peer, bool sent);

  // The result of a proposal; null if it was not taken.
  using Proposed = std::function<void(const apply::ApplyResult*)>;
  void propose(uint64_t request_id, std::string request, Proposed done);
  bool propose_membership(const raft::MembershipChange& change);
  struct ReadAnswer {
    RpcStatus rpc;
    int64_t revision = 0;
    etcdserverpb::RangeResponse response;
  };
  using ReadDone = std::function<void(const ReadAnswer&)>;
  void read(const etcdserverpb::RangeRequest& request, ReadDone done);
  // Renews a lease if this member leads; the time that it has from now, or nothing.
  using Renewed = std::function<void(bool)>;
  void keep_alive(int64_t lease, Renewed done);
  void transfer_leadership(raft::NodeId to);
  void attach(std::shared_ptr<Watcher> watcher);
  void detach(const Watcher* watcher);

  raft::BasicState basic() const { return replica_->basic(); }
  const raft::ConfState& conf_state() const { return replica_->conf_state(); }
  // What is applied survives a loss of power from here on; false if the disk fails.
  bool sync_store();
  const raft::MemoryLog& log() const { return replica_->log(); }
  const membership::Cluster& cluster() const { return *state_->cluster; }
  uint64_t applied() const { return state_->applier->applied_index(); }
  int64_t revision() const { return state_->applier->visible().revision; }
  // The log is on the disk up to here.
  uint64_t durable_index() const { return durable_.last_index; }
  uint64_t durable_term() const { return durable_.last_term; }
  uint64_t final_hash() const;

  // replica::Surroundings
  Status submit(const wal::WriteRequest& request) override;
  void defer_hard_state(const wal::HardState& state) override;
  void send(std::vector<raft::Message> messages) override;
  void committed(std::vector<raft::EntryRef> entries) override;
  void install(raft::SnapshotRef snapshot) override;
  void read_states(const std::vector<raft::ReadState>& states) override;
  void soft_state(const raft::SoftState& state, uint64_t term) override;
  void disk_stalled(raft::NodeId to) override;

 private:
  // What a snapshot replaces.
  struct State {
    std::unique_ptr<store::Store> store;
    std::unique_ptr<lease::Lessor> lessor;
    std::unique_ptr<membership::Cluster> cluster;
    std::unique_ptr<apply::Alarms> alarms;
    std::unique_ptr<apply::Applier> applier;
  };
  // One of the two.
  struct ToApply {
    raft::EntryRef entry;
    raft::SnapshotRef snapshot;
  };
  struct Read {
    etcdserverpb::RangeRequest request;
    ReadDone done;
    std::function<void()> then;  // Instead of a range.
  };

  explicit Process(Machine* machine);
  Status open_state();
  Status open_log();
  Result<std::unique_ptr<wal::Wal>> open_wal(wal::RecoverySink* sink);
  Status make_replica(uint64_t applied, std::unique_ptr<raft::MemoryLog> log);
  Status found(wal::Wal* wal) const;
  apply::Hooks hooks();
  void after(Micros delay, std::function<void()> action);
  void tick();
  void chores();
  void work();
  void fail(const Status& status);
  void was_persisted(uint64_t number);

  void schedule_apply();
  void apply_some();
  Status apply_entries(const std::vector<raft::EntryRef>& entries);
  void check_state(uint64_t index);
  void finish_reads();
  void answer(Read& read);
  void revoke_expired();
  void release_log();

  void mutate(raft::Message* message) const;
  void observe(const raft::Message& message) const;
  raft::SnapshotRef take_snapshot() const;
  void receive_snapshot(raft::Message message);
  void take_received(raft::Message message);
  Status switch_store(const raft::SnapshotRef& snapshot);

  void start_compaction(int64_t revision, bool resumed);
  void remove_next();
  void feed(const mvcc::EventBatch& batch);
  void catch_up_watchers();

  Machine* const machine_;
  Env* const env_;
  Oracle* const oracle_;
  const uint64_t life_;
  Random random_;
  std::unique_ptr<State> state_;
  std::unique_ptr<LogWriter> writer_;
  std::unique_ptr<replica::Replica> replica_;
  apply::WaitList waiters_;

  std::deque<ToApply> to_apply_;
  bool apply_scheduled_ = false;
  struct Submitted {
    uint64_t number;
    // Of the log, once the request is written.
    uint64_t last_index;
    uint64_t last_term;
  };
  std::deque<Submitted> submitted_;
  Submitted durable_{};
  uint64_t snapshot_submitted_ = 0;
  uint64_t committed_ = 0;

  uint64_t next_token_ = 1;
  std::map<uint64_t, Read> reads_;           // By token, until their index is known.
  std::multimap<uint64_t, Read> confirmed_;  // By index, until that is applied.
  uint64_t synced_ = 0;
  uint64_t released_ = 0;

  std::deque<std::pair<int64_t, bool>> compactions_;
  std::deque<std::unique_ptr<mvcc::Removal>> removals_;
  int64_t compaction_finished_ = mvcc::kNeverCompacted;
  std::vector<std::shared_ptr<Watcher>> watchers_;
  std::vector<raft::Message> held_back_;  // With a planted bug.
};

}  // namespace mortise::sim
