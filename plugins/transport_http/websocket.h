// Methods over WebSocket: each text frame is a request, each answer a text frame, in the JSON of
// the other forms. The token may come as a subprotocol, since browsers cannot set headers.
#pragma once

#include <string>

#include "plugins/transport_http/call.h"

namespace mortise::transport_http {

class Worker;
struct Peer;

class WebSocketSession {
 public:
  // Takes the descriptor over, with nothing read behind `head`, the request that asks for the
  // upgrade. On the worker's loop.
  static void begin(Worker& worker, int fd, const Peer& peer, const mortise_method& method,
                    CallerInfo caller, std::string head);
};

}  // namespace mortise::transport_http
