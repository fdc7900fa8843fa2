// What the server itself counts for metrics. Written by the threads that do the work, read by any.
#pragma once

#include <array>
#include <atomic>

#include "host/apply/counters.h"
#include "host/base/metrics.h"

namespace mortise::server {

struct ServerCounters {
  Counter proposals_failed;
  std::array<DiskHistogram, apply::kOps> failed_requests;  // Proposals without an answer in time.
  Counter leader_changes;
  Counter late_heartbeats;
  Counter leases_expired;
  Counter slow_applies;
  Counter promotions;
  std::atomic<int> snapshot_applies{0};  // Under way.

  Counter compacted_versions;
  std::atomic<int64_t> last_compaction{0};  // Seconds since 1970.
  Histogram<1, 13> compaction_batch_ms;
  Histogram<100, 14> compaction_ms;

  std::atomic<int> reclaims{0};          // Under way.
  Histogram<100'000'000, 13> reclaimed;  // Nanoseconds.
  Histogram<100'000'000, 10> snapshots_saved;
};

}  // namespace mortise::server
