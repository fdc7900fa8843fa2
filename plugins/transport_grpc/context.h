// What the connections of one transport share. Outlives them all; any thread.
#pragma once

#include <atomic>
#include <cstdint>

#include "mortise/abi/rpc.h"
#include "mortise/sdk/host.h"
#include "plugins/transport_common/counts.h"
#include "plugins/transport_grpc/methods.h"
#include "plugins/transport_grpc/options.h"

namespace mortise::transport_grpc {

// Of requests that are not complete, or that the host does not take yet, of all connections.
constexpr uint64_t kUnfinishedBytesMax = 256 << 20;

struct Context {
  Context(sdk::Host h, const mortise_host_rpc_v1* r, const Options& o)
      : host(h), rpc(r), options(o), methods(*r), unfinished(kUnfinishedBytesMax) {}

  const sdk::Host host;
  const mortise_host_rpc_v1* const rpc;
  const Options options;
  const Methods methods;
  transport_common::BodyBudget unfinished;
  transport_common::LiveCount calls;  // Until host and client are through with them.
  transport_common::LiveCount connections;
  std::atomic<bool> draining{false};
  // Connections whose clients do not know of the drain yet.
  std::atomic<int64_t> unaware{0};
};

}  // namespace mortise::transport_grpc
