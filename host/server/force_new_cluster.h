// --force-new-cluster: what is appended to the log of a member so that it is alone in its cluster,
// for one that has lost most of its members for good. Unlike etcd, entries at the end of the log
// that are not known to be committed stay: some of them may have been acknowledged.
#pragma once

#include <vector>

#include "host/raft/types.h"

namespace mortise::server {

// The entries behind `last`, in `term`, after which `self` is the only member. `conf_state` is the
// membership before `unapplied`, the entries up to `last` that are not applied.
std::vector<raft::Entry> entries_to_stand_alone(uint64_t self, const raft::ConfState& conf_state,
                                                const std::vector<raft::EntryRef>& unapplied,
                                                uint64_t last, uint64_t term);

}  // namespace mortise::server
