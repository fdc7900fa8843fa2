#include "host/rpc/header.h"

#include "host/wire/codec.h"

namespace mortise::rpc {
namespace {

char* write_header(char* p, const Header& header) {
  size_t size = wire::varint_field_size(1, header.cluster_id) +
                wire::varint_field_size(2, header.member_id) +
                wire::varint_field_size(3, static_cast<uint64_t>(header.revision)) +
                wire::varint_field_size(4, header.raft_term);
  p = wire::write_varint(wire::write_tag(p, 1, wire::Type::kBytes), size);
  p = wire::write_varint_field(p, 1, header.cluster_id);
  p = wire::write_varint_field(p, 2, header.member_id);
  p = wire::write_varint_field(p, 3, static_cast<uint64_t>(header.revision));
  return wire::write_varint_field(p, 4, header.raft_term);
}

}  // namespace

void append_header(const Header& header, ByteBuffer* out) {
  char* start = out->prepare(kHeaderFieldBytesMax);
  out->commit(static_cast<size_t>(write_header(start, header) - start));
}

void append_header(const Header& header, std::string* out) {
  char buffer[kHeaderFieldBytesMax];
  out->append(buffer, static_cast<size_t>(write_header(buffer, header) - buffer));
}

}  // namespace mortise::rpc
