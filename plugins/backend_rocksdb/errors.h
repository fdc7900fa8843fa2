// Turns failures of RocksDB and of the system into the statuses of the plugin interface.
//
// Used by every file of this plugin, on any thread. Each message names the path it is about,
// because that is what an operator can act on.
#pragma once

#include <rocksdb/status.h>

#include <string>
#include <string_view>

#include "mortise/sdk/status.h"

namespace mortise::backend_rocksdb {

using Status = sdk::Status;

// A failure of `code` with a message; os_errno is zero if the system did not report one.
Status failure(mortise_status code, std::string message, int os_errno = 0);

// A failed system call on `path`, classified by `os_errno`.
Status system_failure(int os_errno, std::string_view doing, const std::string& path);

// OK if `status` is; else a failure that says what was being done where.
Status from_rocksdb(const rocksdb::Status& status, std::string_view doing, const std::string& path);

}  // namespace mortise::backend_rocksdb
