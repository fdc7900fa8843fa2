// The hash that a compaction leaves behind, as etcd computes it: over the history up to the
// compacted revision N as it was before the rows went, all versions above the compaction before, P,
// and of those at or below P the ones that are kept. HashKV at N answers with it from then on.
//
// The versions in (P, N] are hashed by the scan for removals, which reads them anyway; those at or
// below P afterwards, when only the kept ones are left, so that none needs to be looked up. The two
// checksums are then joined.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "host/base/crc32c.h"
#include "host/mvcc/view.h"

namespace mortise::mvcc {

// A checksum over rows one after another.
struct RowsHash {
  uint32_t crc = 0;
  uint64_t bytes = 0;
  void add(std::string_view name, std::string_view value) {
    crc = crc32c(crc32c(crc, name), value);
    bytes += name.size() + value.size();
  }
};

struct ScanHash {
  RowsHash since;                // (P, N]
  std::optional<RowsHash> kept;  // Up to P, where it had to be hashed before rows went.
};

// Is nothing kept at N? Then etcd hashes all versions up to P.
Result<bool> keeps_nothing(const store::Reader& reader, int64_t revision);

// Hashes the rows up to `previous`, except a tombstone exactly there. Calls pause() now and then,
// without a reader open; kStopped if it said no.
Status hash_rows_up_to(const store::Store& store, int64_t previous,
                       const std::function<bool()>& pause, RowsHash* hash);

// What HashKV answers.
uint32_t join(const RowsHash& kept, const RowsHash& since);

struct PastHash {
  uint32_t hash = 0;
  int64_t compact_revision = kNeverCompacted;  // P
  int64_t revision = 0;                        // N
};

// The hashes of the newest compactions since the start, as etcd keeps them: in memory. Thread-safe.
class PastHashes {
 public:
  static constexpr size_t kHashesMax = 10;

  void add(const PastHash& hash);
  void clear();
  std::optional<PastHash> find(int64_t revision) const;
  std::vector<PastHash> all() const;

 private:
  mutable std::mutex mutex_;
  std::vector<PastHash> hashes_;  // By revision.
};

}  // namespace mortise::mvcc
