// Membership changes as they stand in the log: raftpb.ConfChange and raftpb.ConfChangeV2 in
// protobuf wire format. Used by the core (which must look into forwarded proposals), by the server
// when it writes the entries of a bootstrap, and by apply.
#pragma once

#include <string>

#include "host/base/status.h"
#include "host/raft/types.h"

namespace mortise::raft {

// kConfChangeV2 if change.v2, else kConfChange.
EntryType membership_entry_type(const MembershipChange& change);

// REQUIRES: a v1 change has exactly one SingleChange.
std::string encode_membership(const MembershipChange& change);

// kInvalid if `data` is malformed or the type is not a membership type. Unknown fields are skipped.
Result<MembershipChange> decode_membership(EntryType type, const std::string& data);

}  // namespace mortise::raft
