// Those entries of an etcd's log that are about its members: what they make of a membership that is
// known from before them. Up to version 3.5 the log is where etcd looks for its members, not the
// database.
//
// Used while a directory of etcd's is taken over; one thread. Entries that etcd would refuse, or
// not understand, have no effect.
#pragma once

#include <deque>
#include <string>

#include "host/etcd_dir/log.h"
#include "host/membership/rules.h"

namespace mortise::etcd_dir {

struct Membership {
  membership::Roster roster;
  std::string cluster_version;  // Empty while it is not known.
};

class MemberEntries {
 public:
  // In the order of the log; an entry replaces those from its index on.
  void note(const LogEntry& entry);
  // What the entries up to `last` make of `before`.
  Membership after(Membership before, uint64_t last, int64_t learners_max) const;

 private:
  struct Entry {
    uint64_t index;
    raft::EntryType type;
    std::string data;
  };
  std::deque<Entry> entries_;
};

}  // namespace mortise::etcd_dir
