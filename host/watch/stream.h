// One stream of Watch/Watch: the transport's end, which only queues, and the hub's side of it.
//
// Messages leave in one order: what could not be sent for want of credit waits in a queue, and
// while there is any, watchers of the stream produce no events. So the queue holds control
// responses, whose number is bounded by the requests that the client may have under way, and at
// most the rest of one response that was split.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
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
  size_t position = 0;  // In the list of its state.
  WatcherState state = WatcherState::kLive;
  bool progress_notify = false;
  bool progress_due = false;  // No events since the last round of notifications.
  bool prev_kv = false;
  bool fragment = false;
  bool no_put = false;
  bool no_delete = false;
};

class Stream final : public rpc::ServerStream, public std::enable_shared_from_this<Stream> {
 public:
  Stream(Inbox* inbox, const rpc::ClientStream& client, PermitFn permit,
         uint32_t queued_responses_max)
      : inbox_(inbox),
        client_(client),
        permit_(std::move(permit)),
        queued_responses_max_(queued_responses_max) {}

  // The transport's end.
  void on_message(rpc::Payload message) override;
  void on_half_close() override {}  // As in etcd the client goes on receiving.
  void on_grant(uint64_t bytes) override;
  void on_cancel() override;

  // What follows is for the hub's thread alone.
  bool ended() const { return ended_; }
  // May events be sent? If not, whoever has some is held until there is credit.
  bool ready() const { return queue_.empty() && credit_ > 0; }
  bool queue_full() const { return queue_.size() >= queued_responses_max_; }
  // Sends, or queues behind what waits.
  void send(ByteBuffer&& message);
  // Takes the credit that came since the last time, and sends what waits.
  void take_grants();
  // The client may send so many bytes more, as soon as it reads its answers.
  void allow_requests(uint64_t bytes);
  // The client's last call; the transport does not call this object once it has begun.
  void end(const RpcStatus& status);
  RpcStatus permit(const std::string& key, const std::string& range_end) const {
    return permit_ ? permit_(key, range_end) : RpcStatus();
  }

  std::unordered_map<int64_t, Watcher*> watchers;
  std::vector<Watcher*> held;
  int64_t next_watch_id = 0;
  uint64_t progress_watchers = 0;
  Clock::duration tick_interval{};
  Clock::time_point next_tick{};

 private:
  Inbox* const inbox_;
  rpc::ClientStream client_;
  const PermitFn permit_;
  const uint32_t queued_responses_max_;
  std::atomic<uint64_t> granted_{0};  // By the client, not taken yet.

  int64_t credit_ = 0;  // Below zero after a message that was larger than what was left.
  std::deque<ByteBuffer> queue_;
  uint64_t owed_ = 0;  // Request bytes answered and not granted again.
  bool ended_ = false;
};

}  // namespace mortise::watch
