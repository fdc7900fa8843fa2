#include <algorithm>
#include <utility>

#include "host/base/check.h"
#include "host/raft/machine.h"

namespace mortise::raft {

// The leader's side.

void Machine::flush_appends() {
  const AppendDue due = std::exchange(append_due_, AppendDue::kNone);
  if (due == AppendDue::kNone || role_ != Role::kLeader) return;
  for (auto& [id, peer] : peers_) {
    if (id == config_.id) continue;
    const bool tell_commit = due == AppendDue::kCommit && peer.can_bump_commit(log_.committed());
    maybe_send_append(id, peer, tell_commit);
    while (maybe_send_append(id, peer, false)) {
    }
  }
}

bool Machine::maybe_send_append(NodeId to, PeerProgress& peer, bool send_if_empty) {
  if (peer.paused()) return false;
  const std::optional<uint64_t> previous_term = log_.term(peer.next - 1);
  if (!previous_term) return maybe_send_snapshot(to, peer);
  Message message;
  // With a full window only empty messages go out: if all of its messages were lost, the answer to
  // such a one is what frees the window.
  if (peer.state != ProgressState::kReplicate || !peer.inflights.full()) {
    if (!log_.entries(peer.next, log_.last_index() + 1, config_.message_entries_bytes_max,
                      &message.entries)) {
      return maybe_send_snapshot(to, peer);
    }
  }
  if (message.entries.empty() && !send_if_empty) return false;
  message.type = MessageType::kApp;
  message.to = to;
  message.index = peer.next - 1;
  message.log_term = *previous_term;
  message.commit = log_.committed();
  uint64_t bytes = 0;
  for (const EntryRef& entry : message.entries) bytes += entry->data.size();
  peer.sent_entries(message.entries.size(), bytes);
  peer.sent_commit = log_.committed();
  send(std::move(message));
  return true;
}

bool Machine::maybe_send_snapshot(NodeId to, PeerProgress& peer) {
  // To a member that does not answer it would be work for nothing.
  if (!peer.recent_active) return false;
  SnapshotRef snapshot = view_.snapshot();
  // A member refuses a snapshot of a membership that it is not in; a newer one will do.
  if (!snapshot || !contains(all_members(snapshot->conf_state), to)) return false;
  MORTISE_CHECK(snapshot->index + 1 >= log_.first_index(),
                "snapshot at " + std::to_string(snapshot->index) + " does not reach the log at " +
                    std::to_string(log_.first_index()));
  peer.become_snapshot(snapshot->index);
  Message message;
  message.type = MessageType::kSnap;
  message.to = to;
  message.snapshot = std::move(snapshot);
  send(std::move(message));
  return true;
}

void Machine::broadcast_heartbeat() {
  heartbeat_due_ = false;
  for (auto& [id, peer] : peers_) {
    if (id == config_.id) continue;
    Message message;
    message.type = MessageType::kHeartbeat;
    message.to = id;
    // Never beyond what the member has: it may lack entries it was sent, or have others.
    message.commit = std::min(peer.match, log_.committed());
    message.context = heartbeat_context();
    peer.sent_commit = message.commit;
    send(std::move(message));
  }
}

bool Machine::maybe_commit() {
  const uint64_t index = quorum_value(conf_, [&](NodeId id) { return peers_.at(id).match; });
  // Only an entry of the own term may be committed by counting; those before it follow.
  if (index <= log_.committed() || !log_.matches(index, term_)) return false;
  log_.commit_to(index);
  release_pending_reads();
  if (peers_.size() > 1) append_due_ = AppendDue::kCommit;
  return true;
}

void Machine::handle_append_response(const Message& message) {
  const auto at = peers_.find(message.from);
  if (at == peers_.end()) return;
  PeerProgress& peer = at->second;
  peer.recent_active = true;
  if (message.reject) {
    handle_append_rejected(message, peer);
    return;
  }
  const bool news = peer.update(message.index);
  if (!news && !(peer.match == message.index && peer.state == ProgressState::kProbe)) return;
  if (peer.state == ProgressState::kProbe) {
    peer.become_replicate();
  } else if (peer.state == ProgressState::kSnapshot) {
    // Whichever snapshot it was that the member got: the log can take over from here.
    if (peer.match + 1 >= log_.first_index()) peer.become_replicate();
  } else {
    peer.inflights.free_to(message.index);
  }
  // If the commit index has just moved, the next Ready tells everyone.
  if (!maybe_commit() && append_due_ != AppendDue::kCommit &&
      peer.can_bump_commit(log_.committed())) {
    maybe_send_append(message.from, peer, true);
  }
  while (maybe_send_append(message.from, peer, false)) {
  }
  if (message.from == transferee_ && peer.match == log_.last_index()) {
    Message timeout_now;
    timeout_now.type = MessageType::kTimeoutNow;
    timeout_now.to = message.from;
    send(std::move(timeout_now));
  }
}

void Machine::handle_append_rejected(const Message& message, PeerProgress& peer) {
  // The hint is the last place where the member's log might agree, seen from its side. Terms only
  // grow along a log, so a place where this log's term is above the hint's cannot agree either:
  //   index          1 2 3 4 5 6 7 8 9
  //   leader's term  1 3 3 3 5 5 5 5 5
  //   member's term  1 1 1 1 2 2          hint (6, term 2): the next try is at 1
  uint64_t next_try = message.reject_hint;
  if (message.log_term > 0) {
    next_try = log_.find_conflict(std::min(next_try, log_.last_index()), message.log_term).index;
  }
  if (!peer.decrease(message.index, next_try)) return;
  if (peer.state == ProgressState::kReplicate) peer.become_probe();
  maybe_send_append(message.from, peer, true);
}

void Machine::handle_heartbeat_response(const Message& message) {
  const auto at = peers_.find(message.from);
  if (at == peers_.end()) return;
  PeerProgress& peer = at->second;
  peer.recent_active = true;
  peer.flow_paused = false;
  if (peer.match < log_.last_index() || peer.state == ProgressState::kProbe) {
    maybe_send_append(message.from, peer, true);
  }
  acknowledge_reads(message.from, message.context);
}

void Machine::report_unreachable(NodeId id) {
  if (role_ != Role::kLeader || id == config_.id) return;
  const auto at = peers_.find(id);
  if (at == peers_.end()) return;
  // What was sent ahead is probably lost.
  if (at->second.state == ProgressState::kReplicate) at->second.become_probe();
}

void Machine::report_snapshot(NodeId id, bool sent) {
  if (role_ != Role::kLeader) return;
  const auto at = peers_.find(id);
  if (at == peers_.end() || at->second.state != ProgressState::kSnapshot) return;
  if (!sent) at->second.pending_snapshot = 0;
  at->second.become_probe();
  // Sent: its acknowledgement comes by itself. Failed: the next heartbeat's answer tries again.
  at->second.flow_paused = true;
}

// The follower's side.

void Machine::handle_append(const Message& message) {
  Message reply;
  reply.type = MessageType::kAppResp;
  reply.to = message.from;
  if (message.index < log_.committed()) {
    // Older than what is settled here; the leader needs to know no more than where that ends.
    reply.index = log_.committed();
  } else if (log_.matches(message.index, message.log_term)) {
    log_.merge(message.entries);
    const uint64_t last_new = message.index + message.entries.size();
    log_.commit_to(std::min(message.commit, last_new));
    reply.index = last_new;
  } else {
    const Log::Position hint =
        log_.find_conflict(std::min(message.index, log_.last_index()), message.log_term);
    reply.index = message.index;
    reply.reject = true;
    reply.reject_hint = hint.index;
    reply.log_term = hint.term;
  }
  send(std::move(reply));
}

void Machine::handle_heartbeat(const Message& message) {
  log_.commit_to(message.commit);
  Message reply;
  reply.type = MessageType::kHeartbeatResp;
  reply.to = message.from;
  reply.context = message.context;
  send(std::move(reply));
}

void Machine::handle_snapshot(const Message& message) {
  Message reply;
  reply.type = MessageType::kAppResp;
  reply.to = message.from;
  reply.index = restore(message.snapshot) ? log_.last_index() : log_.committed();
  send(std::move(reply));
}

bool Machine::restore(const SnapshotRef& snapshot) {
  if (snapshot->index <= log_.committed()) return false;
  Result<ConfState> conf = normalize(snapshot->conf_state);
  MORTISE_CHECK(conf.ok(), "snapshots are checked before");
  if (!contains(all_members(conf.value()), config_.id)) return false;
  if (log_.matches(snapshot->index, snapshot->term)) {
    // The log has it all; it was only not known to be committed.
    log_.commit_to(snapshot->index);
    return false;
  }
  log_.restore(snapshot);
  adopt_membership(std::move(conf).value());
  return true;
}

}  // namespace mortise::raft
