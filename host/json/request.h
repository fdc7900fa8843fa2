// One JSON value to the wire bytes of a message, by the rules of Go's protojson as etcd's gateway
// uses it: names as in the .proto file or in lowerCamelCase, unknown ones ignored, integers as
// numbers or strings, bytes in base64, null for what is absent.
//
// Threads: any. Memory: a multiple of the input at most.
#pragma once

#include <string_view>

#include "host/base/byte_buffer.h"
#include "host/base/status.h"
#include "host/json/message_table.h"

namespace mortise::json {

// Objects and arrays within each other. Three of them are one txn within another, of which requests
// have at most wire::kTxnDepthMax.
constexpr int kJsonDepthMax = 1000;

// No value at all is the empty message; what follows the first value is ignored, as etcd does. The
// text of an error is what etcd's gateway answers; a value in it that is long is cut.
Status request_to_wire(const MessageTable& message, std::string_view json, ByteBuffer* out);

}  // namespace mortise::json
