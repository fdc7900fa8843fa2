// A plain gRPC client of one server: a stub for each service, and calls that wait. For tests only;
// a call that the server does not answer ends after kCallBound with DEADLINE_EXCEEDED.
//
// Stubs may be used by many threads.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

#include "proto/rpc.grpc.pb.h"

namespace mortise::testing {

constexpr std::chrono::seconds kCallBound{30};

// A status as tests print and compare it: "OK" or "<code number> <message>".
std::string status_text(const grpc::Status& status);
// Was the call refused only because the server wants to know who calls?
bool wants_login(const grpc::Status& status);

class Client {
 public:
  // "127.0.0.1:2379" or "unix:/path". Each client has a connection of its own.
  explicit Client(const std::string& endpoint);

  // One call: client.call(client.kv(), &KV::Stub::Put, request, &response).
  template <typename Stub, typename Request, typename Response>
  grpc::Status call(Stub& stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response,
                    std::chrono::milliseconds bound = kCallBound) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + bound);
    return (stub.*method)(&context, request, response);
  }

  grpc::Status put(const std::string& key, const std::string& value, int64_t* revision = nullptr,
                   int64_t lease = 0);
  grpc::Status range(const etcdserverpb::RangeRequest& request,
                     etcdserverpb::RangeResponse* response);
  // All chunks of the stream; *chunks tells how many they were.
  grpc::Status range_stream(const etcdserverpb::RangeRequest& request,
                            etcdserverpb::RangeResponse* response, int* chunks = nullptr);
  grpc::Status status(etcdserverpb::StatusResponse* response,
                      std::chrono::milliseconds bound = kCallBound);
  grpc::Status hash_kv(int64_t revision, etcdserverpb::HashKVResponse* response);

  // Raw bytes as the request of a unary method, "/etcdserverpb.KV/Put".
  grpc::Status call_raw(const std::string& method, const std::string& bytes, std::string* response);

  etcdserverpb::KV::Stub& kv() { return *kv_; }
  etcdserverpb::Watch::Stub& watch() { return *watch_; }
  etcdserverpb::Lease::Stub& lease() { return *lease_; }
  etcdserverpb::Cluster::Stub& cluster() { return *cluster_; }
  etcdserverpb::Maintenance::Stub& maintenance() { return *maintenance_; }
  etcdserverpb::Auth::Stub& auth() { return *auth_; }
  const std::shared_ptr<grpc::Channel>& channel() { return channel_; }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<etcdserverpb::KV::Stub> kv_;
  std::unique_ptr<etcdserverpb::Watch::Stub> watch_;
  std::unique_ptr<etcdserverpb::Lease::Stub> lease_;
  std::unique_ptr<etcdserverpb::Cluster::Stub> cluster_;
  std::unique_ptr<etcdserverpb::Maintenance::Stub> maintenance_;
  std::unique_ptr<etcdserverpb::Auth::Stub> auth_;
};

}  // namespace mortise::testing
