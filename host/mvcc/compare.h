// The comparisons of a txn.
#pragma once

#include "host/mvcc/view.h"
#include "host/wire/kv_requests.h"

namespace mortise::mvcc {

// Do all hold in this view? A range must hold for each of its keys; a missing key compares as a
// zero KeyValue, but never by value.
Status compares_hold(const ReadContext& context, const std::vector<wire::Compare>& compares,
                     bool* hold);

}  // namespace mortise::mvcc
