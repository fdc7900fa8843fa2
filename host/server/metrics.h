// Pieces of the text that /metrics shows; server.h has the rest.
//
// Threads: any. Errors: what the system does not tell is left out.
#pragma once

#include <string>
#include <vector>

#include "host/api/call_metrics.h"
#include "host/base/metrics.h"
#include "host/loader/metrics.h"
#include "host/peer/transport.h"
#include "host/wal/wal.h"

namespace mortise::server {

inline double figure(const Counter& counter) { return static_cast<double>(counter.value()); }
HistogramFigures figures(const wal::LatencyCounter& times);
HistogramFigures sum(HistogramFigures a, const HistogramFigures& b);  // With the same bounds.

// grpc_server_*, for methods of every transport, and what clients sent.
void show_calls(loader::Exposition& out, const api::CallMetrics& calls);
// etcd_network_*, of the members that are or were connected.
void show_peers(loader::Exposition& out, const std::string& local,
                const std::vector<peer::PeerCounters>& peers);
// Series that etcd has from its start for parts that are not here, with their zeros: nothing of the
// kind ever happens.
void show_parts_that_are_not_here(loader::Exposition& out);
// process_*, os_*, and what of go_* means something here.
void show_process(loader::Exposition& out);

}  // namespace mortise::server
