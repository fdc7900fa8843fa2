// The host's methods by their paths. Built once, read by all threads.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "mortise/abi/rpc.h"

namespace mortise::transport_grpc {

class Methods {
 public:
  explicit Methods(const mortise_host_rpc_v1& rpc);
  // Null if there is none.
  const mortise_method* find(std::string_view path) const {
    const auto found = methods_.find(path);
    return found == methods_.end() ? nullptr : found->second;
  }
  // The message of an Unimplemented answer, as etcd words it.
  std::string describe_unknown(std::string_view path) const;

 private:
  std::unordered_map<std::string_view, const mortise_method*> methods_;
  std::unordered_set<std::string_view> services_;
};

}  // namespace mortise::transport_grpc
