// The small buckets of a database that etcd, or this server, has written: everything but history
// and leases. docs/formats/bbolt.md lists the buckets.
//
// Used by Loader. Nothing in the file is trusted; what cannot be understood is kCorruption, and
// what only a newer etcd could write is kInvalid.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "host/apply/alarms.h"
#include "host/bbolt/file.h"
#include "host/membership/member.h"
#include "host/mvcc/view.h"
#include "host/raft/types.h"
#include "host/snapshot/etcd_rows.h"

namespace mortise::snapshot {

struct EtcdState {
  Position position;  // 0, 0 in a file of an etcd that did not keep it.
  std::optional<raft::ConfState> conf_state;
  int64_t scheduled_compaction = mvcc::kNeverCompacted;
  int64_t finished_compaction = mvcc::kNeverCompacted;
  std::string storage_version;  // Of etcd's schema, from 3.6 on.
  std::string cluster_version;
  std::string downgrade_target;  // Empty while none is under way.
  std::vector<membership::Member> members;
  std::vector<uint64_t> removed_members;
  std::vector<apply::Alarm> alarms;
  bool auth_enabled = false;
  // Rows of keyspace 8. None if nobody has ever made a user or a role.
  std::map<std::string, std::string> auth;
};

Result<EtcdState> read_etcd_state(const bbolt::File& file);

// What follows from the members where the file does not have it.
raft::ConfState conf_state_of(const std::vector<membership::Member>& members);

}  // namespace mortise::snapshot
