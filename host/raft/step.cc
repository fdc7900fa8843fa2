#include <utility>

#include "host/base/check.h"
#include "host/raft/machine.h"
#include "host/raft/membership_codec.h"

namespace mortise::raft {
namespace {

constexpr std::string_view kTransferContext = "CampaignTransfer";

Status malformed(const Message& message, const char* what) {
  return invalid(std::string("raft: malformed ") + to_string(message.type) + " from " +
                 std::to_string(message.from) + ": " + what);
}

bool is_forwarded(MessageType type) {
  return type == MessageType::kProp || type == MessageType::kReadIndex;
}

bool is_response(MessageType type) {
  return type == MessageType::kAppResp || type == MessageType::kVoteResp ||
         type == MessageType::kHeartbeatResp || type == MessageType::kPreVoteResp;
}

bool from_leader(MessageType type) {
  return type == MessageType::kApp || type == MessageType::kHeartbeat || type == MessageType::kSnap;
}

Status validate_append(const Message& message) {
  uint64_t index = message.index;
  uint64_t term = message.log_term;
  for (const EntryRef& entry : message.entries) {
    if (!entry || entry->index != ++index) return malformed(message, "entries not contiguous");
    if (entry->term < term || entry->term > message.term) {
      return malformed(message, "term of an entry out of order");
    }
    if (entry->type > EntryType::kConfChangeV2) return malformed(message, "unknown entry type");
    term = entry->term;
  }
  if (message.log_term > message.term) return malformed(message, "log term above term");
  return Status();
}

Status validate_proposal(const Message& message) {
  if (message.entries.empty()) return malformed(message, "no entries");
  for (const EntryRef& entry : message.entries) {
    if (!entry || entry->type > EntryType::kConfChangeV2) {
      return malformed(message, "unknown entry type");
    }
    if (entry->type == EntryType::kNormal) continue;
    const Result<MembershipChange> change = decode_membership(entry->type, entry->data);
    if (!change.ok()) return malformed(message, "membership change does not decode");
  }
  return Status();
}

Status validate_snapshot(const Message& message) {
  if (!message.snapshot || message.snapshot->index == 0) return malformed(message, "no snapshot");
  if (message.snapshot->term > message.term) return malformed(message, "snapshot term above term");
  const Result<ConfState> conf = normalize(message.snapshot->conf_state);
  if (!conf.ok()) return malformed(message, conf.status().message().c_str());
  if (conf.value().voters.empty()) return malformed(message, "snapshot without voters");
  return Status();
}

}  // namespace

Status Machine::validate(const Message& message) const {
  if (is_forwarded(message.type) != (message.term == 0) &&
      message.type != MessageType::kTransferLeader) {
    return malformed(message, "term");
  }
  switch (message.type) {
    case MessageType::kApp: return validate_append(message);
    case MessageType::kSnap: return validate_snapshot(message);
    case MessageType::kProp: return validate_proposal(message);
    case MessageType::kReadIndex:
    case MessageType::kReadIndexResp:
      if (message.entries.size() != 1 || !message.entries[0]) {
        return malformed(message, "not exactly one context");
      }
      return Status();
    case MessageType::kHeartbeat:
      // A leader tells a member only of entries that the member has acknowledged as durable.
      if (message.term >= term_ && message.commit > log_.last_index()) {
        return corruption("raft: the leader knows of durable entries up to " +
                          std::to_string(message.commit) + ", the log ends at " +
                          std::to_string(log_.last_index()) + "; part of it was lost");
      }
      return Status();
    case MessageType::kAppResp:
      if (role_ == Role::kLeader && message.term == term_ && !message.reject &&
          message.index > log_.last_index()) {
        return malformed(message, "acknowledges entries that were not sent");
      }
      return Status();
    case MessageType::kVote:
    case MessageType::kVoteResp:
    case MessageType::kPreVote:
    case MessageType::kPreVoteResp:
    case MessageType::kHeartbeatResp:
    case MessageType::kTransferLeader:
    case MessageType::kTimeoutNow: return Status();
  }
  return malformed(message, "unknown type");
}

Status Machine::step(Message message) {
  MORTISE_RETURN_IF_ERROR(validate(message));
  if (message.to != config_.id || message.from == config_.id || message.from == kNoNode) {
    return Status();
  }
  if (is_response(message.type) && !peers_.contains(message.from)) return Status();
  if (message.term != 0 && !settle_term(message)) return Status();
  return dispatch(message);
}

bool Machine::settle_term(const Message& message) {
  const MessageType type = message.type;
  const bool vote_request = type == MessageType::kVote || type == MessageType::kPreVote;
  if (message.term > term_) {
    // Who has heard from a leader lately does not help to depose it, unless the leader wants it so.
    const bool in_lease =
        config_.check_quorum && leader_ != kNoNode && election_elapsed_ < config_.election_ticks;
    if (vote_request && in_lease && message.context != kTransferContext) return false;
    // A pre-vote asks about a term that has not begun; so does the answer that grants it.
    if (type == MessageType::kPreVote) return true;
    if (type == MessageType::kPreVoteResp && !message.reject) return true;
    become_follower(message.term, from_leader(type) ? message.from : kNoNode);
    return true;
  }
  if (message.term == term_) return true;
  if ((config_.check_quorum || config_.pre_vote) &&
      (type == MessageType::kHeartbeat || type == MessageType::kApp)) {
    // A leader of an older term would never learn of the newer one from members that ignore vote
    // requests; the answer's term tells it.
    Message reply;
    reply.type = MessageType::kAppResp;
    reply.to = message.from;
    send(std::move(reply));
  } else if (type == MessageType::kPreVote) {
    // Answered, so that a candidate with a shorter log and a newer term cannot be stuck for good.
    Message reply;
    reply.type = MessageType::kPreVoteResp;
    reply.to = message.from;
    reply.term = term_;
    reply.reject = true;
    send(std::move(reply));
  }
  return false;
}

Status Machine::dispatch(Message& message) {
  if (message.type == MessageType::kVote || message.type == MessageType::kPreVote) {
    handle_vote_request(message);
    return Status();
  }
  if (role_ == Role::kLeader) return step_leader(message);
  if (is_forwarded(message.type) || message.type == MessageType::kTransferLeader) {
    return forward(std::move(message));
  }
  step_follower_or_candidate(message);
  return Status();
}

Status Machine::step_leader(Message& message) {
  switch (message.type) {
    case MessageType::kProp: return propose_entries(message.entries);
    case MessageType::kReadIndex: return take_read(message.from, message.entries[0]->data);
    case MessageType::kAppResp: handle_append_response(message); break;
    case MessageType::kHeartbeatResp: handle_heartbeat_response(message); break;
    case MessageType::kTransferLeader: handle_transfer(message.from); break;
    // Two leaders in one term cannot be, and a vote that comes late changes nothing.
    default: break;
  }
  return Status();
}

void Machine::follow(const Message& message) {
  if (role_ != Role::kFollower) {
    become_follower(term_, message.from);
  } else {
    election_elapsed_ = 0;
    leader_ = message.from;
  }
}

void Machine::step_follower_or_candidate(Message& message) {
  switch (message.type) {
    case MessageType::kApp:
      follow(message);
      handle_append(message);
      break;
    case MessageType::kHeartbeat:
      follow(message);
      handle_heartbeat(message);
      break;
    case MessageType::kSnap:
      follow(message);
      handle_snapshot(message);
      break;
    case MessageType::kVoteResp:
    case MessageType::kPreVoteResp: handle_vote_response(message); break;
    case MessageType::kTimeoutNow: handle_timeout_now(); break;
    case MessageType::kReadIndexResp: handle_read_response(message); break;
    default: break;
  }
}

Status Machine::forward(Message message) {
  if (leader_ == kNoNode) return Status(StatusCode::kDropped, "raft: no leader");
  message.to = leader_;
  message.term = 0;
  send(std::move(message));
  return Status();
}

void Machine::send(Message message) {
  if (message.from == kNoNode) message.from = config_.id;
  MORTISE_CHECK(message.to != config_.id && message.to != kNoNode,
                std::string("message without addressee: ") + to_string(message.type));
  const MessageType type = message.type;
  const bool vote = type == MessageType::kVote || type == MessageType::kPreVote ||
                    type == MessageType::kVoteResp || type == MessageType::kPreVoteResp;
  MORTISE_CHECK(vote == (message.term != 0), "only vote messages choose their term");
  if (!vote && !is_forwarded(type)) message.term = term_;
  // These promise a vote or an entry; they must not overtake the write of it.
  const bool promise = type == MessageType::kAppResp || type == MessageType::kVoteResp ||
                       type == MessageType::kPreVoteResp;
  (promise ? messages_after_persist_ : messages_).push_back(std::move(message));
}

}  // namespace mortise::raft
