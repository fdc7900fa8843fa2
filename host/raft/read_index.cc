#include <algorithm>
#include <utility>

#include "host/raft/machine.h"

namespace mortise::raft {
namespace {

constexpr size_t kTokenBytes = 8;

std::string encode_token(ReadToken token) {
  std::string out(kTokenBytes, '\0');
  for (size_t i = 0; i < kTokenBytes; ++i) out[i] = static_cast<char>(token >> (56 - 8 * i));
  return out;
}

bool decode_token(std::string_view bytes, ReadToken* out) {
  if (bytes.size() != kTokenBytes) return false;
  *out = 0;
  for (const char byte : bytes) *out = *out << 8 | static_cast<unsigned char>(byte);
  return true;
}

}  // namespace

Status Machine::read_index(ReadToken token) {
  if (role_ == Role::kLeader) return take_read(config_.id, encode_token(token));
  Message message;
  message.type = MessageType::kReadIndex;
  message.entries.push_back(
      std::make_shared<const Entry>(Entry{0, 0, EntryType::kNormal, encode_token(token)}));
  return forward(std::move(message));
}

Status Machine::take_read(NodeId from, std::string context) {
  if (pending_reads_.size() + unconfirmed_reads_.size() >= config_.pending_reads_max) {
    return Status(StatusCode::kDropped, "raft: too many reads waiting");
  }
  ReadRequest request{from, std::move(context), 0};
  // Until an entry of its own term is committed, a leader does not know what was committed before.
  if (!committed_in_term()) {
    pending_reads_.push_back(std::move(request));
  } else {
    start_read(std::move(request));
  }
  return Status();
}

void Machine::start_read(ReadRequest request) {
  if (is_singleton(conf_) && contains(conf_.voters, config_.id)) {
    answer_read(request, log_.committed());
    return;
  }
  request.index = log_.committed();
  unconfirmed_reads_.push_back(std::move(request));
  read_acks_[config_.id] = confirmed_reads_ + unconfirmed_reads_.size();
  heartbeat_due_ = true;
}

void Machine::answer_read(const ReadRequest& request, uint64_t index) {
  if (request.from == config_.id) {
    ReadToken token = 0;
    if (decode_token(request.context, &token)) read_states_.push_back({index, token});
    return;
  }
  Message reply;
  reply.type = MessageType::kReadIndexResp;
  reply.to = request.from;
  reply.index = index;
  reply.entries.push_back(
      std::make_shared<const Entry>(Entry{0, 0, EntryType::kNormal, request.context}));
  send(std::move(reply));
}

void Machine::release_pending_reads() {
  if (pending_reads_.empty() || !committed_in_term()) return;
  for (ReadRequest& request : std::exchange(pending_reads_, {})) start_read(std::move(request));
}

std::string Machine::heartbeat_context() const {
  if (unconfirmed_reads_.empty()) return {};
  const uint64_t position = confirmed_reads_ + unconfirmed_reads_.size();
  std::string out(8, '\0');
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<char>(position >> (8 * i));
  return out;
}

void Machine::acknowledge_reads(NodeId from, std::string_view context) {
  if (context.size() != 8) return;
  uint64_t position = 0;
  for (size_t i = 0; i < context.size(); ++i) {
    position |= static_cast<uint64_t>(static_cast<unsigned char>(context[i])) << (8 * i);
  }
  if (position > confirmed_reads_ + unconfirmed_reads_.size()) return;
  uint64_t& acknowledged = read_acks_[from];
  acknowledged = std::max(acknowledged, position);
  confirm_reads();
}

void Machine::confirm_reads() {
  if (unconfirmed_reads_.empty()) return;
  const uint64_t confirmed = quorum_value(conf_, [&](NodeId id) {
    const auto at = read_acks_.find(id);
    return at == read_acks_.end() ? 0 : at->second;
  });
  while (confirmed_reads_ < confirmed && !unconfirmed_reads_.empty()) {
    answer_read(unconfirmed_reads_.front(), unconfirmed_reads_.front().index);
    unconfirmed_reads_.pop_front();
    ++confirmed_reads_;
  }
}

void Machine::handle_read_response(const Message& message) {
  ReadToken token = 0;
  if (decode_token(message.entries[0]->data, &token)) {
    read_states_.push_back({message.index, token});
  }
}

void Machine::reset_reads() {
  pending_reads_.clear();
  unconfirmed_reads_.clear();
  confirmed_reads_ = 0;
  read_acks_.clear();
}

}  // namespace mortise::raft
