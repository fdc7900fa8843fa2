// What an etcd's write-ahead log says: whose it is, what the member has promised, where its last
// snapshot stands, and the entries behind that. docs/formats/etcd_dir.md describes the files.
//
// Used while a directory of etcd's is taken over; one thread. Nothing is changed and nothing is
// trusted: kCorruption with file and offset for what cannot be, kNotFound for a directory without a
// log. Memory: one record (wal_reader.h).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "host/base/status.h"
#include "host/etcd_dir/wal_reader.h"
#include "host/raft/types.h"

namespace mortise::etcd_dir {

// The point up to which the state was in a snapshot. etcd up to 3.4 does not say with whom.
struct SnapshotPoint {
  uint64_t index = 0;
  uint64_t term = 0;
  std::optional<raft::ConfState> conf_state;
};

struct Log {
  std::vector<std::string> segments;  // Paths, in order.
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
  raft::HardState state;
  SnapshotPoint snapshot;  // The last one that is committed; index 0: none, the log has everything.
  WalEnd end;
};

// An entry replaces all that came before it with its index or a higher one.
struct LogEntry {
  uint64_t term = 0;
  uint64_t index = 0;
  raft::EntryType type = raft::EntryType::kNormal;
  std::string_view data;  // For the call.
};

// Reads and checks all of the log.
Result<Log> read_log(const std::string& dir);

// Hands out the entries behind log.snapshot as they were written, without gaps, and returns the
// index of the last; that of the snapshot if there is none.
Result<uint64_t> read_entries(const Log& log, const std::function<Status(const LogEntry&)>& visit);

// Is there a file of such a log in `dir`?
bool has_log(const std::string& dir);
// "<16 hexadecimal digits>-<16 hexadecimal digits>.wal"
bool is_segment_name(std::string_view name);

}  // namespace mortise::etcd_dir
