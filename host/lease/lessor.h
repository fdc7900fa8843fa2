// Leases of this member: which exist, when they run out. Which keys hang on a lease is in the
// store, row by row (keyspace lease_keys), so memory here is for leases only.
//
// grant, revoke and load come from the apply thread and follow the log. Expiry is the leader's
// business: it keeps time in memory, extends it on keep-alive without writing the log, and proposes
// a revocation when a lease has run out. On a member that is not primary nothing expires.
//
// Thread-safe; callbacks run without the lock.
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "host/base/rpc_error.h"
#include "host/base/status.h"
#include "host/store/store.h"

namespace mortise::lease {

constexpr int64_t kTtlSecondsMax = 9'000'000'000;

using Clock = std::chrono::steady_clock;

struct LeaseInfo {
  int64_t id = 0;
  int64_t granted_ttl = 0;
  int64_t remaining_ttl = 0;  // Whole seconds, cut; negative once it has run out.
};

class Lessor {
 public:
  // TTLs below `min_ttl_seconds` are raised to it. `now` is the time source.
  Lessor(int64_t min_ttl_seconds, std::function<Clock::time_point()> now);

  Status load(const store::Reader& reader);

  // What a grant would do: the TTL that the lease gets. Changes nothing.
  RpcStatus check_grant(int64_t id, int64_t ttl, int64_t* granted_ttl) const;
  void grant(int64_t id, int64_t granted_ttl);
  // The caller has removed the keys, and runs the callbacks returned once that is visible.
  std::vector<std::function<void()>> revoke(int64_t id);
  bool exists(int64_t id) const;

  // The leader takes over: every lease gets its full time, and `extend` on top for the change of
  // leaders.
  void promote(std::chrono::milliseconds extend);
  void demote();

  enum class Renewal { kRenewed, kUnknown, kExpired };
  // Starts the TTL anew. kExpired: it has run out and is about to be revoked; `revoked` runs when
  // it is.
  Renewal renew(int64_t id, int64_t* ttl, std::function<void()> revoked);

  std::optional<LeaseInfo> info(int64_t id) const;
  std::vector<int64_t> by_remaining_time() const;

  // Leases that have run out, at most `limit`, and not reported in the last `retry`.
  std::vector<int64_t> expired(size_t limit, std::chrono::milliseconds retry);

 private:
  struct Lease {
    int64_t ttl = 0;
    Clock::time_point expiry;      // Only if primary.
    Clock::time_point not_before;  // Next time that expired() reports it.
    std::vector<std::function<void()>> waiters;
  };
  Clock::time_point full_time(int64_t ttl) const;
  void set_expiry(int64_t id, Lease* lease, Clock::time_point expiry);

  const int64_t min_ttl_seconds_;
  const std::function<Clock::time_point()> now_;
  mutable std::mutex mutex_;
  bool primary_ = false;
  std::unordered_map<int64_t, Lease> leases_;
  std::set<std::pair<Clock::time_point, int64_t>> by_expiry_;
};

// leasepb.Lease, as stored.
std::string encode_lease(int64_t id, int64_t ttl);
bool decode_lease(std::string_view bytes, int64_t* id, int64_t* ttl);
// Name of a lease's row.
std::string lease_row(int64_t id);

// User keys attached to the lease, in key order.
Status attached_keys(const store::Reader& reader, int64_t id,
                     const std::function<void(std::string_view)>& visit);

}  // namespace mortise::lease
