// Keeps the order of those who compete for locks and elections on the server's side, and tells
// observers who leads: the state of v3lockpb.Lock/Lock and v3electionpb.Election/Campaign, Observe.
//
// One thread of the keeper's own holds all of it; nobody waits in a thread. What is waited for are
// events of the store: a contender has its turn when all older keys of its prefix are gone, whoever
// made them, so clients that use the same keys by themselves take part. A hand-over costs the same
// however many wait, and who waits costs one entry in a table.
//
// The apply thread calls publish(); transports, through the handlers, compete(), cancel() and
// observe(). The store outlives the keeper. stop() comes before what proposes is stopped; calls and
// streams that are left are answered then. Nothing is kept over a restart: keys are in the store,
// and calls end with their connections.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "host/apply/result.h"
#include "host/base/rpc_error.h"
#include "host/base/status.h"
#include "host/lock/contender.h"
#include "host/mvcc/events.h"
#include "host/rpc/header.h"
#include "host/rpc/stream.h"
#include "host/store/store.h"

namespace mortise::lock {

struct KeeperOptions {
  // Logs a request, as api::Node does. Called on the keeper's thread.
  std::function<void(uint32_t field, std::string_view request, const wire::Author& author,
                     std::unique_ptr<apply::Waiter> waiter)>
      propose;
  // Are reads of the local store linearizable now?
  std::function<bool()> is_linearizable;
  // Calls done() once a read that begins then is, or with why none can be; on any thread.
  std::function<void(std::function<void(const RpcStatus&)> done)> when_linearizable;
  std::function<int64_t()> new_lease_id;
  std::function<rpc::Header(int64_t revision)> header;
  // The store's revision that readers see now.
  std::function<int64_t()> revision;
  // The store failed: the keeper ended what it had and serves no more. On its thread; may be empty.
  std::function<void(const Status&)> failed;
  // Calls that compete; one more is refused.
  uint64_t contenders_max = 100'000;
  // Largest request of an observer.
  uint64_t request_bytes_max = 2 << 20;
};

class Keeper {
 public:
  Keeper(const store::Store* store, KeeperOptions options);
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  void start();
  // Answers everybody as Unavailable "etcdserver: server stopped". Keys of those who waited go.
  void stop();

  // In the order of revisions, after the batch became visible and before its calls are answered.
  void publish(const std::shared_ptr<const mvcc::EventBatch>& batch);

  // Events up to this revision come in no batch; the store has them.
  void missed(int64_t last_revision);

  // A number for compete() and cancel().
  uint64_t new_id();
  // `done` is called once, on the keeper's thread or on this one.
  void compete(uint64_t id, Claim claim, TurnFn done);
  // The client is gone: the contender's key goes, then done() is called. Of one that is done
  // already it means nothing.
  void cancel(uint64_t id);

  // Null after stop(). The stream belongs to the keeper.
  rpc::ServerStream* observe(const rpc::ClientStream& client,
                             std::shared_ptr<auth::Warrant> warrant = {});

  // What clients may do has changed: observers who may not go on are ended.
  void recheck(std::vector<std::string> changed_users);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mortise::lock
