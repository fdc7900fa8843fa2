#include "host/peer/framing.h"

#include "host/peer/codec.h"

namespace mortise::peer {
namespace {

using raft::Message;
using raft::MessageType;

constexpr char kLinkHeartbeat = 0;
constexpr char kAppEntries = 1;
constexpr char kMsgApp = 2;

void append_framed(const Message& message, std::string* out) {
  append_big_endian(message_size(message), out);
  append_message(message, out);
}

}  // namespace

const char* to_string(StreamType type) {
  return type == StreamType::kMsgAppV2 ? "stream MsgApp v2" : "stream Message";
}

void append_big_endian(uint64_t value, std::string* out) {
  char bytes[8];
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (56 - 8 * i));
  out->append(bytes, sizeof bytes);
}

uint64_t read_big_endian(const char* bytes) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

void OutBatch::clear() {
  bytes_.clear();
  splices_.clear();
  spliced_bytes_ = 0;
}

void OutBatch::append_data(const raft::EntryRef& entry) {
  if (entry->data.size() < kSpliceBytesMin) {
    bytes_.append(entry->data);
    return;
  }
  splices_.push_back({bytes_.size(), entry});
  spliced_bytes_ += entry->data.size();
}

void OutBatch::pieces(std::vector<std::string_view>* out) const {
  out->clear();
  size_t from = 0;
  for (const Splice& splice : splices_) {
    if (splice.at > from) out->push_back(std::string_view(bytes_).substr(from, splice.at - from));
    out->push_back(splice.entry->data);
    from = splice.at;
  }
  if (from < bytes_.size()) out->push_back(std::string_view(bytes_).substr(from));
}

void StreamEncoder::encode(const Message& message, OutBatch* out) {
  if (type_ == StreamType::kMsgAppV2) return encode_msgapp(message, out);
  append_framed(message, out->bytes());
}

void StreamEncoder::encode_heartbeat(OutBatch* out) {
  if (type_ == StreamType::kMsgAppV2) {
    out->bytes()->push_back(kLinkHeartbeat);
    return;
  }
  Message heartbeat;
  heartbeat.type = MessageType::kHeartbeat;
  append_framed(heartbeat, out->bytes());
}

void StreamEncoder::encode_msgapp(const Message& m, OutBatch* out) {
  if (index_ != m.index || term_ != m.log_term || m.log_term != m.term) {
    out->bytes()->push_back(kMsgApp);
    append_framed(m, out->bytes());
    term_ = m.term;
    index_ = m.entries.empty() ? m.index : m.entries.back()->index;
    return;
  }
  out->bytes()->push_back(kAppEntries);
  append_big_endian(m.entries.size(), out->bytes());
  for (const auto& entry : m.entries) {
    append_big_endian(entry_size(*entry), out->bytes());
    append_entry_head(*entry, out->bytes());
    out->append_data(entry);
  }
  index_ += m.entries.size();
  append_big_endian(m.commit, out->bytes());
}

StreamDecoder::Next StreamDecoder::fail(Status error) {
  error_ = std::move(error);
  return Next::kBad;
}

// What is used up goes, so the buffer holds less than one message and what was just read.
StreamDecoder::Next StreamDecoder::more() {
  input_.erase(0, at_);
  at_ = 0;
  return Next::kMore;
}

bool StreamDecoder::take_number(uint64_t* value) {
  if (rest().size() < 8) return false;
  *value = read_big_endian(input_.data() + at_);
  at_ += 8;
  return true;
}

StreamDecoder::Next StreamDecoder::next(Message* message) {
  if (!error_.ok()) return Next::kBad;
  if (type_ == StreamType::kMessage) return next_frame(0, message);
  return next_msgapp(message);
}

// A length and a message behind `head` bytes.
StreamDecoder::Next StreamDecoder::next_frame(size_t head, Message* message) {
  std::string_view bytes = rest();
  if (bytes.size() < head + 8) return more();
  uint64_t size = read_big_endian(bytes.data() + head);
  if (size > kMessageBytesMax) return fail(invalid("rafthttp: error limit exceeded"));
  if (bytes.size() - head - 8 < size) return more();
  auto decoded = decode_message(bytes.substr(head + 8, size));
  if (!decoded.ok()) return fail(decoded.status());
  *message = std::move(decoded).value();
  at_ += head + 8 + size;
  return Next::kMessage;
}

StreamDecoder::Next StreamDecoder::next_msgapp(Message* message) {
  if (in_entries_) return next_entries(message);
  if (rest().empty()) return more();
  switch (rest().front()) {
    case kLinkHeartbeat:
      ++at_;
      *message = Message();
      message->type = MessageType::kHeartbeat;
      return Next::kMessage;
    case kAppEntries: {
      if (rest().size() < 9) return more();
      Next begun = begin_entries();
      return begun == Next::kBad ? begun : next_entries(message);
    }
    case kMsgApp: {
      Next result = next_frame(1, message);
      if (result != Next::kMessage) return result;
      term_ = message->term;
      index_ = message->entries.empty() ? message->index : message->entries.back()->index;
      return result;
    }
    default:
      return fail(invalid("failed to parse type " +
                          std::to_string(static_cast<uint8_t>(rest().front())) +
                          " in msgappv2 stream"));
  }
}

StreamDecoder::Next StreamDecoder::begin_entries() {
  ++at_;
  take_number(&entries_left_);
  // Each takes its length at least.
  if (entries_left_ > kMessageBytesMax / 8) return fail(invalid("rafthttp: error limit exceeded"));
  in_entries_ = true;
  entries_bytes_ = 0;
  partial_ = Message();
  partial_.type = MessageType::kApp;
  partial_.from = remote_;
  partial_.to = local_;
  partial_.term = term_;
  partial_.log_term = term_;
  partial_.index = index_;
  return Next::kMore;
}

StreamDecoder::Next StreamDecoder::next_entries(Message* message) {
  for (; entries_left_ > 0; --entries_left_) {
    std::string_view bytes = rest();
    if (bytes.size() < 8) return more();
    uint64_t size = read_big_endian(bytes.data());
    if (size > kMessageBytesMax - entries_bytes_) {
      return fail(invalid("rafthttp: error limit exceeded"));
    }
    if (bytes.size() - 8 < size) return more();
    auto entry = decode_entry(bytes.substr(8, size));
    if (!entry.ok()) return fail(entry.status());
    partial_.entries.push_back(std::move(entry).value());
    entries_bytes_ += 8 + size;
    if (entries_bytes_ > kMessageBytesMax) return fail(invalid("rafthttp: error limit exceeded"));
    ++index_;
    at_ += 8 + size;
  }
  if (!take_number(&partial_.commit)) return more();
  in_entries_ = false;
  *message = std::move(partial_);
  return Next::kMessage;
}

}  // namespace mortise::peer
