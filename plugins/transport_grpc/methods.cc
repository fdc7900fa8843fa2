#include "plugins/transport_grpc/methods.h"

namespace mortise::transport_grpc {
namespace {

// "/package.Service/Method" in its two parts; false if it has another form.
bool split_path(std::string_view path, std::string_view& service, std::string_view& method) {
  if (!path.starts_with('/')) return false;
  path.remove_prefix(1);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return false;
  service = path.substr(0, slash);
  method = path.substr(slash + 1);
  return true;
}

bool is_known(mortise_method_kind kind) {
  return kind == MORTISE_UNARY || kind == MORTISE_SERVER_STREAM || kind == MORTISE_BIDI_STREAM;
}

}  // namespace

Methods::Methods(const mortise_host_rpc_v1& rpc) {
  for (uint32_t i = 0; i < rpc.method_count; ++i) {
    const mortise_method& method = rpc.methods[i];
    std::string_view service;
    std::string_view name;
    if (!is_known(method.kind) || !split_path(method.grpc_path, service, name)) continue;
    methods_.emplace(method.grpc_path, &method);
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
