// The two ends of a stream inside the host.
#pragma once

#include <cstdint>

#include "host/base/rpc_error.h"
#include "host/rpc/buffers.h"
#include "mortise/abi/rpc.h"

namespace mortise::rpc {

// The host's end: what a transport calls. One implementation for each kind of stream. The transport
// calls one function at a time and none after end() of the client's side has begun; the object then
// deletes itself, or whoever owns it does.
class ServerStream {
 public:
  virtual ~ServerStream() = default;
  virtual void on_message(Payload message) = 0;  // From the client, within the credit given.
  virtual void on_half_close() = 0;              // The client sends no more.
  virtual void on_grant(uint64_t bytes) = 0;     // The client can take so many bytes more.
  virtual void on_cancel() = 0;                  // The client is gone; end() must still be called.
};

// The client's end: what the host calls, from any thread, one call at a time.
class ClientStream {
 public:
  ClientStream() = default;
  ClientStream(const mortise_stream_events* events, void* context)
      : events_(*events), context_(context) {}
  void send(ByteBuffer&& message) { events_.on_message(context_, to_buffer(std::move(message))); }
  // Lets the client send so many bytes more; none may be sent before the first grant.
  void grant(uint64_t bytes) { events_.on_credit(context_, bytes); }
  // The last call.
  void end(const RpcStatus& status) {
    events_.on_end(context_, static_cast<mortise_rpc_code>(status.code()),
                   to_bytes(status.message()));
  }

 private:
  mortise_stream_events events_{};
  void* context_ = nullptr;
};

}  // namespace mortise::rpc
