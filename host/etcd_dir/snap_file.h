// The .snap files in which etcd keeps what raft wants to know of a snapshot, and the members as the
// old API's store has them (docs/formats/etcd_dir.md).
//
// Used while a directory of etcd's is taken over. Errors: kCorruption with the file's name, and
// what the file system says. Memory: kSnapFileBytesMax.
#pragma once

#include <string>

#include "host/base/status.h"
#include "host/raft/types.h"

namespace mortise::etcd_dir {

inline constexpr uint64_t kSnapFileBytesMax = uint64_t{256} << 20;

// The name of the file for a snapshot.
std::string snap_file_name(uint64_t term, uint64_t index);

// raft::Snapshot::data is the old store, as JSON.
Result<raft::Snapshot> read_snap_file(const std::string& path);

}  // namespace mortise::etcd_dir
