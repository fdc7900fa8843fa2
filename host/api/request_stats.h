// Lines in the log about calls that took long, with etcd's messages and fields.
#pragma once

#include "host/api/call.h"

namespace mortise::api {

// A read of `call` has been carried out: if that took longer than --warning-apply-duration, it is
// logged with what `found` says was answered, or with the error. `kind` is "read-only range " or
// "read-only txn ".
void warn_if_slow_read(const Call& call, std::string_view kind, const RpcStatus& status,
                       const std::function<std::string()>& found);

}  // namespace mortise::api
