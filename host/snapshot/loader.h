// The way back: fills an empty store from a bbolt file that this server or an etcd (3.4 to 3.7) has
// written, a snapshot or the database of a member that has stopped.
//
// etcd keeps one row for each version, in the order of revisions; here keys have rows of their own
// (docs/formats/keyspaces.md). So the file is walked twice: once to learn which versions each key
// has, which are sorted outside of memory, and once to copy the history while the rows that follow
// from it are made. All goes into the store in order, which backends take fast, and the store has
// no position in the log before it has everything.
//
// Used while a snapshot is received or a directory of etcd's taken over, on one thread. Memory:
// LoadOptions::sort_bytes, 4 bytes for each key, 8 for each lease. Errors: kCorruption and kInvalid
// for what is wrong with the file, which is not trusted; kStopped if keep_going() said so; those of
// files and store.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "host/bbolt/file.h"
#include "host/membership/rules.h"
#include "host/mvcc/view.h"
#include "host/raft/types.h"
#include "host/snapshot/etcd_rows.h"
#include "host/store/store.h"

namespace mortise::snapshot {

constexpr size_t kSortBytesMax = 64 << 20;

// The file's position in the log and membership give way to those that a leader names with it.
struct LoadOptions {
  std::string temp_dir;  // For files to sort with.
  std::optional<Position> position;
  std::optional<raft::ConfState> conf_state;
  // Instead of the members in the file.
  std::optional<membership::Roster> roster;
  // If the file has none.
  std::string cluster_version;
  // The member that the store will belong to; 0: the store gets no such row.
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
  size_t sort_bytes = kSortBytesMax;
  std::function<bool()> keep_going = [] { return true; };
};

struct Loaded {
  Position position;
  raft::ConfState conf_state;
  mvcc::State state;
  uint64_t versions = 0;
  uint64_t keys = 0;
};

// `source` holds the file, with nothing behind it that belongs to it. After a failure the store is
// good for nothing.
Result<Loaded> load(const bbolt::Source& source, const LoadOptions& options, store::Store* store);

// Does the file come from a cluster in which clients must authenticate?
Result<bool> has_auth_enabled(const bbolt::Source& source);

}  // namespace mortise::snapshot
