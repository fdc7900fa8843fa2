// Whether the client of a call may do what it asks: what stands between the handlers and the auth
// plugin. Requests that are logged are judged by propose() (call.h), and again when they are
// applied (host/apply); all others by their handlers with what is here.
//
// Any thread. While authentication is off all of it is one load.
#pragma once

#include "host/api/call.h"
#include "host/auth/needs.h"

namespace mortise::api {

// Says what a request needs; false if it is malformed.
using NeedsFn = bool (*)(std::string_view request, auth::Needs* out);

// Who calls? *wait_index: an entry that may bring the token and is not applied here yet, or 0.
RpcStatus identify(Call* call, uint64_t* wait_index);

// Judges now, by what this member knows. The call then knows who its client is.
RpcStatus judge(Call* call, const auth::Needs& needs);
RpcStatus judge(Call* call, NeedsFn needs);
RpcStatus judge(Call* call, mortise_access_kind kind);

// Users and roles are still those by which the call was judged. After a read.
RpcStatus still_current(const Call& call);

// Goes on with the call if its client may, else fails it. A refusal may come from what this member
// does not know yet: it counts when the member has caught up.
void when_permitted(Call call, NeedsFn needs, std::function<void(Call)> next);
void when_permitted(Call call, mortise_access_kind kind, std::function<void(Call)> next);

// Of calls that wait, and ask again as time goes by. Null where no authentication is served.
std::shared_ptr<auth::Warrant> warrant_of(const Call& call);
std::shared_ptr<auth::Warrant> make_warrant(const Context& context,
                                            std::shared_ptr<const auth::Credentials> credentials);

// May the user do this to every key that is attached to the lease?
RpcStatus judge_lease_keys(const Context& context, const mortise_identity& who, int64_t lease,
                           mortise_access_kind kind);

// Could the refusal come from what this member does not know yet?
bool may_be_behind(const Context& context, const RpcStatus& refusal);

}  // namespace mortise::api
