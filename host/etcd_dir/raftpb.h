// raftpb's and walpb's messages as they stand in etcd's files. Pure functions; false if the bytes
// are malformed.
#pragma once

#include <string_view>

#include "host/etcd_dir/log.h"

namespace mortise::etcd_dir {

bool decode_entry(std::string_view bytes, LogEntry* entry);
bool decode_hard_state(std::string_view bytes, raft::HardState* state);
bool decode_conf_state(std::string_view bytes, raft::ConfState* state);
// walpb.Snapshot: index, term, conf_state.
bool decode_snapshot_point(std::string_view bytes, SnapshotPoint* point);

}  // namespace mortise::etcd_dir
