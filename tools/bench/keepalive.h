// Runs of lease keep-alives: each caller has a stream of its own and waits for each answer.
#pragma once

#include "tools/bench/load.h"
#include "tools/bench/unary.h"

namespace mortise::bench {

// Request n of the run keeps lease first_id + n % leases alive.
LoadResult run_keepalive(const Channels& channels, const Load& load, int64_t first_id, int leases);

}  // namespace mortise::bench
