// The registry of join.h over HTTP/1.1: the JSON form of etcd's API, which an etcd and a mortise
// serve on their client ports beside gRPC (--enable-grpc-gateway, the default). So no gRPC gets
// into the host for some requests at the first start.
//
// Each request goes to the endpoint that answered last, and to the others in turn if that one does
// not. Used by one thread, which waits for the answers. Errors: kIo with what the last endpoint
// said.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "host/discovery/join.h"
#include "host/peer/http_client.h"

namespace mortise::discovery {

struct GatewayOptions {
  std::vector<std::string> endpoints;  // "https://host:port", "host:port", "unix://path"
  bool is_secure = false;              // Those without a scheme.
  tls::Dialer dialer;
  std::chrono::milliseconds dial_limit{2000};
  std::chrono::milliseconds request_limit{5000};
  std::string user;      // With a password: it is asked for a token first.
  std::string password;  // Empty: behind a colon in `user`, if there is one.
  std::string token;     // Without a user: what authorizes.
};

class GatewayRegistry final : public Registry {
 public:
  explicit GatewayRegistry(GatewayOptions options);

  Result<std::vector<Entry>> get(std::string_view key, bool is_prefix) override;
  Status put(std::string_view key, std::string_view value) override;

 private:
  // The body of the answer of the first endpoint that has one.
  Result<std::string> ask(const std::string& path, const std::string& body);
  Result<std::string> ask_endpoint(const std::string& path, const std::string& body);
  Result<std::string> post(const std::string& path, const std::string& body);
  Status authenticate();
  bool has_user() const { return !options_.user.empty() && !options_.password.empty(); }

  GatewayOptions options_;
  size_t at_ = 0;      // The endpoint that is asked.
  std::string token_;  // What a user was given.
  peer::HttpClient client_;
};

}  // namespace mortise::discovery
