// The raft state machine of one member, without thread, clock, file, socket or global. Equal calls
// in equal order, with equal seed and log, give equal outputs.
//
// The caller (the host's raft thread) calls step() and tick() as events come; while has_ready(), it
// takes ready() and then:
//   1. Sends `messages` at any time; they promise nothing about local durability.
//   2. Writes snapshot, entries, hard_state to the WAL in order of `number` (writing entry i drops
//   any
//      older entry >= i), syncs if must_sync, puts them into the LogView, and calls
//      advance({.persisted = number}). A Ready without writes may be acknowledged together with a
//      later one, never before an earlier one.
//   3. Only then (earlier Readys written too) sends `messages_after_persist`, which promise that
//   write.
//   4. Applies `snapshot`, then `committed` in order, with apply_membership() for each membership
//      entry, and calls advance({.applied = last index}). Steps 2 and 4 of different Readys may
//      overlap, and several Readys may be in flight; a later Ready never repeats what an earlier
//      gave.
//
// Example, one voter: campaign() gives Ready 1 {hard_state term 2, vote 1}; advance({.persisted =
// 1}) makes it leader and Ready 2 holds its empty entry; advance({.persisted = 2}) commits that,
// and Ready 3 holds hard_state with the commit index, and the entry in `committed`.
//
// Threads: compatible; one thread calls it. Ownership: the LogView outlives the Core; a Ready is
// the caller's. Errors: Status, and then nothing was changed. Invariants, checked in every build:
//   1. applied <= committed <= last index;   2. the term never decreases;   3. one vote per term;
//   4. committed entries never change;      5. no entry is given out to apply before it is durable.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "host/base/status.h"
#include "host/raft/log_view.h"
#include "host/raft/types.h"

namespace mortise::raft {

class Machine;

enum class ProgressState : uint8_t { kProbe, kReplicate, kSnapshot };

// What the leader knows of one member.
struct PeerInspection {
  NodeId id = kNoNode;
  uint64_t match = 0;  // The highest index known to be durable there.
  uint64_t next = 0;   // The next index to send.
  ProgressState state = ProgressState::kProbe;
  uint64_t pending_snapshot = 0;  // Index of the snapshot on its way, 0 if none.
  uint32_t inflight_messages = 0;
  bool recent_active = false;
  bool learner = false;
  bool paused = false;
};

// A copy of the state that is cheap to make; for the server's status and its leader checks.
struct BasicState {
  NodeId id = kNoNode;
  uint64_t term = 0;
  NodeId vote = kNoNode;
  NodeId leader = kNoNode;
  Role role = Role::kFollower;
  NodeId transferee = kNoNode;  // To whom leadership is moving.
  uint64_t committed = 0;
  uint64_t applied = 0;
  uint64_t applying = 0;  // The last index given out to apply.
  uint64_t last_index = 0;
  uint64_t durable_index = 0;  // The last index acknowledged as persisted.
  bool learner = false;
};

struct Inspection {
  BasicState basic;
  ConfState conf_state;
  uint64_t uncommitted_bytes = 0;
  uint64_t unapplied_bytes = 0;
  uint32_t pending_reads = 0;
  uint64_t readys_in_flight = 0;
  std::vector<PeerInspection> peers;  // By id. Empty unless leader.
};

class Core {
 public:
  // Starts as a follower of the log's hard state. `seed` drives all jitter. kInvalid: a bad Config;
  // kCorruption: the log, its hard state, its ConfState and Config::applied do not fit together.
  static Result<Core> create(const Config& config, const LogView& log, uint64_t seed);
  Core(Core&&) noexcept;
  Core& operator=(Core&&) noexcept;
  ~Core();

  // Handles one peer message. Stale or misaddressed ones are ignored without error. kInvalid:
  // malformed. kCorruption: it proves that this member has lost part of its log.
  [[nodiscard]] Status step(Message message);
  void tick();  // Logical time moves by one; Config counts its timeouts in ticks.

  // Starts an election at once (a pre-vote first, if configured). Without effect on a leader.
  // kDropped, with the reason: not a voter, or committed membership changes are not yet applied.
  [[nodiscard]] Status campaign();

  // Appends if leader, forwards otherwise. Acceptance is no promise of commit. kDropped: no leader,
  // leadership moving, or over Config::uncommitted_bytes_max; `data` is then untouched. `data` must
  // not be empty (kInvalid).
  [[nodiscard]] Status propose(std::string&& data);
  // All or none, in order; the strings are moved from.
  [[nodiscard]] Status propose(std::span<std::string> batch);
  // As propose(). A change that is not allowed now (another is not yet applied) becomes an empty
  // normal entry, as in etcd: the proposer does not see its change come back, and times out.
  [[nodiscard]] Status propose_membership(const MembershipChange& change);

  // Asks for an index such that a state machine that has applied it gives linearizable reads from
  // now on; the answer is a ReadState with the token. Can get lost with the leader: callers repeat.
  // kDropped: no leader, or Config::pending_reads_max waiting.
  [[nodiscard]] Status read_index(ReadToken token);

  // Moves leadership to a voter; forwarded if not leader. kDropped: no leader. Gives up by itself
  // after one election timeout. Proposals are dropped meanwhile.
  [[nodiscard]] Status transfer_leadership(NodeId to);

  // The transport's news on a peer: a message to it was lost; a snapshot to it was sent or failed.
  void report_unreachable(NodeId peer);
  void report_snapshot(NodeId peer, bool sent);

  [[nodiscard]] bool has_ready() const;
  [[nodiscard]] Ready ready();  // REQUIRES: has_ready(). Each entry and message once.
  // REQUIRES: neither decreases; both were handed out.
  void advance(const Progress& progress);
  // To be called for each membership entry as it is applied, before advance({.applied}) covers it;
  // a change that the state machine refuses is passed with node = kNoNode. Returns the new
  // membership, to be stored with the applied index. kInvalid: it makes no sense (no voter left,
  // two voters at once without joint, ...); the caller can only stop.
  [[nodiscard]] Result<ConfState> apply_membership(const MembershipChange& change);

  [[nodiscard]] BasicState basic() const;
  [[nodiscard]] Inspection inspect() const;  // For tests, metrics and traces.

 private:
  explicit Core(std::unique_ptr<Machine> machine);
  std::unique_ptr<Machine> machine_;
};

}  // namespace mortise::raft
