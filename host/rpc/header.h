// etcdserverpb.ResponseHeader, the first field of nearly every response.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "host/base/byte_buffer.h"

namespace mortise::rpc {

struct Header {
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
  int64_t revision = 0;
  uint64_t raft_term = 0;
};

// Enough for any header field.
constexpr size_t kHeaderFieldBytesMax = 48;

// Appends field 1, the header, to a response.
void append_header(const Header& header, ByteBuffer* out);
void append_header(const Header& header, std::string* out);

}  // namespace mortise::rpc
