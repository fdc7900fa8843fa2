// How a player reaches its server: gRPC, or the HTTP gateway, whose JSON is read and written by
// protobuf's own code. Answers are the same after that.
//
// Used by one thread at a time, but for watch_read(), which has a thread of its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/differential/op.h"
#include "tests/lib/client.h"

namespace mortise::differential {

class Wire {
 public:
  virtual ~Wire() = default;
  virtual grpc::Status call(const OpInfo& op, const google::protobuf::Message& request,
                            google::protobuf::Message* response) = 0;
  // A stream for one request.
  virtual grpc::Status keep_alive(const etcdserverpb::LeaseKeepAliveRequest& request,
                                  std::vector<etcdserverpb::LeaseKeepAliveResponse>* answers) = 0;
  // All chunks in one. The gateway has no such call.
  virtual grpc::Status range_stream(const etcdserverpb::RangeRequest& request,
                                    etcdserverpb::RangeResponse* response) = 0;
  // The one watch stream.
  virtual void watch_send(const etcdserverpb::WatchRequest& request) = 0;
  virtual bool watch_read(etcdserverpb::WatchResponse* response) = 0;  // False at its end.
  virtual grpc::Status watch_status() = 0;                             // After that.
  virtual void watch_cancel() = 0;
};

std::unique_ptr<Wire> make_grpc_wire(const std::string& endpoint);
std::unique_ptr<Wire> make_http_wire(const std::string& endpoint);

}  // namespace mortise::differential
