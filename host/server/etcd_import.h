// Makes a store and a log of ours from those of an etcd member that has stopped: the same member,
// with all that it has applied, and with every entry of its log behind that, committed or not,
// since it has promised to keep them.
//
// Called by the takeover (takeover.h) at start, on its thread; may take minutes. Reads etcd's files
// and changes none. Memory: that of snapshot::load and of one record of the log. Errors name the
// file, and the offset where there is one; what was made until then is good for nothing.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "host/base/status.h"
#include "host/server/log.h"
#include "host/store/store.h"
#include "host/wal/wal.h"

namespace mortise::server {

// What the member's server brings to it.
struct ImportHooks {
  std::function<Result<std::unique_ptr<store::Store>>(const std::string& path)> open_store;
  bool enforces_auth = false;  // May it serve the data of users that must authenticate?
  int64_t learners_max = 1;
  uint64_t log_segment_bytes = wal::Options().segment_bytes;
};

struct ImportPaths {
  std::string etcd_snap;  // member/snap, with the database in it.
  std::string etcd_wal;
  std::string store;  // Made; its parent is there.
  std::string wal;    // Made.
  std::string temp;   // A directory for files to sort with.
};

Status import_etcd(const ImportPaths& paths, const ImportHooks& hooks, Log* log);

}  // namespace mortise::server
