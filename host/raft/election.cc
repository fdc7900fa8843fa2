#include <utility>

#include "host/base/check.h"
#include "host/raft/machine.h"

namespace mortise::raft {

void Machine::tick() {
  if (role_ == Role::kLeader) {
    tick_leader();
  } else {
    tick_election();
  }
}

void Machine::tick_election() {
  ++election_elapsed_;
  if (!promotable() || election_elapsed_ < election_timeout_) return;
  election_elapsed_ = 0;
  // A refusal has a reason that passes; the next timeout tries again.
  (void)campaign().ok();
}

void Machine::tick_leader() {
  ++heartbeat_elapsed_;
  ++election_elapsed_;
  if (election_elapsed_ >= config_.election_ticks) {
    election_elapsed_ = 0;
    if (config_.check_quorum) check_quorum();
    transferee_ = kNoNode;
  }
  if (role_ != Role::kLeader) return;
  if (heartbeat_elapsed_ >= config_.heartbeat_ticks) {
    heartbeat_elapsed_ = 0;
    if (peers_.size() > 1) heartbeat_due_ = true;
  }
}

void Machine::check_quorum() {
  std::map<NodeId, bool> active;
  for (const auto& [id, peer] : peers_) active[id] = id == config_.id || peer.recent_active;
  if (tally(conf_, active) != VoteResult::kWon) {
    become_follower(term_, kNoNode);
    return;
  }
  for (auto& [id, peer] : peers_) peer.recent_active = id == config_.id;
}

bool Machine::promotable() const { return is_voter(conf_, config_.id) && !log_.snapshot_pending(); }

Status Machine::campaign() {
  return hup(config_.pre_vote ? Campaign::kPreElection : Campaign::kElection);
}

Status Machine::hup(Campaign kind) {
  if (role_ == Role::kLeader) return Status();
  if (!promotable()) {
    return Status(StatusCode::kDropped, "raft: not a voter that could lead");
  }
  // The membership of this member may be one that the cluster has left.
  if (log_.has_unapplied_membership()) {
    return Status(StatusCode::kDropped, "raft: membership changes are not yet applied");
  }
  start_campaign(kind);
  return Status();
}

void Machine::start_campaign(Campaign kind) {
  MORTISE_CHECK(role_ != Role::kLeader, "a leader campaigns");
  Message request;
  if (kind == Campaign::kPreElection) {
    // Changes nothing that lasts: neither term nor vote.
    votes_.clear();
    leader_ = kNoNode;
    role_ = Role::kPreCandidate;
    request.type = MessageType::kPreVote;
    request.term = term_ + 1;
  } else {
    reset(term_ + 1);
    vote_for(config_.id);
    role_ = Role::kCandidate;
    request.type = MessageType::kVote;
    request.term = term_;
    if (kind == Campaign::kTransfer) request.context = "CampaignTransfer";
  }
  request.index = log_.last_index();
  request.log_term = log_.last_term();
  for (const NodeId id : all_voters(conf_)) {
    if (id == config_.id) continue;
    request.to = id;
    send(request);
  }
  // An own pre-vote promises nothing and counts at once; an own vote counts once it is durable.
  if (kind == Campaign::kPreElection) poll(config_.id, true);
}

void Machine::reset(uint64_t term) {
  MORTISE_CHECK(term >= term_,
                "term goes from " + std::to_string(term_) + " back to " + std::to_string(term));
  if (term != term_) {
    term_ = term;
    vote_ = kNoNode;
  }
  leader_ = kNoNode;
  election_elapsed_ = 0;
  heartbeat_elapsed_ = 0;
  election_timeout_ =
      config_.election_ticks + static_cast<uint32_t>(random_.below(config_.election_ticks));
  transferee_ = kNoNode;
  votes_.clear();
  for (auto& [id, peer] : peers_) peer = PeerProgress(log_.last_index() + 1, config_);
  pending_conf_index_ = 0;
  uncommitted_bytes_ = 0;
  append_due_ = AppendDue::kNone;
  heartbeat_due_ = false;
  reset_reads();
}

void Machine::become_follower(uint64_t term, NodeId leader) {
  reset(term);
  leader_ = leader;
  role_ = Role::kFollower;
}

void Machine::become_leader() {
  MORTISE_CHECK(role_ == Role::kCandidate, "a leader that was no candidate");
  reset(term_);
  role_ = Role::kLeader;
  leader_ = config_.id;
  PeerProgress& self = peers_.at(config_.id);
  self.become_replicate();
  self.recent_active = true;
  self.update(log_.durable_index());
  // There may be a membership change among the entries not yet applied; looking is not worth it.
  pending_conf_index_ = log_.last_index();
  append_own(EntryType::kNormal, {});
}

void Machine::vote_for(NodeId id) {
  MORTISE_CHECK(vote_ == kNoNode || vote_ == id, "second vote in term " + std::to_string(term_) +
                                                     ": " + std::to_string(vote_) + ", " +
                                                     std::to_string(id));
  vote_ = id;
}

void Machine::poll(NodeId from, bool granted) {
  votes_.emplace(from, granted);
  switch (tally(conf_, votes_)) {
    case VoteResult::kWon:
      if (role_ == Role::kPreCandidate) {
        start_campaign(Campaign::kElection);
      } else {
        become_leader();
      }
      break;
    case VoteResult::kLost: become_follower(term_, kNoNode); break;
    case VoteResult::kPending: break;
  }
}

void Machine::count_own_vote_if_durable() {
  if (role_ == Role::kCandidate && durable_term_ == term_ && durable_vote_ == config_.id &&
      !votes_.contains(config_.id)) {
    poll(config_.id, true);
  }
}

void Machine::handle_vote_request(const Message& message) {
  const bool pre_vote = message.type == MessageType::kPreVote;
  const bool can_vote = vote_ == message.from || (vote_ == kNoNode && leader_ == kNoNode) ||
                        (pre_vote && message.term > term_);
  const bool granted = can_vote && log_.is_up_to_date(message.index, message.log_term);
  Message reply;
  reply.type = pre_vote ? MessageType::kPreVoteResp : MessageType::kVoteResp;
  reply.to = message.from;
  // A granted pre-vote answers in the term it was asked about, or the asker would take it as stale.
  reply.term = granted ? message.term : term_;
  reply.reject = !granted;
  send(std::move(reply));
  // A learner votes too if asked: the asker may know of a promotion that this member does not.
  if (granted && !pre_vote) {
    election_elapsed_ = 0;
    vote_for(message.from);
  }
}

void Machine::handle_vote_response(const Message& message) {
  const MessageType awaited =
      role_ == Role::kPreCandidate ? MessageType::kPreVoteResp : MessageType::kVoteResp;
  if (role_ == Role::kFollower || message.type != awaited) return;
  poll(message.from, !message.reject);
}

Status Machine::transfer_leadership(NodeId to) {
  if (role_ == Role::kLeader) {
    handle_transfer(to);
    return Status();
  }
  Message message;
  message.type = MessageType::kTransferLeader;
  message.from = to;
  if (leader_ == kNoNode) return Status(StatusCode::kDropped, "raft: no leader");
  message.to = leader_;
  send(std::move(message));
  return Status();
}

void Machine::handle_transfer(NodeId to) {
  const auto at = peers_.find(to);
  if (at == peers_.end() || contains(conf_.learners, to)) return;
  if (transferee_ == to) return;
  transferee_ = kNoNode;
  if (to == config_.id) return;
  // It has one election timeout to succeed.
  election_elapsed_ = 0;
  transferee_ = to;
  if (at->second.match == log_.last_index()) {
    Message message;
    message.type = MessageType::kTimeoutNow;
    message.to = to;
    send(std::move(message));
  } else {
    maybe_send_append(to, at->second, true);
  }
}

void Machine::handle_timeout_now() {
  if (role_ != Role::kFollower) return;
  // No pre-vote: the leader itself asks for it. If this member cannot, the leader's timeout ends
  // it.
  (void)hup(Campaign::kTransfer).ok();
}

}  // namespace mortise::raft
