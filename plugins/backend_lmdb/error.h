// LMDB's return codes as statuses of the ABI. Any thread.
#pragma once

#include <string_view>

#include "mortise/sdk/status.h"

namespace mortise::lmdb {

using sdk::Status;

// `what` names what was tried and the path: "reading /data/gen-1". rc must not be 0. MDB_NOTFOUND
// is corruption here: callers for whom a missing key is a normal answer ask before.
Status mdb_error(int rc, std::string_view what);

}  // namespace mortise::lmdb
