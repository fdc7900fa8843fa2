#include "host/replica/replica.h"

#include <algorithm>
#include <iterator>

namespace mortise::replica {

Result<std::unique_ptr<Replica>> Replica::create(Options options,
                                                 std::unique_ptr<raft::MemoryLog> log,
                                                 Surroundings* surroundings) {
  MORTISE_ASSIGN_OR_RETURN(auto core, raft::Core::create(options.core, *log, options.seed));
  return std::unique_ptr<Replica>(
      new Replica(std::move(options), std::move(log), std::move(core), surroundings));
}

Replica::Replica(Options options, std::unique_ptr<raft::MemoryLog> log, raft::Core core,
                 Surroundings* surroundings)
    : options_(std::move(options)),
      surroundings_(surroundings),
      log_(std::move(log)),
      core_(std::move(core)),
      conf_state_(log_->initial_conf_state()),
      applied_(options_.core.applied) {
  log_->offer_snapshots_at(applied_);
}

bool Replica::is_alone() const {
  return conf_state_.voters.size() == 1 && conf_state_.voters[0] == options_.core.id &&
         conf_state_.learners.empty() && conf_state_.voters_outgoing.empty();
}

void Replica::tick() {
  // First, because a tick may forget which members were active.
  watch_disk();
  core_.tick();
}

void Replica::persisted(uint64_t number) {
  persisted_ = std::max(persisted_, number);
  ticks_without_disk_ = 0;
  acknowledge();
}

void Replica::applied(uint64_t index) {
  if (index <= applied_) return;
  applied_ = index;
  core_.advance({.persisted = std::nullopt, .applied = applied_});
  log_->offer_snapshots_at(applied_);
  trim_log();
}

Result<raft::ConfState> Replica::apply_membership(const raft::MembershipChange& change) {
  auto result = core_.apply_membership(change);
  if (result.ok()) {
    conf_state_ = result.value();
    log_->set_conf_state(conf_state_);
  }
  return result;
}

Status Replica::work() {
  while (core_.has_ready()) MORTISE_RETURN_IF_ERROR(handle(core_.ready()));
  return Status();
}

Status Replica::handle(raft::Ready ready) {
  last_ready_ = ready.number;
  if (ready.soft_state) surroundings_->soft_state(*ready.soft_state, core_.basic().term);
  hold_vote_requests(&ready);
  if (!ready.messages.empty()) surroundings_->send(std::move(ready.messages));
  MORTISE_RETURN_IF_ERROR(take_into_log(ready));
  if (ready.has_writes()) MORTISE_RETURN_IF_ERROR(write(ready));
  if (!ready.messages_after_persist.empty() || ready.snapshot) {
    promises_.push_back({ready.number, std::move(ready.messages_after_persist), ready.snapshot});
  }
  acknowledge();
  if (!ready.committed.empty()) surroundings_->committed(std::move(ready.committed));
  if (!ready.read_states.empty()) surroundings_->read_states(ready.read_states);
  return Status();
}

// A vote is asked for with the log's end, which must not be lost afterwards: the grant may come
// when this member has been started anew.
void Replica::hold_vote_requests(raft::Ready* ready) {
  auto is_vote = [](const raft::Message& m) { return m.type == raft::MessageType::kVote; };
  for (raft::Message& message : ready->messages) {
    if (is_vote(message)) ready->messages_after_persist.push_back(message);
  }
  std::erase_if(ready->messages, is_vote);
}

Status Replica::take_into_log(const raft::Ready& ready) {
  if (ready.hard_state) log_->set_hard_state(*ready.hard_state);
  if (ready.snapshot) {
    log_->reset(ready.snapshot->index, ready.snapshot->term);
    conf_state_ = ready.snapshot->conf_state;
    log_->set_conf_state(conf_state_);
  }
  return log_->append(ready.entries);
}

Status Replica::write(const raft::Ready& ready) {
  wal::WriteRequest request;
  request.number = ready.number;
  request.must_sync = ready.must_sync;
  if (ready.hard_state) {
    request.hard_state =
        wal::HardState{ready.hard_state->term, ready.hard_state->vote, ready.hard_state->commit};
    if (!ready.must_sync) {
      // A newer commit index alone needs no sync: it goes with the next write.
      surroundings_->defer_hard_state(*request.hard_state);
      return Status();
    }
  }
  if (ready.snapshot) {
    request.snapshot = wal::SnapshotMark{ready.snapshot->index, ready.snapshot->term,
                                         /*replaces_log=*/true};
  }
  records_.clear();
  for (const raft::EntryRef& entry : ready.entries) {
    records_.push_back({entry->term, entry->index, static_cast<uint8_t>(entry->type), entry->data});
  }
  request.entries = records_;
  last_written_ = ready.number;
  return surroundings_->submit(request);
}

// One write made many entries durable: who sent them needs to know where they end, once.
void Replica::leave_out_covered(std::vector<raft::Message>* messages) {
  const raft::Message* next = nullptr;  // The last one that stays, of those that acknowledge.
  auto covered = [&](const raft::Message& message) {
    if (message.type != raft::MessageType::kAppResp || message.reject) return false;
    if (next != nullptr && next->to == message.to && next->term == message.term &&
        next->index >= message.index) {
      return true;
    }
    next = &message;
    return false;
  };
  std::vector<raft::Message> kept;
  std::vector<bool> leave(messages->size());
  for (size_t i = messages->size(); i-- > 0;) leave[i] = covered((*messages)[i]);
  for (size_t i = 0; i < messages->size(); ++i) {
    if (!leave[i]) kept.push_back(std::move((*messages)[i]));
  }
  *messages = std::move(kept);
}

// Readys without writes count as persisted when all writes before them are.
void Replica::acknowledge() {
  uint64_t number = persisted_ >= last_written_ ? last_ready_ : persisted_;
  if (number <= acknowledged_) return;
  acknowledged_ = number;
  std::vector<raft::Message> messages;
  for (; !promises_.empty() && promises_.front().number <= number; promises_.pop_front()) {
    Promise& promise = promises_.front();
    if (promise.snapshot) surroundings_->install(std::move(promise.snapshot));
    std::ranges::move(promise.messages, std::back_inserter(messages));
  }
  leave_out_covered(&messages);
  if (!messages.empty()) surroundings_->send(std::move(messages));
  core_.advance({.persisted = number, .applied = std::nullopt});
}

// The lowest index after which active members, and those that get a snapshot, will want entries.
uint64_t Replica::wanted_by_peers() const {
  uint64_t wanted = applied_;
  for (const raft::PeerInspection& peer : core_.inspect().peers) {
    if (peer.id == options_.core.id) continue;
    if (peer.state == raft::ProgressState::kSnapshot) {
      wanted = std::min(wanted, peer.pending_snapshot);
    } else if (peer.recent_active) {
      // One that has acknowledged nothing yet may lack some of what was there before the term.
      const uint64_t held =
          peer.match != 0 ? peer.match : peer.next - std::min(peer.next, options_.catchup_entries);
      wanted = std::min(wanted, held);
    }
  }
  return wanted;
}

void Replica::trim_log() {
  const uint64_t bytes_max = is_alone() ? kLogBytesAloneMax : kLogBytesMax;
  uint64_t keep_from =
      applied_ > options_.catchup_entries ? applied_ - options_.catchup_entries : 0;
  const bool over = log_->bytes() > bytes_max;
  if (!over && keep_from < log_->first_index() + options_.catchup_entries / 8) return;
  if (over) keep_from = applied_;
  if (log_->bytes() <= kLogBytesForPeersMax) keep_from = std::min(keep_from, wanted_by_peers());
  log_->compact(std::min(keep_from, log_->last_index()));
}

// Counted in ticks, so that a process that stood still itself does not take its disk for stalled.
void Replica::watch_disk() {
  if (persisted_ >= last_written_) {
    ticks_without_disk_ = 0;
    return;
  }
  if (++ticks_without_disk_ > options_.core.election_ticks && hand_over()) ticks_without_disk_ = 0;
}

// False if there is nobody to ask now.
bool Replica::hand_over() {
  const raft::BasicState basic = core_.basic();
  if (basic.role != raft::Role::kLeader || is_alone()) return false;
  raft::NodeId to = raft::kNoNode;
  uint64_t match = 0;
  for (const raft::PeerInspection& peer : core_.inspect().peers) {
    if (peer.id == basic.id || peer.learner || !peer.recent_active) continue;
    if (to != raft::kNoNode && peer.match <= match) continue;
    to = peer.id;
    match = peer.match;
  }
  if (to == raft::kNoNode || !core_.transfer_leadership(to).ok()) return false;
  surroundings_->disk_stalled(to);
  return true;
}

}  // namespace mortise::replica
