// The members in the store of etcd's old API (v2), as it stands in a .snap file: a tree of nodes in
// JSON. Up to version 3.5 this is what etcd goes by.
//
// A pure function; kCorruption for what is not such a tree.
#pragma once

#include <string_view>

#include "host/base/status.h"
#include "host/etcd_dir/member_entries.h"

namespace mortise::etcd_dir {

Result<Membership> read_v2_members(std::string_view json);

}  // namespace mortise::etcd_dir
