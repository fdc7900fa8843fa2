// Connections to the servers.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <vector>

#include "host/base/status.h"
#include "tools/bench/options.h"

namespace mortise::bench {

// options.conns channels, each on a TCP connection of its own, the endpoints taken in turn. All are
// connected on return. kIo if a server cannot be reached in ten seconds or a PEM file cannot be
// read.
Result<std::vector<std::shared_ptr<grpc::Channel>>> open_channels(const Options& options);

}  // namespace mortise::bench
