// From a method's path to its descriptor in the generated code.
#pragma once

#include <string_view>

namespace google::protobuf {
class MethodDescriptor;
}

namespace mortise::json {

// Of "/etcdserverpb.KV/Put". Never null: a method without messages is a bug.
const google::protobuf::MethodDescriptor* find_method(std::string_view grpc_path);

}  // namespace mortise::json
