// Who calls, as the host wants to know it, out of a call's peer, metadata and deadline.
#pragma once

#include <grpc/grpc.h>

#include <string>
#include <string_view>

#include "mortise/abi/rpc.h"

namespace mortise::transport_grpc {

// Valid as long as the metadata that it was made from.
class Caller {
 public:
  Caller(grpc_call* call, const grpc_metadata_array& metadata, gpr_timespec deadline);
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  const mortise_caller* get() const { return &caller_; }
  const std::string& remote() const { return remote_; }

 private:
  std::string remote_;
  mortise_caller caller_{};
};

// "ipv4:127.0.0.1:4321" to "127.0.0.1:4321", "ipv6:%5B::1%5D:4321" to "[::1]:4321"; "unix:" is
// kept.
std::string remote_of_peer(std::string_view peer_uri);

}  // namespace mortise::transport_grpc
