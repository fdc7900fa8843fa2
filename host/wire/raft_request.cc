#include "host/wire/raft_request.h"

namespace mortise::wire {
namespace {

// Field 2 of an etcdserverpb.Request; as a message it would be malformed.
bool is_v2_method(std::string_view bytes) {
  constexpr std::string_view kMethods[] = {"GET", "HEAD", "PUT", "POST", "DELETE", "QGET", "SYNC"};
  for (std::string_view method : kMethods) {
    if (bytes == method) return true;
  }
  return false;
}

bool decode_bare_v2(std::string_view bytes, RaftRequest* out) {
  *out = RaftRequest();
  FieldReader reader(bytes);
  Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) out->id = f.varint;
  }
  out->field = kRaftV2;
  out->request = bytes;
  return !reader.failed();
}

}  // namespace

bool decode(std::string_view bytes, RaftRequest* out) {
  *out = RaftRequest();
  FieldReader reader(bytes);
  Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) {
      if (out->id == 0) out->id = f.varint;  // The place of the id before there was a header.
    } else if (f.is_bytes(kRaftHeader)) {
      FieldReader header(f.bytes);
      Field h;
      while (header.next(&h)) {
        if (h.is_varint(1)) out->id = h.varint;
        if (h.is_bytes(2)) out->username = h.bytes;
        if (h.is_varint(3)) out->auth_revision = h.varint;
      }
      if (header.failed()) return false;
    } else if (f.is_bytes(kRaftV2) && is_v2_method(f.bytes)) {
      return decode_bare_v2(bytes, out);
    } else if (f.type == Type::kBytes) {
      out->field = f.number;
      out->request = f.bytes;
    }
  }
  return !reader.failed();
}

std::string encode_raft_request(uint64_t id, uint32_t field, std::string_view request,
                                const Author& author) {
  size_t header_size = varint_field_size(1, id) + optional_bytes_field_size(2, author.user.size()) +
                       varint_field_size(3, author.auth_revision);
  std::string out;
  out.resize(bytes_field_size(field, request.size()) + bytes_field_size(kRaftHeader, header_size));
  char* p = write_bytes_field(out.data(), field, request);
  p = write_varint(write_tag(p, kRaftHeader, Type::kBytes), header_size);
  p = write_varint_field(p, 1, id);
  p = write_optional_bytes_field(p, 2, author.user);
  write_varint_field(p, 3, author.auth_revision);
  return out;
}

}  // namespace mortise::wire
