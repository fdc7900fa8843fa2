// The persisted log as the core reads it: entries, and the state a restart begins with. The host
// keeps an implementation (MemoryLog) beside the WAL. Called only by the core, on the raft thread.
//
// What the core relies on: when advance({.persisted = n}) is called, the log holds the entries of
// all Readys up to n (with replaced ones gone). It may hold later ones already. Entries at or below
// an applied index may be dropped (compact) at any time between two calls of the core.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "host/base/status.h"
#include "host/raft/types.h"

namespace mortise::raft {

class LogView {
 public:
  virtual ~LogView() = default;

  // The lowest index whose entry is here; last_index() + 1 if there is none. first_index() - 1 is
  // the index of the snapshot the log starts from, 0 for a log from the beginning.
  virtual uint64_t first_index() const = 0;
  virtual uint64_t last_index() const = 0;

  // Of indexes first_index() - 1 to last_index(); nothing outside of them.
  virtual std::optional<uint64_t> term(uint64_t index) const = 0;

  // Appends to `out` the entries of [lo, hi) that fit into max_bytes (entry_bytes each), but at
  // least one. False, and nothing appended, if lo < first_index() or hi > last_index() + 1.
  virtual bool entries(uint64_t lo, uint64_t hi, uint64_t max_bytes,
                       std::vector<EntryRef>* out) const = 0;

  // Read once, by Core::create(). The ConfState is as of Config::applied.
  virtual HardState initial_hard_state() const = 0;
  virtual ConfState initial_conf_state() const = 0;

  // A snapshot to send to a member that is too far behind; null if there is none now, and the core
  // asks again later. Its index is at least first_index() - 1 and at most the applied index. It is
  // not sent to a member that its ConfState lacks, so give the newest there is.
  virtual SnapshotRef snapshot() const = 0;
};

}  // namespace mortise::raft
