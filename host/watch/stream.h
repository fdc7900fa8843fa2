// One stream of Watch/Watch: the transport's end, which only queues, and the hub's side of it.
//
// Messages leave in one order: what could not be sent for want of credit waits in a queue, and
// while there is any, watchers of the stream produce no events. So the queue holds answers to
// requests, whose number is bounded, and at most the rest of one response that was split.
//
// What a client that does not read can cost:
//   - events: what its credit allows and one response; and all streams together have a budget, once
//     that is used up a stream gets its next response when it has read the one before;
//   - answers: after a number of unread ones its requests wait, as bytes, until it reads;
//   - requests: the few KiB that it may send ahead of their answers, and one that is larger.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "host/base/byte_buffer.h"
#include "host/rpc/stream.h"
#include "host/watch/hub.h"
#include "host/watch/inbox.h"

namespace mortise::watch {

class Stream;

enum class WatcherState : uint8_t {
  kLive,       // In the live index: has everything up to the hub's revision.
  kBehind,     // In the index of those who read history.
  kHeld,       // In none: waits for the client to read.
  kCompacted,  // In none: canceled because its revision is gone. Its id is taken until the client
               // cancels.
};

struct Watcher {
  uint64_t id = 0;  // In the indexes.
  Stream* stream = nullptr;
  int64_t watch_id = 0;
  std::string key;
  std::string range_end;
  int64_t start_revision = 0;  // As asked for.
  // Nothing below is for this watcher. A live one is not updated for each event: it is also past
  // all that the hub has delivered.
  int64_t next_revision = 0;
  size_t position = 0;                    // Among those behind.
  std::list<Watcher*>::iterator held_at;  // Among those that its stream holds.
  size_t matches = 0;                     // While they are put in order.
  WatcherState state = WatcherState::kLive;
  bool progress_notify = false;
  bool progress_due = false;  // No events since the last round of notifications.
  bool prev_kv = false;
  bool fragment = false;
  bool no_put = false;
  bool no_delete = false;
};

// Ids are chosen by clients, and none may choose those that meet in one bucket.
struct WatchIdHash {
  size_t operator()(int64_t watch_id) const {
    static const uint64_t seed = std::random_device()() | uint64_t{std::random_device()()} << 32;
    uint64_t x = (static_cast<uint64_t>(watch_id) ^ seed) * 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93;
    return x ^ (x >> 32);
  }
};

class Stream final : public rpc::ServerStream, public std::enable_shared_from_this<Stream> {
 public:
  // Borrowed parts outlive it.
  Stream(Inbox* inbox, const HubOptions* options, Counters* counters,
         const rpc::ClientStream& client, PermitFn permit, RecheckFn recheck)
      : inbox_(inbox),
        options_(*options),
        counters_(counters),
        client_(client),
        permit_(std::move(permit)),
        recheck_(std::move(recheck)) {}

  // The transport's end.
  void on_message(rpc::Payload message) override;
  void on_half_close() override {}  // As in etcd the client goes on receiving.
  void on_grant(uint64_t bytes) override;
  void on_cancel() override;

  // What follows is for the hub's thread alone.
  bool ended() const { return ended_; }
  // May events be sent? If not, whoever has some is held until there is credit.
  bool ready() const { return has_credit() && (sent_ == read_ || !under_pressure()); }
  // Events of several revisions are sent in responses of about this size.
  uint64_t response_bytes() const;
  // Are so many answers unread that further requests have to wait?
  bool answers_full() const {
    return unread_answers_.size() + queued_answers_ >= options_.control_responses_max;
  }
  // Sends, or queues behind what waits.
  void send_events(ByteBuffer&& message) { send({std::move(message), false}); }
  void send_answer(ByteBuffer&& message) { send({std::move(message), true}); }
  // Takes the credit that came since the last time, and sends what waits.
  void take_grants();
  // The client may send so many bytes more.
  void allow_requests(uint64_t bytes) { client_.grant(bytes); }
  // Keeps a request until answers have been read. False if all streams keep too much together.
  bool defer(std::string_view request);
  bool has_deferred() const { return deferred_at_ < deferred_.size(); }
  // The oldest request that was kept, valid until the next call.
  std::string_view next_deferred();
  // The client's last call; the transport does not call this object once it has begun.
  void end(const RpcStatus& status);
  RpcStatus permit(const std::string& key, const std::string& range_end) const {
    return permit_ ? permit_(key, range_end) : RpcStatus();
  }
  RpcStatus recheck(const std::string& key, const std::string& range_end,
                    const std::vector<std::string>& changed_users) const {
    return recheck_ ? recheck_(key, range_end, changed_users) : RpcStatus();
  }

  std::unordered_map<int64_t, Watcher*, WatchIdHash> watchers;
  std::list<Watcher*> held;  // Who has waited longest is first.
  size_t live_watchers = 0;
  size_t behind_watchers = 0;
  // No watcher began, or is to begin, above it.
  int64_t latest_start = 0;
  int64_t next_watch_id = 0;
  uint64_t progress_watchers = 0;
  Clock::duration tick_interval{};
  Clock::time_point next_tick{};

 private:
  struct Message {
    ByteBuffer bytes;
    bool is_answer = false;
  };

  bool has_credit() const { return queue_.empty() && credit_ > 0; }
  bool under_pressure() const {
    return counters_->unread_bytes.load(std::memory_order_relaxed) >= options_.unread_bytes_max;
  }
  void send(Message&& message);
  void hand_over(Message&& message);
  void drop_deferred();

  Inbox* const inbox_;
  const HubOptions& options_;
  Counters* const counters_;
  rpc::ClientStream client_;
  const PermitFn permit_;
  const RecheckFn recheck_;
  std::atomic<uint64_t> granted_{0};  // By the client, not taken yet.

  int64_t credit_ = 0;       // Below zero after a message that was larger than what was left.
  bool has_window_ = false;  // The first credit came. What comes later was sent and has been read.
  uint64_t sent_ = 0, read_ = 0;         // Bytes, of all time.
  std::deque<uint64_t> unread_answers_;  // Where each ends in what was sent.
  std::deque<Message> queue_;
  size_t queued_answers_ = 0;
  // Requests that wait, each behind its length in 4 bytes, and how far they have been taken out.
  std::string deferred_;
  size_t deferred_at_ = 0;
  bool ended_ = false;
};

}  // namespace mortise::watch
