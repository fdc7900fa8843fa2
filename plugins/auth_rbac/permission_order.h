// The order of a role's permissions after one was added.
//
// etcd sorts them by key alone, with Go's sort.Sort, which does not keep the order of equals. Where
// one key has several ranges, the stored order is what that very algorithm makes of it, so it is
// followed here step by step: pattern-defeating quicksort with Go's thresholds.
#pragma once

#include <vector>

#include "plugins/auth_rbac/records.h"

namespace mortise::auth_rbac {

void sort_permissions(std::vector<Permission>& permissions);

}  // namespace mortise::auth_rbac
