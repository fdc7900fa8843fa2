// Serves the streams of etcdserverpb.Watch/Watch: who watches what, what each has seen, what it
// gets next.
//
// One thread of the hub's own holds the index plugin, all watchers and everything that is sent.
// Batches of events and messages of clients reach it through one queue, so a request that a client
// sends after its put was answered is handled after that put's events.
//
// The apply thread calls publish() and compacted(); transports call open_stream() and the stream
// that it gives; wants_prev() and stats() are for any thread. The store outlives the hub, and the
// hub outlives every call on its streams: stop transports, then stop(), then destroy.
//
// For each watcher: events come in the order of revisions, none missing, none twice, none below its
// start, all of a revision in one response. A watcher that is behind, because it began in the past,
// its client does not read, or the queue overflowed, costs its next revision and reads what it
// missed from the store.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/metrics.h"
#include "host/base/rpc_error.h"
#include "host/base/status.h"
#include "host/mvcc/events.h"
#include "host/rpc/header.h"
#include "host/rpc/stream.h"
#include "host/store/store.h"
#include "mortise/abi/watch.h"

namespace mortise::watch {

struct HubOptions {
  // A response header with the given revision. Called on the hub's thread.
  std::function<rpc::Header(int64_t revision)> header;
  // The store's revision that readers see now. Any thread.
  std::function<int64_t()> revision;
  // The store or the index failed: the hub ended its streams and serves no more. On the hub's
  // thread; may be empty. Must not call stop().
  std::function<void(const Status&)> failed;
  // Between two rounds of progress notifications of a stream; each stream adds up to 10 % of it.
  std::chrono::nanoseconds progress_interval = std::chrono::minutes(10);
  // Responses of this size and more are split for watchers that asked for it.
  uint64_t fragment_bytes = (1536 << 10) + (512 << 10);
  // What a client may send ahead of the answers; one request may go beyond.
  uint64_t request_window_bytes = 4 << 10;
  // Created, canceled and progress responses of a stream that its client has not read. If they are
  // more, its requests wait.
  uint32_t control_responses_max = 256;
  // Requests of all streams that wait for that reason. A stream that sends more is ended.
  uint64_t deferred_bytes_max = 64 << 20;
  // Sent and not read by the clients, of all streams. Above it a stream is sent its next events
  // when its client has read those before.
  uint64_t unread_bytes_max = 256 << 20;
  // All watchers, with what the index needs for each. Above it new ones are refused.
  uint64_t watcher_bytes_max = 1 << 30;
  // Published batches that the hub has not taken yet. What is beyond is read from the store.
  uint64_t queued_batch_bytes_max = 64 << 20;
  // One round of reading history, after which live events have their turn.
  uint32_t history_round_revisions_max = 1000;
  uint64_t history_round_bytes_max = 4 << 20;
  // A response with events of several revisions. May be exceeded by one revision, which is never
  // split.
  uint64_t history_response_bytes_max = 1 << 20;
};

// How long responses took to be handed over, in nanoseconds. Any thread reads it.
struct SendTimes {
  DiskHistogram events;
  DiskHistogram per_event;
  DiskHistogram answers;   // To requests.
  DiskHistogram progress;  // Notifications.
};

// Says whether a client may watch [key, range_end); the status is what a unary call would answer.
// Called on the hub's thread when a watcher is created.
using PermitFn = std::function<RpcStatus(std::string_view key, std::string_view range_end)>;
// Says whether a watcher may go on, after a change of what clients may do. `changed_users` were
// deleted, or have to log in again.
using RecheckFn = std::function<RpcStatus(std::string_view key, std::string_view range_end,
                                          const std::vector<std::string>& changed_users)>;

class Hub {
 public:
  // Makes two indexes with the plugin: of watchers that are up to date and of those that are
  // behind.
  static Result<std::unique_ptr<Hub>> create(const store::Store* store,
                                             const mortise_watch_v1* index,
                                             const mortise_host* host, std::string_view config_json,
                                             HubOptions options);
  ~Hub();
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  // `revision`: the store's now; batches published later begin after it.
  void start(int64_t revision);
  // Ends every stream as Unavailable "etcdserver: server stopped", which makes clients reconnect,
  // and returns when their end() has returned. Also right without start(), and again.
  void stop();

  // In the order of revisions, after the batch became visible and before its calls are answered.
  void publish(std::shared_ptr<const mvcc::EventBatch> batch);
  // Events up to this revision come in no batch: the store has them from elsewhere. Watchers read
  // them there.
  void missed(int64_t last_revision);
  // The store was compacted at `revision`: watchers that begin below are refused at once, without a
  // look at the store, which tells of compactions as well.
  void compacted(int64_t revision);
  // Does any watcher want previous values? Then batches should have them; if not, the hub looks
  // them up.
  bool wants_prev() const;

  // Ends the streams that there are; others may be opened. `error` is a row of the table.
  void end_streams(const RpcError& error);
  // Null after stop(). The stream belongs to the hub.
  rpc::ServerStream* open_stream(const rpc::ClientStream& client, PermitFn permit = {},
                                 RecheckFn recheck = {});
  // Cancels the watchers that may not go on. Before the events are published that they must not
  // see.
  void recheck(std::vector<std::string> changed_users);

  struct Stats {
    uint64_t streams = 0;
    uint64_t watchers = 0;
    uint64_t unsynced_watchers = 0;  // Behind: reading history, or held back by their clients.
    uint64_t pending_events = 0;     // Published, not handled yet.
    uint64_t events_sent = 0;
    uint64_t queue_overflows = 0;
    uint64_t unread_bytes = 0;    // Sent, not read by clients.
    uint64_t deferred_bytes = 0;  // Requests that wait until their clients read.
  };
  Stats stats() const;
  const SendTimes& send_times() const;

 private:
  class Impl;
  explicit Hub(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mortise::watch
