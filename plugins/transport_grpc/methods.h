// The host's methods as gRPC knows them: each is registered with the server, so the library finds a
// call's method by itself and reads the one request of a unary call before it reports the call.
//
// Built once before the server starts, and read by all threads after that. Outlives the server.
#pragma once

#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/impl/service_type.h>

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "mortise/abi/rpc.h"

namespace mortise::transport_grpc {

class Methods final : public grpc::Service {
 public:
  explicit Methods(const mortise_host_rpc_v1& rpc);

  struct Method {
    const mortise_method* host;  // Of the host, lives as long as it.
    const grpc::internal::RpcServiceMethod* registered;
  };
  const std::vector<Method>& all() const { return methods_; }

  // The message of an Unimplemented answer, as etcd words it.
  std::string describe_unknown(std::string_view path) const;

 private:
  std::vector<Method> methods_;
  std::unordered_set<std::string_view> services_;
};

}  // namespace mortise::transport_grpc
