#include "host/wire/codec.h"
#include "host/lease/lessor.h"

namespace mortise::lease {
namespace {

std::string id_bytes(uint64_t id) {
  id = __builtin_bswap64(id);
  return std::string(reinterpret_cast<const char*>(&id), 8);
}

}  // namespace

std::string encode_lease(const LeaseRecord& lease) {
  std::string out;
  wire::append_varint_field(&out, 1, static_cast<uint64_t>(lease.id));
  wire::append_varint_field(&out, 2, static_cast<uint64_t>(lease.ttl));
  wire::append_varint_field(&out, 3, static_cast<uint64_t>(lease.remaining_ttl));
  return out;
}

bool decode_lease(std::string_view bytes, LeaseRecord* lease) {
  *lease = LeaseRecord();
  wire::FieldReader reader(bytes);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) lease->id = static_cast<int64_t>(f.varint);
    if (f.is_varint(2)) lease->ttl = static_cast<int64_t>(f.varint);
    if (f.is_varint(3)) lease->remaining_ttl = static_cast<int64_t>(f.varint);
  }
  return !reader.failed();
}

std::string encode_checkpoints(const std::vector<LeaseRecord>& leases) {
  std::string out, checkpoint;
  for (const LeaseRecord& lease : leases) {
    checkpoint.clear();
    wire::append_varint_field(&checkpoint, 1, static_cast<uint64_t>(lease.id));
    wire::append_varint_field(&checkpoint, 2, static_cast<uint64_t>(lease.remaining_ttl));
    wire::append_bytes_field(&out, 1, checkpoint);
  }
  return out;
}

bool decode_checkpoints(std::string_view bytes, std::vector<LeaseRecord>* leases) {
  wire::FieldReader reader(bytes);
  wire::Field f;
  while (reader.next(&f)) {
    if (!f.is_bytes(1)) continue;
    LeaseRecord& lease = leases->emplace_back();
    wire::FieldReader checkpoint(f.bytes);
    wire::Field part;
    while (checkpoint.next(&part)) {
      if (part.is_varint(1)) lease.id = static_cast<int64_t>(part.varint);
      if (part.is_varint(2)) lease.remaining_ttl = static_cast<int64_t>(part.varint);
    }
    if (checkpoint.failed()) return false;
  }
  return !reader.failed();
}

std::string lease_row(int64_t id) { return id_bytes(static_cast<uint64_t>(id)); }

Status attached_keys(const store::Reader& reader, int64_t id,
                     const std::function<void(std::string_view)>& visit) {
  MORTISE_ASSIGN_OR_RETURN(auto cursor, reader.cursor(store::kLeaseKeys, MORTISE_CURSOR_KEYS_ONLY));
  auto unsigned_id = static_cast<uint64_t>(id);
  std::string upper = unsigned_id == UINT64_MAX ? std::string() : id_bytes(unsigned_id + 1);
  MORTISE_RETURN_IF_ERROR(cursor.seek(id_bytes(unsigned_id), upper));
  std::string_view row, value;
  while (cursor.next(&row, &value)) visit(row.substr(8));
  return cursor.status();
}

}  // namespace mortise::lease
