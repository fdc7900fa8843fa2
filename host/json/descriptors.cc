#include "host/json/descriptors.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <string>

#include "host/base/check.h"
#include "proto/rpc.pb.h"

namespace mortise::json {

const google::protobuf::MethodDescriptor* find_method(std::string_view grpc_path) {
  // Names a type of the generated code, so that the linker keeps the library that has all of them.
  const auto* pool = etcdserverpb::PutRequest::descriptor()->file()->pool();
  MORTISE_CHECK(grpc_path.starts_with('/'), grpc_path);
  std::string name(grpc_path.substr(1));
  std::replace(name.begin(), name.end(), '/', '.');
  const auto* method = pool->FindMethodByName(name);
  MORTISE_CHECK(method != nullptr, name);
  return method;
}

}  // namespace mortise::json
