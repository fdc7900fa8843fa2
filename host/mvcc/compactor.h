// Finds the rows that a compaction makes superfluous.
//
// A compaction at C keeps, of each key, the newest version at or below C; a tombstone only if it is
// exactly at C, so that a watcher from C still sees the delete. Since the compaction before, at P,
// has left at most one version of a key at or below P, only the keys that have versions in (P, C]
// need a look. There are two ways to find their older versions:
//   by changes   walk (P, C] in `revisions`; each version there makes its predecessor in
//                `key_history` superfluous. The cost is a search for each change, whatever is
//                stored.
//   by keys      walk all of `key_history`. The cost is a step, far cheaper than a search, for each
//                version stored.
// The cheaper one is taken, but a compaction that a stop interrupted goes on by keys: versions that
// would lead to others may be gone. The walk over (P, C] is made in any case: its rows are hashed,
// and a txn's versions that the txn itself replaced are in no key's history.
//
// The scan runs on a thread of its own and hands out removals in pieces; the apply thread commits
// them. What it decides depends only on versions at or below C, which never change, so it does not
// matter when they go, and it keeps no reader open between two pieces.
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

// Versions in one commit of the apply thread: a put that comes then waits for no more than this.
constexpr uint64_t kSliceVersionsMax = 200;

struct Removal {
  Arena arena;
  store::WriteBatch batch;
  uint64_t versions = 0;  // How many versions of keys it removes.
};

enum class ScanBy : uint8_t { kCheaper, kChanges, kKeys };

struct CompactionOptions {
  uint64_t batch_versions_max = 1000;  // Removed between two pauses; --compaction-batch-limit.
  std::function<bool()> pause;         // False to stop.
  ScanBy scan_by = ScanBy::kCheaper;
};

struct ScanResult {
  uint64_t removed = 0;  // Versions.
  ScanHash hash;
};

// Calls `emit` with slices until all is said; the last one also records that the compaction is
// finished. kStopped if pause() said so.
Status find_removals(const store::Store& store, int64_t previous, int64_t revision,
                     const CompactionOptions& options,
                     const std::function<void(std::unique_ptr<Removal>)>& emit, ScanResult* result);

// The newest finished compaction; kNeverCompacted if there was none.
Result<int64_t> finished_compaction(const store::Reader& reader);

}  // namespace mortise::mvcc
