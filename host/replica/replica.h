// One member's part in consensus, without threads, clocks and sockets: takes what comes in, gives
// it to the raft core, and carries out the core's Readys: writes for the log, messages for peers,
// and what is committed for the state machine.
//
// The server's RaftNode puts threads around it; the simulator calls it directly. After any inputs
// the caller calls work(), which carries out all Readys through the Surroundings. Messages that
// promise something durable wait here until persisted() has come for it; all others go out before
// the disk has done anything, so that followers write while the leader does.
//
// A snapshot from a leader: its mark goes to the log's writer, the log in memory begins anew behind
// it, and once the mark is persisted, install() tells the state machine, before any entry behind
// the snapshot is handed out. applied(snapshot index) says that it is there.
//
// A leader whose disk finishes nothing for an election timeout, while writes wait, asks the voter
// that has most of the log to take over, again after each further timeout.
//
// Threads: compatible; one at a time calls it. Ownership: owns core and log; borrows Surroundings,
// whose functions are called within calls of work(), tick() and persisted() and must not call back.
// Errors: work() fails if the writer does; the replica must not be used then.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "host/raft/core.h"
#include "host/raft/memory_log.h"
#include "host/wal/writer.h"

namespace mortise::replica {

// The log in memory: entries behind the applied index are kept for members that lag, up to
// Options::catchup_entries and kLogBytesMax; and more while a leader knows of active members or
// snapshots under way that will want them, up to kLogBytesForPeersMax.
constexpr uint64_t kLogBytesAloneMax = 8 << 20;
constexpr uint64_t kLogBytesMax = 64 << 20;
constexpr uint64_t kLogBytesForPeersMax = 512 << 20;
// Proposals that a follower forwards in one message.
constexpr uint64_t kForwardedBytesMax = 1 << 20;

struct Options {
  raft::Config core;
  uint64_t seed = 0;
  uint64_t catchup_entries = 5000;
};

class Surroundings {
 public:
  virtual ~Surroundings() = default;
  // Takes a write; persisted(number) answers it later. Must not wait for the disk.
  virtual Status submit(const wal::WriteRequest& request) = 0;
  // A newer commit index, to be written with the next write.
  virtual void defer_hard_state(const wal::HardState& state) = 0;
  // A message of type kSnap carries no data, only what the snapshot must be of.
  virtual void send(std::vector<raft::Message> messages) = 0;
  virtual void committed(std::vector<raft::EntryRef> entries) = 0;
  virtual void install(raft::SnapshotRef snapshot) = 0;
  virtual void read_states(const std::vector<raft::ReadState>& states) = 0;
  virtual void soft_state(const raft::SoftState& state, uint64_t term) = 0;
  // The disk of this leader stands still; `to` is asked to lead.
  virtual void disk_stalled(raft::NodeId to) = 0;
};

class Replica {
 public:
  // `log` holds what recovery found: entries from the applied index, hard state, membership.
  static Result<std::unique_ptr<Replica>> create(Options options,
                                                 std::unique_ptr<raft::MemoryLog> log,
                                                 Surroundings* surroundings);

  // Inputs, as the core's functions of the same name.
  Status step(raft::Message message) { return core_.step(std::move(message)); }
  void tick();
  Status campaign() { return core_.campaign(); }
  Status propose(std::string&& data) { return core_.propose(std::move(data)); }
  // All or none; on a follower in one message.
  Status propose(std::span<std::string> batch) { return core_.propose(batch); }
  Status propose_membership(const raft::MembershipChange& change) {
    return core_.propose_membership(change);
  }
  Status read_index(raft::ReadToken token) { return core_.read_index(token); }
  Status transfer_leadership(raft::NodeId to) { return core_.transfer_leadership(to); }
  void report_unreachable(raft::NodeId peer) { core_.report_unreachable(peer); }
  void report_snapshot(raft::NodeId peer, bool sent) { core_.report_snapshot(peer, sent); }

  // The writer's answer: everything submitted up to this number is durable.
  void persisted(uint64_t number);
  // Everything up to `index` is in the state machine.
  void applied(uint64_t index);
  // While a membership entry is applied, before applied() covers it.
  Result<raft::ConfState> apply_membership(const raft::MembershipChange& change);

  bool has_work() const { return core_.has_ready(); }
  Status work();

  raft::BasicState basic() const { return core_.basic(); }
  raft::Inspection inspect() const { return core_.inspect(); }
  // As of the last membership change applied.
  const raft::ConfState& conf_state() const { return conf_state_; }
  // Is this member alone, as voter and without learners?
  bool is_alone() const;
  const raft::MemoryLog& log() const { return *log_; }

 private:
  struct Promise {
    uint64_t number;
    std::vector<raft::Message> messages;
    raft::SnapshotRef snapshot;
  };

  Replica(Options options, std::unique_ptr<raft::MemoryLog> log, raft::Core core,
          Surroundings* surroundings);
  Status handle(raft::Ready ready);
  static void hold_vote_requests(raft::Ready* ready);
  static void leave_out_covered(std::vector<raft::Message>* messages);
  Status take_into_log(const raft::Ready& ready);
  Status write(const raft::Ready& ready);
  void acknowledge();
  void trim_log();
  uint64_t wanted_by_peers() const;
  void watch_disk();
  bool hand_over();

  const Options options_;
  Surroundings* const surroundings_;
  std::unique_ptr<raft::MemoryLog> log_;
  raft::Core core_;
  raft::ConfState conf_state_;

  uint64_t last_ready_ = 0;
  uint64_t last_written_ = 0;  // The newest Ready handed to the writer.
  uint64_t persisted_ = 0;     // By the writer.
  uint64_t acknowledged_ = 0;  // To the core.
  uint64_t applied_ = 0;
  std::deque<Promise> promises_;  // What waits for its Ready to be acknowledged.
  uint32_t ticks_without_disk_ = 0;
  std::vector<wal::EntryRecord> records_;
};

}  // namespace mortise::replica
