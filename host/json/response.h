// The wire bytes of a message to JSON, as Go's protojson writes it with the names of the .proto
// file and without what is unset: 64-bit integers as strings, bytes in base64, fields in the order
// of their declaration, no spaces.
//
// Threads: any.
#pragma once

#include <string_view>

#include "host/base/byte_buffer.h"
#include "host/base/status.h"
#include "host/json/message_table.h"

namespace mortise::json {

// Messages within each other: a txn within another takes two.
constexpr int kMessageDepthMax = 1000;

// kInvalid with what is wrong if the bytes are no such message.
Status wire_to_json(const MessageTable& message, std::string_view bytes, ByteBuffer* out);

}  // namespace mortise::json
