// Finds the rows that a compaction makes superfluous.
//
// A compaction at C keeps, of each key, the newest version at or below C; a tombstone only if it is
// exactly at C, so that a watcher from C still sees the delete. Since the compaction before, at P,
// has left at most one version of a key at or below P, only the versions in (P, C] need a look:
// each makes its predecessor superfluous. So the cost is that of what was written since, not of
// what is stored.
//
// The scan runs on a thread of its own and hands out removals in pieces; the apply thread commits
// them. What it decides depends only on versions at or below C, which never change, so it does not
// matter when they go.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "host/base/arena.h"
#include "host/mvcc/compaction_hash.h"
#include "host/mvcc/view.h"

namespace mortise::mvcc {

// Row "compact-finished" of the meta keyspace: the revision of the newest finished compaction, 8
// bytes big endian.
constexpr std::string_view kCompactFinishedKey = "compact-finished";

struct Removal {
  Arena arena;
  store::WriteBatch batch;
  uint64_t versions = 0;  // How many versions of keys it removes.
};

struct CompactionOptions {
  uint64_t batch_versions_max = 1000;  // --compaction-batch-limit
  std::function<bool()> pause;         // Between pieces; false to stop.
};

struct ScanResult {
  uint64_t removed = 0;  // Versions.
  ScanHash hash;
};

// Calls `emit` with pieces until all is said; the last piece also records that the compaction is
// finished. kStopped if pause() said so.
Status find_removals(const store::Store& store, int64_t previous, int64_t revision,
                     const CompactionOptions& options,
                     const std::function<void(std::unique_ptr<Removal>)>& emit, ScanResult* result);

// The newest finished compaction; kNeverCompacted if there was none.
Result<int64_t> finished_compaction(const store::Reader& reader);

}  // namespace mortise::mvcc
