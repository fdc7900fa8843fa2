#include "host/etcd_dir/raftpb.h"

#include "host/wire/codec.h"

namespace mortise::etcd_dir {
namespace {

// Written one by one, or packed.
bool add_ids(const wire::Field& field, uint32_t number, std::vector<raft::NodeId>* ids) {
  if (field.is_varint(number)) ids->push_back(field.varint);
  if (!field.is_bytes(number)) return true;
  size_t at = 0;
  while (at < field.bytes.size()) {
    uint64_t id = 0;
    for (int shift = 0;; shift += 7) {
      if (at == field.bytes.size() || shift > 63) return false;
      const auto byte = static_cast<uint8_t>(field.bytes[at++]);
      id |= uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0) break;
    }
    ids->push_back(id);
  }
  return true;
}

}  // namespace

bool decode_entry(std::string_view bytes, LogEntry* entry) {
  *entry = LogEntry();
  uint64_t type = 0;
  wire::FieldReader reader(bytes);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) type = f.varint;
    if (f.is_varint(2)) entry->term = f.varint;
    if (f.is_varint(3)) entry->index = f.varint;
    if (f.is_bytes(4)) entry->data = f.bytes;
  }
  if (type > static_cast<uint64_t>(raft::EntryType::kConfChangeV2)) return false;
  entry->type = static_cast<raft::EntryType>(type);
  return !reader.failed() && entry->index != 0;
}

bool decode_hard_state(std::string_view bytes, raft::HardState* state) {
  *state = raft::HardState();
  wire::FieldReader reader(bytes);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) state->term = f.varint;
    if (f.is_varint(2)) state->vote = f.varint;
    if (f.is_varint(3)) state->commit = f.varint;
  }
  return !reader.failed();
}

bool decode_conf_state(std::string_view bytes, raft::ConfState* state) {
  *state = raft::ConfState();
  wire::FieldReader reader(bytes);
  wire::Field f;
  while (reader.next(&f)) {
    if (!add_ids(f, 1, &state->voters) || !add_ids(f, 2, &state->learners) ||
        !add_ids(f, 3, &state->voters_outgoing) || !add_ids(f, 4, &state->learners_next)) {
      return false;
    }
    if (f.is_varint(5)) state->auto_leave = f.varint != 0;
  }
  return !reader.failed();
}

bool decode_snapshot_point(std::string_view bytes, SnapshotPoint* point) {
  *point = SnapshotPoint();
  wire::FieldReader reader(bytes);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) point->index = f.varint;
    if (f.is_varint(2)) point->term = f.varint;
    if (f.is_bytes(3) && !decode_conf_state(f.bytes, &point->conf_state.emplace())) return false;
  }
  return !reader.failed();
}

}  // namespace mortise::etcd_dir
