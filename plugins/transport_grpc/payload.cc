#include "plugins/transport_grpc/payload.h"

#include <grpc/byte_buffer_reader.h>

namespace mortise::transport_grpc {
namespace {

void destroy_message(void* owner) {
  grpc_byte_buffer_destroy(static_cast<grpc_byte_buffer*>(owner));
}

grpc_byte_buffer* message_of(grpc_slice slice) {
  grpc_byte_buffer* message = grpc_raw_byte_buffer_create(&slice, 1);
  grpc_slice_unref(slice);
  return message;
}

mortise_buffer first_slice_of(grpc_byte_buffer* message) {
  // The bytes of a short slice lie in the slice itself, so this points into the message's own
  // array.
  const grpc_slice& slice = message->data.raw.slice_buffer.slices[0];
  return mortise_buffer{GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice), &destroy_message,
                        message};
}

}  // namespace

mortise_buffer to_buffer(grpc_byte_buffer* message) {
  if (grpc_byte_buffer_length(message) == 0) {
    grpc_byte_buffer_destroy(message);
    return mortise_buffer{nullptr, 0, nullptr, nullptr};
  }
  if (message->data.raw.slice_buffer.count != 1) {
    grpc_byte_buffer_reader reader;
    grpc_byte_buffer_reader_init(&reader, message);
    grpc_byte_buffer* joined = message_of(grpc_byte_buffer_reader_readall(&reader));
    grpc_byte_buffer_reader_destroy(&reader);
    grpc_byte_buffer_destroy(message);
    message = joined;
  }
  return first_slice_of(message);
}

grpc_byte_buffer* to_message(mortise_buffer buffer) {
  if (buffer.release == nullptr) {
    return message_of(buffer.size == 0 ? grpc_empty_slice()
                                       : grpc_slice_from_static_buffer(buffer.data, buffer.size));
  }
  if (buffer.size == 0) {
    buffer.release(buffer.owner);
    return message_of(grpc_empty_slice());
  }
  // The library does not write to a slice that it did not make.
  return message_of(grpc_slice_new_with_user_data(const_cast<uint8_t*>(buffer.data), buffer.size,
                                                  buffer.release, buffer.owner));
}

}  // namespace mortise::transport_grpc
