#include "host/peer/codec.h"

#include "host/wire/codec.h"

namespace mortise::peer {
namespace {

using raft::ConfState;
using raft::Entry;
using raft::Message;
using raft::MessageType;
using raft::Snapshot;
using wire::Field;
using wire::FieldReader;

// Field numbers of raftpb.Entry.
enum : uint32_t { kEntryType = 1, kEntryTerm = 2, kEntryIndex = 3, kEntryData = 4 };
// raftpb.Message.
enum : uint32_t {
  kType = 1,
  kTo = 2,
  kFrom = 3,
  kTerm = 4,
  kLogTerm = 5,
  kIndex = 6,
  kEntries = 7,
  kCommit = 8,
  kSnapshot = 9,
  kReject = 10,
  kRejectHint = 11,
  kContext = 12
};
// raftpb.Snapshot and its metadata.
enum : uint32_t { kData = 1, kMetadata = 2 };
enum : uint32_t { kMetaConfState = 1, kMetaIndex = 2, kMetaTerm = 3 };
// raftpb.ConfState.
enum : uint32_t { kVoters = 1, kLearners = 2, kOutgoing = 3, kLearnersNext = 4, kAutoLeave = 5 };

Status malformed(const char* what) { return invalid(std::string("malformed raftpb.") + what); }

bool is_wire_type(uint64_t number) {
  return (number >= static_cast<uint64_t>(MessageType::kProp) &&
          number <= static_cast<uint64_t>(MessageType::kHeartbeatResp)) ||
         (number >= static_cast<uint64_t>(MessageType::kTransferLeader) &&
          number <= static_cast<uint64_t>(MessageType::kPreVoteResp));
}

// Ids are repeated and not packed; a 0 in a list is written too.
void append_ids(uint32_t number, const std::vector<raft::NodeId>& ids, std::string* out) {
  char buffer[24];
  for (raft::NodeId id : ids) {
    char* end = wire::write_varint(wire::write_tag(buffer, number, wire::Type::kVarint), id);
    out->append(buffer, end - buffer);
  }
}

std::string encode_conf_state(const ConfState& state) {
  std::string out;
  append_ids(kVoters, state.voters, &out);
  append_ids(kLearners, state.learners, &out);
  append_ids(kOutgoing, state.voters_outgoing, &out);
  append_ids(kLearnersNext, state.learners_next, &out);
  wire::append_varint_field(&out, kAutoLeave, state.auto_leave ? 1 : 0);
  return out;
}

std::string encode_snapshot(const Snapshot& snapshot) {
  std::string metadata;
  wire::append_bytes_field(&metadata, kMetaConfState, encode_conf_state(snapshot.conf_state));
  wire::append_varint_field(&metadata, kMetaIndex, snapshot.index);
  wire::append_varint_field(&metadata, kMetaTerm, snapshot.term);
  std::string out;
  if (!snapshot.data.empty()) wire::append_bytes_field(&out, kData, snapshot.data);
  wire::append_bytes_field(&out, kMetadata, metadata);
  return out;
}

// One id, or several in the packed form, which protobuf lets a writer choose.
bool read_ids(const Field& field, std::vector<raft::NodeId>* ids) {
  if (field.type == wire::Type::kVarint) {
    ids->push_back(field.varint);
    return true;
  }
  if (field.type != wire::Type::kBytes) return true;
  uint64_t id = 0;
  int shift = 0;
  for (char c : field.bytes) {
    const auto byte = static_cast<uint8_t>(c);
    if (shift > 63 || (shift == 63 && byte > 1)) return false;
    id |= static_cast<uint64_t>(byte & 0x7f) << shift;
    shift += 7;
    if (byte >= 0x80) continue;
    ids->push_back(id);
    id = 0;
    shift = 0;
  }
  return shift == 0;
}

Status decode_conf_state(std::string_view bytes, ConfState* state) {
  FieldReader reader(bytes);
  Field field;
  bool good = true;
  while (reader.next(&field)) {
    switch (field.number) {
      case kVoters: good &= read_ids(field, &state->voters); break;
      case kLearners: good &= read_ids(field, &state->learners); break;
      case kOutgoing: good &= read_ids(field, &state->voters_outgoing); break;
      case kLearnersNext: good &= read_ids(field, &state->learners_next); break;
      default:
        if (field.is_varint(kAutoLeave)) state->auto_leave = field.varint != 0;
    }
  }
  return good && !reader.failed() ? Status() : malformed("ConfState");
}

Status decode_metadata(std::string_view bytes, Snapshot* snapshot) {
  FieldReader reader(bytes);
  Field field;
  while (reader.next(&field)) {
    if (field.is_bytes(kMetaConfState)) {
      MORTISE_RETURN_IF_ERROR(decode_conf_state(field.bytes, &snapshot->conf_state));
    } else if (field.is_varint(kMetaIndex)) {
      snapshot->index = field.varint;
    } else if (field.is_varint(kMetaTerm)) {
      snapshot->term = field.varint;
    }
  }
  return reader.failed() ? malformed("SnapshotMetadata") : Status();
}

// Null for one that says nothing.
Result<raft::SnapshotRef> decode_snapshot(std::string_view bytes) {
  auto snapshot = std::make_shared<Snapshot>();
  FieldReader reader(bytes);
  Field field;
  while (reader.next(&field)) {
    if (field.is_bytes(kData)) {
      snapshot->data.assign(field.bytes);
    } else if (field.is_bytes(kMetadata)) {
      MORTISE_RETURN_IF_ERROR(decode_metadata(field.bytes, snapshot.get()));
    }
  }
  if (reader.failed()) return malformed("Snapshot");
  if (snapshot->index == 0) return raft::SnapshotRef();
  return raft::SnapshotRef(std::move(snapshot));
}

void set_number(const Field& field, Message* message) {
  switch (field.number) {
    case kTo: message->to = field.varint; break;
    case kFrom: message->from = field.varint; break;
    case kTerm: message->term = field.varint; break;
    case kLogTerm: message->log_term = field.varint; break;
    case kIndex: message->index = field.varint; break;
    case kCommit: message->commit = field.varint; break;
    case kReject: message->reject = field.varint != 0; break;
    case kRejectHint: message->reject_hint = field.varint; break;
    default: break;
  }
}

Status set_bytes(const Field& field, Message* message) {
  if (field.number == kEntries) {
    MORTISE_ASSIGN_OR_RETURN(auto entry, decode_entry(field.bytes));
    message->entries.push_back(std::move(entry));
  } else if (field.number == kSnapshot) {
    MORTISE_ASSIGN_OR_RETURN(message->snapshot, decode_snapshot(field.bytes));
  } else if (field.number == kContext) {
    message->context.assign(field.bytes);
  }
  return {};
}

// Of all fields but entries and snapshot.
size_t scalars_size(const Message& m) {
  using wire::varint_field_size;
  return varint_field_size(kType, static_cast<uint64_t>(m.type)) + varint_field_size(kTo, m.to) +
         varint_field_size(kFrom, m.from) + varint_field_size(kTerm, m.term) +
         varint_field_size(kLogTerm, m.log_term) + varint_field_size(kIndex, m.index) +
         varint_field_size(kCommit, m.commit) + varint_field_size(kReject, m.reject ? 1 : 0) +
         varint_field_size(kRejectHint, m.reject_hint) +
         wire::optional_bytes_field_size(kContext, m.context.size());
}

constexpr size_t kNumbersBytesMax = 16 * 11;  // Tags and varints of one message or entry.

}  // namespace

size_t entry_size(const Entry& entry) {
  return wire::varint_field_size(kEntryType, static_cast<uint64_t>(entry.type)) +
         wire::varint_field_size(kEntryTerm, entry.term) +
         wire::varint_field_size(kEntryIndex, entry.index) +
         wire::optional_bytes_field_size(kEntryData, entry.data.size());
}

void append_entry_head(const Entry& entry, std::string* out) {
  char buffer[kNumbersBytesMax];
  char* p = wire::write_varint_field(buffer, kEntryType, static_cast<uint64_t>(entry.type));
  p = wire::write_varint_field(p, kEntryTerm, entry.term);
  p = wire::write_varint_field(p, kEntryIndex, entry.index);
  if (!entry.data.empty()) {
    p = wire::write_varint(wire::write_tag(p, kEntryData, wire::Type::kBytes), entry.data.size());
  }
  out->append(buffer, p - buffer);
}

void append_entry(const Entry& entry, std::string* out) {
  append_entry_head(entry, out);
  out->append(entry.data);
}

Result<raft::EntryRef> decode_entry(std::string_view bytes) {
  auto entry = std::make_shared<Entry>();
  FieldReader reader(bytes);
  Field field;
  while (reader.next(&field)) {
    if (field.is_varint(kEntryType)) {
      if (field.varint > static_cast<uint64_t>(raft::EntryType::kConfChangeV2)) {
        return invalid("raftpb.Entry of unknown type " + std::to_string(field.varint));
      }
      entry->type = static_cast<raft::EntryType>(field.varint);
    } else if (field.is_varint(kEntryTerm)) {
      entry->term = field.varint;
    } else if (field.is_varint(kEntryIndex)) {
      entry->index = field.varint;
    } else if (field.is_bytes(kEntryData)) {
      entry->data.assign(field.bytes);
    }
  }
  if (reader.failed()) return malformed("Entry");
  return raft::EntryRef(std::move(entry));
}

size_t message_size(const Message& message) {
  size_t size = scalars_size(message);
  for (const auto& entry : message.entries) {
    size += wire::bytes_field_size(kEntries, entry_size(*entry));
  }
  if (message.type == MessageType::kSnap && message.snapshot) {
    size += wire::bytes_field_size(kSnapshot, encode_snapshot(*message.snapshot).size());
  }
  return size;
}

void append_message(const Message& m, std::string* out) {
  char buffer[kNumbersBytesMax];
  char* p = wire::write_varint_field(buffer, kType, static_cast<uint64_t>(m.type));
  p = wire::write_varint_field(p, kTo, m.to);
  p = wire::write_varint_field(p, kFrom, m.from);
  p = wire::write_varint_field(p, kTerm, m.term);
  p = wire::write_varint_field(p, kLogTerm, m.log_term);
  p = wire::write_varint_field(p, kIndex, m.index);
  out->append(buffer, p - buffer);
  for (const auto& entry : m.entries) {
    wire::append_bytes_head(out, kEntries, entry_size(*entry));
    append_entry(*entry, out);
  }
  wire::append_varint_field(out, kCommit, m.commit);
  if (m.type == MessageType::kSnap && m.snapshot) {
    wire::append_bytes_field(out, kSnapshot, encode_snapshot(*m.snapshot));
  }
  wire::append_varint_field(out, kReject, m.reject ? 1 : 0);
  wire::append_varint_field(out, kRejectHint, m.reject_hint);
  if (!m.context.empty()) wire::append_bytes_field(out, kContext, m.context);
}

Result<Message> decode_message(std::string_view bytes) {
  Message message;
  FieldReader reader(bytes);
  Field field;
  uint64_t type = 0;
  while (reader.next(&field)) {
    if (field.is_varint(kType)) {
      type = field.varint;
    } else if (field.type == wire::Type::kVarint) {
      set_number(field, &message);
    } else if (field.type == wire::Type::kBytes) {
      MORTISE_RETURN_IF_ERROR(set_bytes(field, &message));
    }
  }
  if (reader.failed()) return malformed("Message");
  if (!is_wire_type(type)) {
    return invalid("raftpb.Message of type " + std::to_string(type) +
                   ", which is not for other members");
  }
  message.type = static_cast<MessageType>(type);
  if (message.type != MessageType::kSnap) message.snapshot = nullptr;
  return message;
}

bool is_link_heartbeat(const Message& message) {
  return message.type == MessageType::kHeartbeat && message.from == raft::kNoNode &&
         message.to == raft::kNoNode;
}

}  // namespace mortise::peer
