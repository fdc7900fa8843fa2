// The inside of Core: the state of one member and the rules of the algorithm. Core forwards to it;
// nobody else includes this. Its parts are spread over files by subject:
//   machine.cc      construction, proposals, the Ready protocol, membership changes
//   step.cc         checks of received messages, terms, dispatch by role
//   election.cc     ticks, roles, votes, check-quorum, leadership transfer
//   replication.cc  append, commit, heartbeats, snapshots, on both sides
//   read_index.cc   linearizable reads
//
// Messages that tell several members the same are not built at once: append_due_ and heartbeat_due_
// are set, and ready() builds them, so that all proposals and reads between two Readys share them.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/raft/core.h"
#include "host/raft/log.h"
#include "host/raft/membership.h"
#include "host/raft/progress.h"
#include "host/raft/random.h"

namespace mortise::raft {

class Machine {
 public:
  Machine(const Config& config, const LogView& view, const HardState& hard, ConfState conf,
          uint64_t seed);

  Status step(Message message);
  void tick();
  Status campaign();
  Status propose(std::string&& data);
  Status propose(std::span<std::string> batch);
  Status propose_membership(const MembershipChange& change);
  Status read_index(ReadToken token);
  Status transfer_leadership(NodeId to);
  void report_unreachable(NodeId peer);
  void report_snapshot(NodeId peer, bool sent);
  bool has_ready() const;
  Ready ready();
  void advance(const Progress& progress);
  Result<ConfState> apply_membership(const MembershipChange& change);
  BasicState basic() const;
  Inspection inspect() const;

 private:
  enum class Campaign : uint8_t { kPreElection, kElection, kTransfer };
  enum class AppendDue : uint8_t { kNone, kEntries, kCommit };
  struct ReadRequest {
    NodeId from;  // Who is to be answered; may be this member.
    std::string context;
    uint64_t index;
  };
  struct HardInFlight {
    uint64_t number;
    uint64_t term;
    NodeId vote;
  };

  // machine.cc
  Status may_append() const;
  Status reserve_uncommitted(uint64_t bytes);
  void append_own(EntryType type, std::string&& data);
  Status forward_proposal(std::vector<EntryRef> entries);
  Status propose_entries(const std::vector<EntryRef>& entries);
  bool may_change_membership(const MembershipChange& change) const;
  void persisted_to(uint64_t number);
  void applied_to(uint64_t index);
  void adopt_membership(ConfState conf);
  void check_invariants() const;

  // step.cc
  Status validate(const Message& message) const;
  // Handles terms; false if the message is done with.
  bool settle_term(const Message& message);
  Status dispatch(Message& message);
  Status step_leader(Message& message);
  void step_follower_or_candidate(Message& message);
  void follow(const Message& message);
  Status forward(Message message);
  void send(Message message);

  // election.cc
  void tick_election();
  void tick_leader();
  void check_quorum();
  bool promotable() const;
  Status hup(Campaign kind);
  void start_campaign(Campaign kind);
  void reset(uint64_t term);
  void become_follower(uint64_t term, NodeId leader);
  void become_leader();
  void vote_for(NodeId id);
  void poll(NodeId from, bool granted);
  void count_own_vote_if_durable();
  void handle_vote_request(const Message& message);
  void handle_vote_response(const Message& message);
  void handle_transfer(NodeId to);
  void handle_timeout_now();

  // replication.cc
  void flush_appends();
  bool maybe_send_append(NodeId to, PeerProgress& peer, bool send_if_empty);
  bool maybe_send_snapshot(NodeId to, PeerProgress& peer);
  void broadcast_heartbeat();
  bool maybe_commit();
  bool committed_in_term() const { return log_.matches(log_.committed(), term_); }
  void handle_append(const Message& message);
  void handle_append_response(const Message& message);
  void handle_append_rejected(const Message& message, PeerProgress& peer);
  void handle_heartbeat(const Message& message);
  void handle_heartbeat_response(const Message& message);
  void handle_snapshot(const Message& message);
  bool restore(const SnapshotRef& snapshot);

  // read_index.cc
  Status take_read(NodeId from, std::string context);
  void start_read(ReadRequest request);
  void answer_read(const ReadRequest& request, uint64_t index);
  void release_pending_reads();
  void acknowledge_reads(NodeId from, std::string_view context);
  void confirm_reads();
  std::string heartbeat_context() const;
  void handle_read_response(const Message& message);
  void reset_reads();

  const Config config_;
  Log log_;
  const LogView& view_;
  Random random_;

  uint64_t term_;
  NodeId vote_;
  NodeId leader_ = kNoNode;
  Role role_ = Role::kFollower;
  ConfState conf_;
  std::map<NodeId, PeerProgress> peers_;  // Every member of conf_, this one too.
  std::map<NodeId, bool> votes_;

  uint32_t election_elapsed_ = 0;
  uint32_t heartbeat_elapsed_ = 0;
  uint32_t election_timeout_ = 0;  // Drawn anew with every role.

  NodeId transferee_ = kNoNode;
  // No membership change is accepted while applied < pending_conf_index_.
  uint64_t pending_conf_index_ = 0;
  uint64_t uncommitted_bytes_ = 0;

  AppendDue append_due_ = AppendDue::kNone;
  bool heartbeat_due_ = false;

  // Reads wait in pending_reads_ for the leader's first commit, then in unconfirmed_reads_ for a
  // majority to acknowledge a heartbeat that was sent after them. Positions count reads since the
  // term began; a heartbeat carries the newest position.
  std::deque<ReadRequest> pending_reads_;
  std::deque<ReadRequest> unconfirmed_reads_;
  uint64_t confirmed_reads_ = 0;
  std::map<NodeId, uint64_t> read_acks_;
  std::vector<ReadState> read_states_;

  std::vector<Message> messages_;
  std::vector<Message> messages_after_persist_;

  SoftState handed_soft_;
  HardState handed_hard_;
  uint64_t next_number_ = 1;
  uint64_t persisted_number_ = 0;
  std::deque<HardInFlight> hard_in_flight_;
  uint64_t durable_term_;
  NodeId durable_vote_;
};

}  // namespace mortise::raft
