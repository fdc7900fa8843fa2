// Payloads between gRPC's slices and the ABI's buffers, without a copy where the bytes lie in one
// piece.
#pragma once

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>

#include "mortise/abi/base.h"

namespace mortise::transport_grpc {

// Takes over `message`, a message that was received; the result's release() destroys it. The bytes
// are joined by one copy if the library delivered them in several slices.
mortise_buffer to_buffer(grpc_byte_buffer* message);

// Takes over `buffer`; it is released when the library drops the last reference to the result.
grpc_byte_buffer* to_message(mortise_buffer buffer);

}  // namespace mortise::transport_grpc
