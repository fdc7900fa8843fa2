// "mortise.host.json/1": requests and responses of all methods in JSON, for transports that speak
// it.
//
// One table for the process: the methods are those of the API, and what the mapping needs to know
// of their messages is constant. Threads: any.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/byte_buffer.h"
#include "host/base/status.h"
#include "host/json/message_table.h"
#include "mortise/abi/rpc.h"

namespace mortise::json {

class Transcoder {
 public:
  // Each method's id is its place in `methods`; its messages must be in the generated code.
  explicit Transcoder(std::span<const mortise_method> methods);

  // kInvalid, with a message for the client.
  Status request_from_json(uint32_t method, std::string_view json, ByteBuffer* out) const;
  Status response_to_json(uint32_t method, std::string_view message, ByteBuffer* out) const;

 private:
  struct Method {
    const MessageTable* request;
    const MessageTable* response;
  };
  TableSet tables_;
  std::vector<Method> methods_;
};

// The table that transports get. `methods` of the first call are taken; they are the same for all
// servers of a process.
const mortise_host_json_v1* host_service(std::span<const mortise_method> methods);

}  // namespace mortise::json
