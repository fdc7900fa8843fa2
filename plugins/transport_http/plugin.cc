#include "mortise/sdk/plugin.h"

#include "mortise/sdk/transport.h"
#include "plugins/transport_http/transport.h"

namespace {
constexpr mortise_transport_v1 kTable =
    mortise::sdk::transport_table<mortise::transport_http::Transport>();
}  // namespace

MORTISE_DEFINE_PLUGIN("transport_http", "0.1.0", "HTTP/1.1 with JSON, WebSocket and pages",
                      MORTISE_PLUGIN_INTERFACE(MORTISE_TRANSPORT_ID, kTable))
