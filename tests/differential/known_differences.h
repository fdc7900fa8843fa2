// All differences that a comparison forgives, in one list: those between etcd 3.4 and 3.7,
// where 3.7 is right, and orders that no version promises. Each rule changes the oracle's answer
// into what 3.7 would say, or, where that cannot be told, takes ours. See known_differences.cc.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "tests/differential/player.h"

namespace mortise::differential {

// What the generator has to know of the oracle: requests that it would not survive or whose answer
// means nothing.
struct Oracle {
  bool is_34 = true;
  // From 3.6 on a compaction at a tombstone keeps it, and a watch from there sees the delete.
  bool keeps_tombstone_at_compaction = false;
  // From 3.6 on an unknown sort order or target is refused; 3.4 panics on the latter.
  bool checks_sort_options = false;
  // From 3.6 on a compaction at exactly the revision of a txn that deletes a key and puts it again
  // takes the value away, and the next read of the key ends the server.
  bool loses_puts_after_deletes = false;
  // From 3.7 on there is RangeStream.
  bool streams_ranges = false;
};

// "3.4.23"
Oracle oracle_of_version(const std::string& version);

class KnownDifferences {
 public:
  explicit KnownDifferences(const Oracle& oracle) : oracle_(oracle) {}
  // `theirs` is the oracle's answer to op. Called for each operation in order, before anything else
  // looks at it.
  void reconcile(const Op& op, const Answer& ours, Answer* theirs);
  // Orders that nobody promises, made one. Called for all answers.
  static void settle_orders(const Op& op, Answer* answer);
  void observe(const Op& op, const Answer& theirs);

 private:
  Oracle oracle_;
  std::set<int64_t> compactions_;
  std::set<int64_t> compactions_before_kill_;
};

}  // namespace mortise::differential
