// Sends what the gRPC library logs to the host's log. The library has one log function for the
// process, so the newest living GrpcLog receives the lines; when the last one goes the library's
// own function is back. Any thread.
#pragma once

#include "mortise/sdk/host.h"

namespace mortise::transport_grpc {

class GrpcLog {
 public:
  explicit GrpcLog(sdk::Host host);
  ~GrpcLog();
  GrpcLog(const GrpcLog&) = delete;
  GrpcLog& operator=(const GrpcLog&) = delete;

  const sdk::Host& host() const { return host_; }

 private:
  const sdk::Host host_;
};

}  // namespace mortise::transport_grpc
