// What the handlers of RPCs work with. Made by host/server; everything in it outlives the last
// call.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <variant>
#include <vector>

#include "host/api/call_metrics.h"
#include "host/apply/alarms.h"
#include "host/apply/result.h"
#include "host/auth/warrant.h"
#include "host/lease/lessor.h"
#include "host/lock/keeper.h"
#include "host/membership/cluster.h"
#include "host/mvcc/compaction_hash.h"
#include "host/raft/types.h"
#include "host/rpc/header.h"
#include "host/rpc/stream.h"
#include "host/store/store.h"
#include "host/wire/raft_request.h"

namespace mortise::api {

// A field of a line in the log.
using LogValue = std::variant<std::string, int64_t, std::vector<std::string>,
                              std::chrono::nanoseconds, std::chrono::system_clock::time_point>;
using LogField = std::pair<std::string, LogValue>;
using LogFields = std::vector<LogField>;

// The store's size as a user sees it, and the quota too.
struct StoreFigures {
  int64_t bytes = 0;
  int64_t in_use = 0;  // Of these, what reclaiming would not give back.
};

using MembersDone =
    std::function<void(const RpcStatus&, const std::vector<membership::Member>& members)>;
// How the renewal of a lease ended, and the time that it has from now on.
using RenewalDone = std::function<void(const RpcStatus&, int64_t ttl)>;

// The server as the handlers see it.
class Node {
 public:
  virtual ~Node() = default;
  // Logs a request in the author's name; the waiter is completed when it is applied or has failed,
  // maybe before this returns. Handlers use propose() of call.h, which asks who may.
  virtual void propose(uint32_t field, std::string_view request, const wire::Author& author,
                       std::unique_ptr<apply::Waiter> waiter) = 0;
  // The same for a change of the membership, whose waiter finds its entry by the change's id.
  virtual void propose_membership(raft::MembershipChange change,
                                  std::unique_ptr<apply::Waiter> waiter) = 0;
  // Are reads of the local store linearizable now, without asking anybody?
  virtual bool is_linearizable() const = 0;
  // Calls done() once a read that begins then is linearizable, or with why none can be. Others that
  // wait share the round; done() may block a little, as a read does, and may run before this
  // returns.
  virtual void when_linearizable(std::function<void(const RpcStatus&)> done) = 0;
  // Calls done() when all that is committed now is applied here, or with kTimeoutWaitApplied.
  virtual void when_caught_up(std::function<void(const RpcStatus&)> done) = 0;
  // Has this member's clock run on lately, so that others cannot have elected another leader
  // without its knowledge?
  virtual bool keeps_time() const = 0;
  // Renews a lease at the member that leads, again and again until it is answered or the time of a
  // request is over.
  virtual void renew_at_leader(int64_t lease, RenewalDone done) = 0;
  // The same for a LeaseTimeToLiveResponse without a header.
  virtual void time_to_live_at_leader(
      int64_t lease, bool with_keys,
      std::function<void(const RpcStatus&, const std::string& body)> done) = 0;
  // Calls done(true) once the rows of the compaction at `revision` are gone.
  virtual void when_compacted(int64_t revision, std::function<void(bool)> done) = 0;
  // The hash that the compaction at `revision` left, if it is remembered.
  virtual std::optional<mvcc::PastHash> past_hash(int64_t revision) const = 0;
  // Reclaims space, on another thread.
  virtual void reclaim(std::function<void(Status)> done) = 0;
  // Runs a task that takes long on another thread; not ok at a stop or if too many wait.
  virtual RpcStatus run_long(std::function<void()> task) = 0;
  // Runs a task on the apply thread while no commit is running; false at a stop. It must be short.
  virtual bool between_commits(std::function<void()> task) = 0;
  // Runs a step of a snapshot on the thread that all of them share; false at a stop.
  virtual bool run_snapshot(std::function<void()> task) = 0;
  // The store's revision that is visible now.
  virtual int64_t revision() const = 0;
  virtual uint64_t term() const = 0;
  virtual uint64_t leader() const = 0;
  // Is this member one without a vote?
  virtual bool is_learner() const = 0;
  // Moves leadership, and answers when the new leader is known here, on any thread.
  virtual void move_leader(uint64_t to, std::function<void(const RpcStatus&)> done) = 0;
  // Since when messages to and from a member get through; nothing while they do not.
  virtual std::optional<std::chrono::steady_clock::time_point> active_since(
      uint64_t member) const = 0;
  // Makes a learner a voter, if it has most of the leader's log; asks the leader if that is another
  // member. done() gets the members as the leader knows them then, on any thread.
  virtual void promote(uint64_t member, MembersDone done) = 0;
  virtual uint64_t committed_index() const = 0;
  virtual uint64_t applied_index() const = 0;
  // A positive id that nobody else has.
  virtual int64_t new_lease_id() = 0;
  // Would `cost` bytes more stay within the quota?
  virtual bool has_space(int64_t cost) = 0;
  // Raises this member's NOSPACE alarm, and calls done() when it is on or could not be raised, on
  // any thread, maybe before this returns.
  virtual void raise_no_space(std::function<void()> done) = 0;
  virtual StoreFigures store_figures() = 0;
  virtual rpc::ServerStream* open_watch(const rpc::ClientStream& client,
                                        std::shared_ptr<auth::Warrant> warrant) = 0;
  virtual void log(std::string_view level, std::string_view message,
                   const std::vector<LogField>& fields,
                   std::source_location where = std::source_location::current()) = 0;
};

struct Limits {
  uint64_t request_bytes_max = 1572864;
  uint64_t txn_ops_max = 128;
  int64_t quota_bytes = int64_t{2} << 30;  // For Status; has_space() judges.
  std::chrono::nanoseconds slow_request{std::chrono::milliseconds(300)};
  std::chrono::nanoseconds slow_apply{std::chrono::milliseconds(100)};  // For reads.
  bool strict_reconfig_check = true;
  // A call that takes less is not looked at again when it is answered.
  std::chrono::nanoseconds report_after{std::chrono::milliseconds(100)};
};

// Streams of Maintenance.Snapshot that are open at once: each keeps a view of the store.
constexpr uint32_t kOpenSnapshotsMax = 8;

struct Context {
  Node* node = nullptr;
  store::Store* store = nullptr;
  lease::Lessor* lessor = nullptr;
  lock::Keeper* keeper = nullptr;
  membership::Cluster* cluster = nullptr;
  apply::Alarms* alarms = nullptr;
  auth::Authority* authority = nullptr;  // Null: no authentication is served.
  std::atomic<uint32_t>* open_snapshots = nullptr;
  CallMetrics* metrics = nullptr;                     // Null: nothing is counted.
  const std::atomic<bool>* logs_all_calls = nullptr;  // Is it the log's level? Null: no.
  bool fast_keep_alive = true;  // A lease that is known is renewed without a wait for the log.
  Limits limits;

  bool auth_enabled() const { return authority != nullptr && authority->enabled(); }

  rpc::Header header(int64_t revision) const {
    return {cluster->cluster_id(), cluster->local_id(), revision, node->term()};
  }
};

constexpr std::string_view kServerVersion = "3.7.1";
constexpr std::string_view kStorageVersion = "3.7.0";

}  // namespace mortise::api
