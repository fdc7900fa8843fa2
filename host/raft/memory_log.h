// The LogView that a host keeps in memory beside the WAL: filled from the WAL at start, then fed
// with every Ready, and shortened by compact(). Entries are shared with the Readys, never copied.
//
// Threads: none of its own; one thread uses it, the one that drives the core.
// Invariant: entries are contiguous from first_index(), terms never decrease.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "host/raft/log_view.h"

namespace mortise::raft {

class MemoryLog final : public LogView {
 public:
  MemoryLog() = default;
  // Starts after a snapshot (index, term); both 0 for a log from the beginning.
  MemoryLog(uint64_t snapshot_index, uint64_t snapshot_term)
      : base_index_(snapshot_index), base_term_(snapshot_term) {}

  // Appends; entries at or above the first new index are replaced. kInvalid, and nothing changed,
  // if the new entries are not contiguous, start at or below the compacted index or leave a gap.
  Status append(const std::vector<EntryRef>& entries);
  // Drops all entries >= index. REQUIRES: index > compacted index.
  void truncate(uint64_t index);
  // Drops entries up to and including index, keeping its term. Indexes below the compacted one are
  // ignored. REQUIRES: index <= last_index().
  void compact(uint64_t index);
  // Forgets everything; the log then starts after (index, term), as an installed snapshot wants it.
  void reset(uint64_t snapshot_index, uint64_t snapshot_term);

  void set_hard_state(const HardState& state) { hard_state_ = state; }
  void set_conf_state(ConfState state) { conf_state_ = std::move(state); }
  void set_snapshot(SnapshotRef snapshot) { snapshot_ = std::move(snapshot); }
  // Without a set_snapshot(), snapshots are of this index, with the conf state set last and without
  // data. REQUIRES: an index of the log, or the compacted one.
  void offer_snapshots_at(uint64_t index) { offered_index_ = index; }

  uint64_t first_index() const override { return base_index_ + 1; }
  uint64_t last_index() const override { return base_index_ + entries_.size(); }
  std::optional<uint64_t> term(uint64_t index) const override;
  bool entries(uint64_t lo, uint64_t hi, uint64_t max_bytes,
               std::vector<EntryRef>* out) const override;
  HardState initial_hard_state() const override { return hard_state_; }
  ConfState initial_conf_state() const override { return conf_state_; }
  SnapshotRef snapshot() const override;

  // Of all entries held (entry_bytes each).
  uint64_t bytes() const { return bytes_; }

 private:
  uint64_t base_index_ = 0;
  uint64_t base_term_ = 0;
  std::deque<EntryRef> entries_;
  uint64_t bytes_ = 0;
  HardState hard_state_;
  ConfState conf_state_;
  SnapshotRef snapshot_;
  uint64_t offered_index_ = 0;
};

}  // namespace mortise::raft
