// Requests as etcd writes them into its log: Go's text form of a message, with the size of each
// value in the place of the value. Any thread; for lines about what took long or failed.
#pragma once

#include <string>
#include <string_view>

#include "host/wire/raft_request.h"

namespace mortise::api {

// The request of a method of the KV service, "/etcdserverpb.KV/Put"; empty for the others and for
// bytes that are no request.
std::string request_text(std::string_view grpc_path, std::string_view request);

// A request in the log, with its header. Passwords and tokens are left out.
std::string raft_request_text(const wire::RaftRequest& request);

}  // namespace mortise::api
