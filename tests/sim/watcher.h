// A client that watches all keys: it gets the events of the member that it is connected to, and
// when the connection or the member ends it goes on at another one, from the revision after the
// last one that it has seen.
//
// What it gets must be the history: each change once, in order, none missing, but for those that a
// compaction took away while it was not connected.
//
// Threads: one.
#pragma once

#include <vector>

#include "host/mvcc/events.h"
#include "tests/sim/oracle.h"

namespace mortise::sim {

class Watcher {
 public:
  Watcher(Env* env, const Oracle* oracle, int64_t from)
      : env_(env), oracle_(oracle), next_revision_(from), place_(oracle->place_of(from)) {}

  int64_t next_revision() const { return next_revision_; }
  // The watch begins anew where history does.
  void compacted(int64_t revision) {
    next_revision_ = revision;
    place_ = oracle_->place_of(next_revision_);
    ++compactions_;
  }
  // All events of the revisions from next_revision() to `last`, those before it among them.
  void take(const std::vector<mvcc::Event>& events, int64_t last) {
    for (const mvcc::Event& event : events) {
      if (event.revision.main < next_revision_) continue;
      std::string difference;
      if (!oracle_->matches(place_++, event, &difference)) {
        env_->fail("a watcher got " + difference);
        return;
      }
      ++events_;
    }
    next_revision_ = last + 1;
    if (place_ != oracle_->place_of(next_revision_)) {
      env_->fail("a watcher lacks events up to revision " + std::to_string(last));
    }
  }
  uint64_t events() const { return events_; }

 private:
  Env* const env_;
  const Oracle* const oracle_;
  int64_t next_revision_;
  size_t place_;
  uint64_t events_ = 0;
  uint64_t compactions_ = 0;
};

}  // namespace mortise::sim
