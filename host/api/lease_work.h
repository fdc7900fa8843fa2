// What a member does for a lease as the leader, for its own clients and for those of the others,
// who ask over the peer port; and the way to the leader for a member that is none.
//
// Any thread; answers come on any thread, maybe before the call returns, and must not block it.
#pragma once

#include <functional>

#include "host/api/context.h"
#include "host/peer/http.h"

namespace mortise::api {

// Not in etcd's table of errors, but what its clients see.
inline constexpr RpcError kNotPrimary{RpcCode::kUnknown, "not a primary lessor"};

// Paths of the peer port.
inline constexpr std::string_view kLeasesPath = "/leases";
inline constexpr std::string_view kLeasesInternalPath = "/leases/internal";
inline constexpr size_t kLeaseRequestBytesMax = 64 << 10;

// Renews at the leader, which may be this member. kLeaseNotFound if there is no such lease.
void renew_lease(const Context& context, int64_t id, RenewalDone done);
// Renews if this member leads, else kNotPrimary. A lease that has run out is waited for until it is
// revoked.
void renew_here(const Context& context, int64_t id, RenewalDone done);
// LeaseTimeToLiveResponse without a header. kLeaseNotFound; kLeaderChanged if this member does not
// lead (any more).
RpcStatus time_to_live_here(const Context& context, int64_t id, bool with_keys, std::string* body);

// POST /leases and POST /leases/internal, as etcd answers them.
using RespondToPeer = std::function<void(peer::HttpResponse)>;
void answer_leases(const Context& context, const peer::HttpRequest& request, RespondToPeer respond);
void answer_leases_internal(const Context& context, const peer::HttpRequest& request,
                            RespondToPeer respond);

// The other side of the two. A response that was sent with status 200; false if it is none for
// this lease.
std::string renewal_request(int64_t id);
bool read_renewal(std::string_view bytes, int64_t id, int64_t* ttl);
std::string time_to_live_request(int64_t id, bool with_keys);
bool read_time_to_live(std::string_view bytes, int64_t id, std::string* body);

}  // namespace mortise::api
