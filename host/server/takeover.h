// Takes over the data directory of an etcd that has stopped, or that etcdutl or etcdctl has
// restored: beside etcd's files a directory of ours is made, and then they change places.
//
//   <data-dir>/member/                 etcd's, until all is made; then ours
//   <data-dir>/mortise-import.part/    ours while it is made
//   <data-dir>/mortise-import-<time>/  ours, whole
//   <data-dir>/etcd-member-<time>/     etcd's, kept as it was
//
// The rename of member/ to etcd-member-<time>/ decides: whatever ends the process before leaves
// etcd's directory as it was, and afterwards the next start goes on with the renames. With
// --wal-dir the same names stand in that directory, for what belongs to the log.
//
// Called at start before the data directory is opened, on that thread. kInUse: an etcd, or another
// server, is using the directory. After an error before that rename etcd's files are where they
// were.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "host/base/status.h"
#include "host/server/etcd_import.h"

namespace mortise::server {

struct TakeoverOptions {
  std::string data_dir;
  std::string wal_dir;  // Empty: in the data directory.
  std::string backend;
  ImportHooks import;
  // For tests: comes to a point at which a crash would make a difference.
  std::function<void(std::string_view point)> at = [](std::string_view) {};
};

// Does nothing if there is nothing to take over.
Status take_over_etcd(const TakeoverOptions& options, Log* log);

}  // namespace mortise::server
