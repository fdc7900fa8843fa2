// Leases of this member: which exist, when they run out. Which keys hang on a lease is in the
// store, row by row (keyspace lease_keys), so memory here is for leases only.
//
// load, grant, checkpoint and revoke come from the apply thread and follow the log. Expiry is the
// leader's business: it keeps time in memory, extends it on keep-alive without writing the log, and
// proposes a revocation when a lease has run out. On a member that is not primary nothing expires.
//
// Checkpoints keep the rest of a lease's time over a restart or a change of leaders: now and then
// the leader logs what is left of a long lease, and promote() begins with that instead of the full
// time. A keep-alive makes the time whole again, so it must log that first, if there was a
// checkpoint.
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

#include "host/base/metrics.h"
#include "host/base/rpc_error.h"
#include "host/base/status.h"
#include "host/store/store.h"

namespace mortise::lease {

constexpr int64_t kTtlSecondsMax = 9'000'000'000;
// Leases that have more time left than this get a checkpoint in each such interval.
constexpr std::chrono::seconds kCheckpointInterval{300};
// promote() sees to it that no more leases than this, about, run out in one second.
constexpr int kExpiriesPerSecond = 750;
constexpr size_t kSpreadFrom = 1000;  // Leases.

using Clock = std::chrono::steady_clock;

struct LeaseRecord {
  int64_t id = 0;
  int64_t ttl = 0;            // Granted.
  int64_t remaining_ttl = 0;  // As of the last checkpoint; 0: all of it.
};

struct LeaseInfo {
  int64_t granted_ttl = 0;
  int64_t remaining_ttl = 0;  // Whole seconds, cut; negative once it has run out.
  bool is_primary = false;    // Otherwise nobody here knows the remaining time.
};

struct LessorOptions {
  int64_t min_ttl_seconds = 1;  // TTLs below are raised to it.
  bool makes_checkpoints = false;
  std::function<Clock::time_point()> now = [] { return Clock::now(); };
};

// Since the start. Any thread reads it.
struct Counters {
  Counter granted, renewed, revoked;
  Histogram<1, 24> granted_ttls;  // Seconds.
};

class Lessor {
 public:
  explicit Lessor(LessorOptions options);

  Status load(const store::Reader& reader);

  // What a grant would do: the TTL that the lease gets. Changes nothing.
  RpcStatus check_grant(int64_t id, int64_t ttl, int64_t* granted_ttl) const;
  void grant(int64_t id, int64_t granted_ttl);
  // Takes note of what a checkpoint says and returns what is to be stored; nothing if the lease is
  // gone.
  std::optional<LeaseRecord> checkpoint(int64_t id, int64_t remaining_ttl);
  // The lease is gone for what the apply thread does next, and for all others with
  // show_revocations(), which is to be called when they see that its keys are gone.
  void revoke(int64_t id);
  void show_revocations();
  bool exists(int64_t id) const;

  // The leader takes over: every lease gets its time, or what a checkpoint left of it, and `extend`
  // on top for the change of leaders.
  void promote(std::chrono::milliseconds extend);
  void demote();

  enum class Renewal { kRenewed, kUnknown, kExpired, kCheckpointed, kNotPrimary };
  // Starts the TTL anew. kExpired: it has run out and is about to be revoked; `revoked` runs when
  // it is, or when this member is primary no longer. kCheckpointed: a checkpoint with a remaining
  // TTL of 0 must be applied first.
  Renewal renew(int64_t id, int64_t* ttl, std::function<void()> revoked);

  std::optional<LeaseInfo> info(int64_t id) const;
  std::vector<int64_t> by_remaining_time() const;
  size_t count() const;
  const Counters& counters() const { return counters_; }

  // Leases that have run out, at most `limit`, and not reported in the last `retry`.
  std::vector<int64_t> expired(size_t limit, std::chrono::milliseconds retry);
  // Checkpoints that are due, at most `limit`.
  std::vector<LeaseRecord> due_checkpoints(size_t limit);

 private:
  struct Lease {
    int64_t ttl = 0;
    int64_t remaining_ttl = 0;
    bool is_revoked = false;  // And in revoked_.
    // Only if primary.
    Clock::time_point expiry;
    Clock::time_point due;         // Its place in by_due_.
    Clock::time_point checkpoint;  // Its place in by_checkpoint_, if any.
    int64_t time_left() const { return remaining_ttl > 0 ? remaining_ttl : ttl; }
  };
  using Queue = std::set<std::pair<Clock::time_point, int64_t>>;
  using Leases = std::unordered_map<int64_t, Lease>;

  Clock::time_point from_now(int64_t seconds) const {
    return options_.now() + std::chrono::seconds(seconds);
  }
  void set_due(int64_t id, Lease* lease, Clock::time_point due);
  void schedule_checkpoint(int64_t id, Lease* lease, int64_t seconds_left);
  void spread_expiries(std::vector<Leases::value_type*>* leases);

  const LessorOptions options_;
  mutable std::mutex mutex_;
  bool is_primary_ = false;
  Leases leases_;
  Queue by_due_;  // When expired() looks at a lease: at its expiry, and again if it is still there.
  Queue by_checkpoint_;
  std::vector<int64_t> revoked_;
  std::unordered_map<int64_t, std::vector<std::function<void()>>> waiters_;
  Counters counters_;
};

// leasepb.Lease, as stored.
std::string encode_lease(const LeaseRecord& lease);
bool decode_lease(std::string_view bytes, LeaseRecord* lease);
// etcdserverpb.LeaseCheckpointRequest.
std::string encode_checkpoints(const std::vector<LeaseRecord>& leases);
bool decode_checkpoints(std::string_view bytes, std::vector<LeaseRecord>* leases);
// Name of a lease's row.
std::string lease_row(int64_t id);

// User keys attached to the lease, in key order.
Status attached_keys(const store::Reader& reader, int64_t id,
                     const std::function<void(std::string_view)>& visit);

}  // namespace mortise::lease
