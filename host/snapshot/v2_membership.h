// Members as etcd's old store of keys (API v2) held them: JSON that goes with a snapshot's message,
// since members of versions up to 3.6 refuse one without it. What counts is in the file.
#pragma once

#include <string>

#include "host/base/status.h"
#include "host/store/store.h"

namespace mortise::snapshot {

Result<std::string> v2_membership(const store::Reader& reader);

}  // namespace mortise::snapshot
