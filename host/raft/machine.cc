#include "host/raft/machine.h"

#include <algorithm>
#include <utility>

#include "host/base/check.h"
#include "host/raft/membership_codec.h"

namespace mortise::raft {
namespace {

Status dropped(std::string why) { return Status(StatusCode::kDropped, std::move(why)); }

}  // namespace

Machine::Machine(const Config& config, const LogView& view, const HardState& hard, ConfState conf,
                 uint64_t seed)
    : config_(config),
      log_(&view, hard.commit, config.applied),
      view_(view),
      random_(seed),
      term_(hard.term),
      vote_(hard.vote),
      handed_hard_(view.initial_hard_state()),
      durable_term_(hard.term),
      durable_vote_(hard.vote) {
  adopt_membership(std::move(conf));
  become_follower(term_, kNoNode);
}

// Proposals.

Status Machine::may_append() const {
  if (!peers_.contains(config_.id)) return dropped("raft: this leader was removed");
  if (transferee_ != kNoNode) return dropped("raft: leadership is moving");
  return Status();
}

Status Machine::reserve_uncommitted(uint64_t bytes) {
  // Any size passes when nothing is uncommitted, and empty entries always do: a new leader's first
  // entry and the one that leaves a joint membership must not be refused.
  if (bytes > 0 && uncommitted_bytes_ > 0 &&
      (uncommitted_bytes_ > config_.uncommitted_bytes_max ||
       bytes > config_.uncommitted_bytes_max - uncommitted_bytes_)) {
    return dropped("raft: too many bytes uncommitted");
  }
  uncommitted_bytes_ += bytes;
  return Status();
}

void Machine::append_own(EntryType type, std::string&& data) {
  log_.append(
      std::make_shared<const Entry>(Entry{term_, log_.last_index() + 1, type, std::move(data)}));
  if (peers_.size() > 1) append_due_ = std::max(append_due_, AppendDue::kEntries);
}

Status Machine::forward_proposal(std::vector<EntryRef> entries) {
  Message message;
  message.type = MessageType::kProp;
  message.entries = std::move(entries);
  return forward(std::move(message));
}

Status Machine::propose(std::string&& data) { return propose(std::span<std::string>(&data, 1)); }

Status Machine::propose(std::span<std::string> batch) {
  uint64_t bytes = 0;
  for (const std::string& data : batch) {
    if (data.empty()) return invalid("raft: a proposal must not be empty");
    bytes += data.size();
  }
  if (batch.empty()) return Status();
  if (role_ == Role::kLeader) {
    MORTISE_RETURN_IF_ERROR(may_append());
    MORTISE_RETURN_IF_ERROR(reserve_uncommitted(bytes));
    for (std::string& data : batch) append_own(EntryType::kNormal, std::move(data));
    return Status();
  }
  if (leader_ == kNoNode) return dropped("raft: no leader");
  std::vector<EntryRef> entries;
  entries.reserve(batch.size());
  for (std::string& data : batch) {
    entries.push_back(
        std::make_shared<const Entry>(Entry{0, 0, EntryType::kNormal, std::move(data)}));
  }
  return forward_proposal(std::move(entries));
}

Status Machine::propose_membership(const MembershipChange& change) {
  if (!change.v2 && change.changes.size() != 1) {
    return invalid("raft: a v1 membership change is one change exactly");
  }
  std::vector<EntryRef> entries{std::make_shared<const Entry>(
      Entry{0, 0, membership_entry_type(change), encode_membership(change)})};
  if (role_ == Role::kLeader) return propose_entries(entries);
  return forward_proposal(std::move(entries));
}

bool Machine::may_change_membership(const MembershipChange& change) const {
  // With everything before it applied, conf_ is what the change will find when it is applied; one
  // that makes no sense then must not get into the log.
  return pending_conf_index_ <= log_.applied() && changed(conf_, change).ok();
}

Status Machine::propose_entries(const std::vector<EntryRef>& entries) {
  MORTISE_RETURN_IF_ERROR(may_append());
  uint64_t bytes = 0;
  for (const EntryRef& entry : entries) bytes += entry->data.size();
  MORTISE_RETURN_IF_ERROR(reserve_uncommitted(bytes));
  for (const EntryRef& entry : entries) {
    if (entry->type == EntryType::kNormal) {
      append_own(entry->type, std::string(entry->data));
      continue;
    }
    const Result<MembershipChange> change = decode_membership(entry->type, entry->data);
    MORTISE_CHECK(change.ok(), "membership proposals are checked before");
    if (!may_change_membership(change.value())) {
      uncommitted_bytes_ -= entry->data.size();
      append_own(EntryType::kNormal, {});
      continue;
    }
    pending_conf_index_ = log_.last_index() + 1;
    append_own(entry->type, std::string(entry->data));
  }
  return Status();
}

// The Ready protocol.

bool Machine::has_ready() const {
  return handed_soft_ != SoftState{leader_, role_} ||
         handed_hard_ != HardState{term_, vote_, log_.committed()} || log_.has_unhanded() ||
         log_.has_committed_to_hand(config_.unapplied_bytes_max) || !messages_.empty() ||
         !messages_after_persist_.empty() || !read_states_.empty() || heartbeat_due_ ||
         append_due_ != AppendDue::kNone;
}

Ready Machine::ready() {
  MORTISE_CHECK(has_ready(), "ready() without has_ready()");
  if (heartbeat_due_) broadcast_heartbeat();
  flush_appends();
  Ready out;
  out.number = next_number_++;
  if (const SoftState soft{leader_, role_}; soft != handed_soft_) {
    out.soft_state = handed_soft_ = soft;
  }
  const HardState hard{term_, vote_, log_.committed()};
  if (hard != handed_hard_) {
    MORTISE_CHECK(hard.term >= handed_hard_.term && hard.commit >= handed_hard_.commit,
                  "hard state goes back");
    MORTISE_CHECK(hard.term > handed_hard_.term || handed_hard_.vote == kNoNode ||
                      hard.vote == handed_hard_.vote,
                  "second vote in a term");
    out.must_sync = hard.term != handed_hard_.term || hard.vote != handed_hard_.vote;
    if (out.must_sync) hard_in_flight_.push_back({out.number, hard.term, hard.vote});
    out.hard_state = handed_hard_ = hard;
  }
  out.snapshot = log_.hand_snapshot(out.number);
  out.entries = log_.hand_entries(out.number);
  out.must_sync = out.must_sync || out.snapshot || !out.entries.empty();
  uint64_t committed_bytes = 0;
  out.committed = log_.hand_committed(config_.unapplied_bytes_max, &committed_bytes);
  uncommitted_bytes_ -= std::min(uncommitted_bytes_, committed_bytes);
  out.messages = std::exchange(messages_, {});
  out.messages_after_persist = std::exchange(messages_after_persist_, {});
  out.read_states = std::exchange(read_states_, {});
  check_invariants();
  return out;
}

void Machine::advance(const Progress& progress) {
  if (progress.persisted) persisted_to(*progress.persisted);
  if (progress.applied) applied_to(*progress.applied);
  check_invariants();
}

void Machine::persisted_to(uint64_t number) {
  MORTISE_CHECK(number >= persisted_number_ && number < next_number_,
                "persisted Ready " + std::to_string(number) + " outside [" +
                    std::to_string(persisted_number_) + ", " + std::to_string(next_number_) + ")");
  persisted_number_ = number;
  log_.persisted_to(number);
  while (!hard_in_flight_.empty() && hard_in_flight_.front().number <= number) {
    durable_term_ = hard_in_flight_.front().term;
    durable_vote_ = hard_in_flight_.front().vote;
    hard_in_flight_.pop_front();
  }
  count_own_vote_if_durable();
  if (role_ != Role::kLeader) return;
  const auto self = peers_.find(config_.id);
  if (self != peers_.end() && self->second.update(log_.durable_index())) maybe_commit();
}

void Machine::applied_to(uint64_t index) {
  log_.applied_to(index);
  if (role_ == Role::kLeader && conf_.auto_leave && index >= pending_conf_index_ &&
      may_append().ok()) {
    // An empty v2 change leaves the joint membership. If it cannot be proposed now because
    // leadership is moving, the next applied entry or the next leader does it.
    pending_conf_index_ = log_.last_index() + 1;
    append_own(EntryType::kConfChangeV2, {});
  }
}

void Machine::check_invariants() const {
  MORTISE_CHECK(log_.applied() <= log_.applying() && log_.applying() <= log_.committed() &&
                    log_.committed() <= log_.last_index(),
                "applied " + std::to_string(log_.applied()) + ", applying " +
                    std::to_string(log_.applying()) + ", committed " +
                    std::to_string(log_.committed()) + ", last " +
                    std::to_string(log_.last_index()));
  MORTISE_CHECK(durable_term_ <= term_ && handed_hard_.term <= term_, "the term goes back");
}

// Membership.

Result<ConfState> Machine::apply_membership(const MembershipChange& change) {
  MORTISE_ASSIGN_OR_RETURN(ConfState next, changed(conf_, change));
  adopt_membership(std::move(next));
  return conf_;
}

void Machine::adopt_membership(ConfState conf) {
  conf_ = std::move(conf);
  const std::vector<NodeId> members = all_members(conf_);
  std::erase_if(peers_, [&](const auto& item) { return !contains(members, item.first); });
  for (const NodeId id : members) {
    const auto [at, is_new] =
        peers_.try_emplace(id, std::max<uint64_t>(log_.last_index(), 1), config_);
    // A member counts as active at first, or check-quorum might depose the leader that just added
    // it.
    if (is_new) at->second.recent_active = true;
  }
  if (role_ != Role::kLeader) return;
  if (!peers_.contains(config_.id) || contains(conf_.learners, config_.id)) {
    become_follower(term_, kNoNode);
    return;
  }
  if (transferee_ != kNoNode && !is_voter(conf_, transferee_)) transferee_ = kNoNode;
  if (!maybe_commit()) {
    // New members need not wait for the next proposal or heartbeat.
    for (auto& [id, peer] : peers_) {
      if (id != config_.id) maybe_send_append(id, peer, false);
    }
  }
  release_pending_reads();
  confirm_reads();
}

// Inspection.

BasicState Machine::basic() const {
  BasicState out;
  out.id = config_.id;
  out.term = term_;
  out.vote = vote_;
  out.leader = leader_;
  out.role = role_;
  out.transferee = transferee_;
  out.committed = log_.committed();
  out.applied = log_.applied();
  out.applying = log_.applying();
  out.last_index = log_.last_index();
  out.durable_index = log_.durable_index();
  out.learner = contains(conf_.learners, config_.id);
  return out;
}

Inspection Machine::inspect() const {
  Inspection out;
  out.basic = basic();
  out.conf_state = conf_;
  out.uncommitted_bytes = uncommitted_bytes_;
  out.unapplied_bytes = log_.unapplied_bytes();
  out.pending_reads = static_cast<uint32_t>(pending_reads_.size() + unconfirmed_reads_.size());
  out.readys_in_flight = next_number_ - 1 - persisted_number_;
  if (role_ != Role::kLeader) return out;
  out.peers.reserve(peers_.size());
  for (const auto& [id, peer] : peers_) {
    out.peers.push_back({id, peer.match, peer.next, peer.state, peer.pending_snapshot,
                         peer.inflights.count(), peer.recent_active, contains(conf_.learners, id),
                         peer.paused()});
  }
  return out;
}

}  // namespace mortise::raft
