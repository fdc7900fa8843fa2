// The log as the core sees it: the durable part, read through the LogView, and behind it the tail
// of entries that are not yet acknowledged as written. Owned by the Machine.
//
//     | view ... durable_index | tail: handed out, being written | tail: not handed out |
//     last_index
//
// Each handed-out tail entry carries the number of its Ready. An acknowledgement of Ready n makes
// the tail's front durable as far as its numbers go to n; an entry that was replaced after it was
// handed out has left the tail, so a late acknowledgement cannot be taken for its successor's.
// Invariants: applied <= applying <= committed <= last_index, applying <= durable_index; a
// committed entry is never replaced; numbers do not decrease along the tail.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "host/raft/log_view.h"

namespace mortise::raft {

class Log {
 public:
  Log(const LogView* view, uint64_t committed, uint64_t applied);

  uint64_t last_index() const { return tail_first_ + tail_.size() - 1; }
  uint64_t last_term() const;
  uint64_t first_index() const;
  uint64_t durable_index() const { return tail_first_ - 1; }
  uint64_t committed() const { return committed_; }
  uint64_t applied() const { return applied_; }
  uint64_t applying() const { return applying_; }
  uint64_t unapplied_bytes() const { return unapplied_bytes_; }

  // Nothing if compacted or beyond the end.
  std::optional<uint64_t> term(uint64_t index) const;
  bool matches(uint64_t index, uint64_t term_wanted) const { return term(index) == term_wanted; }
  // Whether a log that ends so holds everything that this one may have committed.
  bool is_up_to_date(uint64_t index, uint64_t term_of_last) const;
  // From lo to the end, up to max_bytes and at least one; false if lo is compacted.
  bool entries(uint64_t lo, uint64_t hi, uint64_t max_bytes, std::vector<EntryRef>* out) const;
  // The highest index <= `index` whose term is <= `term_limit` (as far as it is known here), and
  // its term, 0 if compacted.
  struct Position {
    uint64_t index;
    uint64_t term;
  };
  Position find_conflict(uint64_t index, uint64_t term_limit) const;
  // Whether an entry of a membership type is committed and not yet applied.
  bool has_unapplied_membership() const;

  void append(EntryRef entry);  // REQUIRES: index == last_index() + 1.
  // Entries received after an index that matches; those already here are skipped, a conflicting one
  // replaces the rest of the log.
  void merge(const std::vector<EntryRef>& entries);
  // True if the commit index moved. REQUIRES: index <= last_index().
  bool commit_to(uint64_t index);
  void restore(SnapshotRef snapshot);

  bool has_unhanded() const { return handed_ < tail_.size() || snapshot_unhanded(); }
  bool has_committed_to_hand(uint64_t unapplied_bytes_max) const;
  bool snapshot_pending() const { return snapshot_ != nullptr; }
  SnapshotRef hand_snapshot(uint64_t number);
  std::vector<EntryRef> hand_entries(uint64_t number);
  // Returns the sum of the data of what it hands out, in *data_bytes.
  std::vector<EntryRef> hand_committed(uint64_t unapplied_bytes_max, uint64_t* data_bytes);
  void persisted_to(uint64_t number);
  void applied_to(uint64_t index);

 private:
  struct TailEntry {
    EntryRef entry;
    uint64_t number;  // Of its Ready; 0 while not handed out.
  };
  struct Batch {
    uint64_t last_index;
    uint64_t bytes;
  };
  bool snapshot_unhanded() const { return snapshot_ && snapshot_number_ == 0; }
  void truncate_from(uint64_t index);
  void clear_snapshot_if_done();

  const LogView* view_;
  std::deque<TailEntry> tail_;
  uint64_t tail_first_;
  size_t handed_ = 0;
  uint64_t committed_;
  uint64_t applied_;
  uint64_t applying_;
  std::deque<Batch> unapplied_;
  uint64_t unapplied_bytes_ = 0;

  // A received snapshot until it is both durable and applied.
  SnapshotRef snapshot_;
  uint64_t snapshot_number_ = 0;
  bool snapshot_durable_ = false;
};

}  // namespace mortise::raft
