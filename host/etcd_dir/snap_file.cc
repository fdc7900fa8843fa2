#include "host/etcd_dir/snap_file.h"

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "host/base/crc32c.h"
#include "host/etcd_dir/raftpb.h"
#include "host/wire/codec.h"

namespace mortise::etcd_dir {
namespace {

Status malformed(const std::string& path) { return corruption(path + ": malformed"); }

Result<std::string> read_file(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) return errno_status(error.value(), "cannot read " + path);
  if (size > kSnapFileBytesMax) {
    return corruption(path + ": " + std::to_string(size) + " bytes are too many");
  }
  std::string bytes(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(bytes.data(), static_cast<std::streamsize>(size))) {
    return errno_status(errno, "cannot read " + path);
  }
  return bytes;
}

}  // namespace

std::string snap_file_name(uint64_t term, uint64_t index) {
  char name[64];
  std::snprintf(name, sizeof name, "%016" PRIx64 "-%016" PRIx64 ".snap", term, index);
  return name;
}

Result<raft::Snapshot> read_snap_file(const std::string& path) {
  MORTISE_ASSIGN_OR_RETURN(const std::string bytes, read_file(path));
  uint32_t checksum = 0;
  std::string_view body;
  wire::FieldReader file(bytes);
  wire::Field f;
  while (file.next(&f)) {
    if (f.is_varint(1)) checksum = static_cast<uint32_t>(f.varint);
    if (f.is_bytes(2)) body = f.bytes;
  }
  if (file.failed()) return malformed(path);
  if (crc32c(0, body) != checksum) return corruption(path + ": checksum mismatch");
  raft::Snapshot snapshot;
  wire::FieldReader fields(body);
  while (fields.next(&f)) {
    if (f.is_bytes(1)) snapshot.data = f.bytes;
    if (!f.is_bytes(2)) continue;
    wire::FieldReader metadata(f.bytes);
    wire::Field m;
    while (metadata.next(&m)) {
      if (m.is_bytes(1) && !decode_conf_state(m.bytes, &snapshot.conf_state)) {
        return malformed(path);
      }
      if (m.is_varint(2)) snapshot.index = m.varint;
      if (m.is_varint(3)) snapshot.term = m.varint;
    }
    if (metadata.failed()) return malformed(path);
  }
  return fields.failed() ? Result<raft::Snapshot>(malformed(path)) : snapshot;
}

}  // namespace mortise::etcd_dir
