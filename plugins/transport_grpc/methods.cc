#include "plugins/transport_grpc/methods.h"

namespace mortise::transport_grpc {
namespace {

using grpc::internal::RpcMethod;
using grpc::internal::RpcServiceMethod;

// "/package.Service/Method" in its two parts; false if it has another form.
bool split_path(std::string_view path, std::string_view& service, std::string_view& method) {
  if (path.starts_with('/')) path.remove_prefix(1);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return false;
  service = path.substr(0, slash);
  method = path.substr(slash + 1);
  return true;
}

}  // namespace

Methods::Methods(const mortise_host_rpc_v1& rpc) {
  for (uint32_t i = 0; i < rpc.method_count; ++i) {
    const mortise_method& method = rpc.methods[i];
    RpcMethod::RpcType type;
    switch (method.kind) {
      case MORTISE_UNARY: type = RpcMethod::NORMAL_RPC; break;
      // To the library both are bidirectional: it must not read a message before the host has given
      // credit.
      case MORTISE_SERVER_STREAM:
      case MORTISE_BIDI_STREAM: type = RpcMethod::BIDI_STREAMING; break;
      default: continue;
    }
    std::string_view service;
    std::string_view name;
    if (!split_path(method.grpc_path, service, name)) continue;
    auto* registered = new RpcServiceMethod(method.grpc_path, type, nullptr);
    registered->SetServerApiType(RpcServiceMethod::ApiType::ASYNC);
    AddMethod(registered);
    methods_.push_back({&method, registered});
    services_.insert(service);
  }
}

std::string Methods::describe_unknown(std::string_view path) const {
  std::string_view service;
  std::string_view method;
  if (!split_path(path, service, method)) {
    return "malformed method name: \"" + std::string(path) + "\"";
  }
  if (!services_.contains(service)) return "unknown service " + std::string(service);
  return "unknown method " + std::string(method) + " for service " + std::string(service);
}

}  // namespace mortise::transport_grpc
