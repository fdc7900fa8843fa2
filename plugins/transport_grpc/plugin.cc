#include "mortise/sdk/plugin.h"

#include "mortise/sdk/transport.h"
#include "plugins/transport_grpc/transport.h"

namespace {
constexpr mortise_transport_v1 kTable =
    mortise::sdk::transport_table<mortise::transport_grpc::Transport>();
}  // namespace

MORTISE_DEFINE_PLUGIN("transport_grpc", "0.1.0", "gRPC over HTTP/2",
                      MORTISE_PLUGIN_INTERFACE(MORTISE_TRANSPORT_ID, kTable))
