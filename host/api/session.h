// What the services for locks and elections share. etcd serves both through a client of its own
// inside the server, and what clients see follows from that: each call has a session, a lease that
// it brings or is granted, and errors keep their text and lose their code.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "host/api/call.h"
#include "host/lock/contender.h"

namespace mortise::api {

// Fails the call as etcd does after an error of its own client.
void fail_inner(Call* call, const RpcStatus& status);

using SharedCall = std::shared_ptr<Call>;
SharedCall share(Call call);

// Logs a request for the call; if that fails, so does the call.
void propose_for(SharedCall call, uint32_t field, const std::string& request,
                 std::function<void(SharedCall call, const apply::ApplyResult& result)> next);

// Goes on with a lease: the given one, or a new one if it is 0.
void with_session(SharedCall call, int64_t lease,
                  std::function<void(SharedCall call, int64_t lease)> next);

// Competes for the call. `answer` gives the rest of the response, behind the header.
Cancellable* compete(Call call, lock::Claim claim,
                     std::function<std::string(const lock::Turn&)> answer);

}  // namespace mortise::api
