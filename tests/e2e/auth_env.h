// A client that says who it is, and what tests of authentication do again and again.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proto/election.grpc.pb.h"
#include "proto/lock.grpc.pb.h"
#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {

inline const std::vector<std::string> kAuthFlags = {"--auth-plugin=rbac", "--bcrypt-cost=4"};

class AuthClient {
 public:
  explicit AuthClient(const std::string& endpoint) : client_(endpoint) {}

  void set_token(std::string token) { token_ = std::move(token); }
  const std::string& token() const { return token_; }
  Client& plain() { return client_; }

  template <typename Stub, typename Request, typename Response>
  std::string call(Stub& stub,
                   grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                   const Request& request, Response* response) {
    grpc::ClientContext context;
    prepare(&context);
    return status_text((stub.*method)(&context, request, response));
  }
  // When the answer does not count.
  template <typename Stub, typename Request, typename Response>
  std::string call(Stub& stub,
                   grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                   const Request& request) {
    Response response;
    return call(stub, method, request, &response);
  }
  void prepare(grpc::ClientContext* context) {
    context->set_deadline(std::chrono::system_clock::now() + kCallBound);
    if (!token_.empty()) context->AddMetadata("token", token_);
  }

  // Takes the token for what follows.
  std::string login(const std::string& user, const std::string& password);
  std::string add_user(const std::string& name, const std::string& password);
  std::string delete_user(const std::string& name);
  std::string change_password(const std::string& name, const std::string& password);
  std::string add_role(const std::string& name);
  std::string grant_role(const std::string& user, const std::string& role);
  std::string revoke_role(const std::string& user, const std::string& role);
  std::string grant(const std::string& role, authpb::Permission::Type type, const std::string& key,
                    const std::string& range_end = "");
  std::string revoke(const std::string& role, const std::string& key,
                     const std::string& range_end = "");
  std::string enable();
  std::string disable();
  // Root, its role, and authentication; then this client is root.
  void enable_with_root();
  // A user with the password "pw" and a role of the same name that may read and write the range.
  void add_user_with_range(const std::string& name, const std::string& key,
                           const std::string& range_end = "");

  std::string put(const std::string& key, const std::string& value = "v", int64_t lease = 0,
                  bool prev_kv = false);
  std::string range(const std::string& key, const std::string& range_end = "",
                    etcdserverpb::RangeResponse* response = nullptr);
  std::string remove(const std::string& key, const std::string& range_end = "",
                     bool prev_kv = false);
  std::string txn(const etcdserverpb::TxnRequest& request);
  std::string grant_lease(int64_t id);
  std::string revoke_lease(int64_t id);
  std::string time_to_live(int64_t id, bool keys,
                           etcdserverpb::LeaseTimeToLiveResponse* response = nullptr);

 private:
  Client client_;
  std::string token_;
};

// A watch stream.
class AuthWatch {
 public:
  explicit AuthWatch(AuthClient* client);
  ~AuthWatch();
  // The answer: "created", or the reason why not.
  std::string create(const std::string& key, const std::string& range_end = "");
  // The next response: the keys of its events, or "canceled <reason>", or "ended <status>".
  std::string next();

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse>>
      stream_;
};

inline constexpr char kDenied[] = "7 etcdserver: permission denied";
inline constexpr char kBadToken[] = "16 etcdserver: invalid auth token";
inline constexpr char kNoUser[] = "3 etcdserver: user name is empty";

}  // namespace mortise::testing
