// Streams whose clients want them to end when the member has no leader (metadata `hasleader`), and
// those that are opened a moment after their clients came.
//
// A LedStream stands between the transport and the stream: it passes on everything, and can cancel
// the stream as a client would, with a reason of its own. LedStreams knows all of them.
//
// Threads: the transport's calls come one at a time, events from any thread; cancel_all() is called
// by one thread, and no stream's end returns to whoever ended it while cancel_all() is inside that
// stream. Ownership: a LedStream lives until its end and all calls have returned.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "host/rpc/stream.h"

namespace mortise::api {

class LedStreams;

class LedStream : public rpc::ServerStream, public std::enable_shared_from_this<LedStream> {
 public:
  LedStream(LedStreams* all, const mortise_stream_events* events, void* context, bool needs_leader)
      : all_(all), events_(*events), context_(context), needs_leader_(needs_leader) {}

  // What the stream gets as its client.
  rpc::ClientStream client();
  // The stream has been opened. What its client did before reaches it now.
  void begin(rpc::ServerStream* inner);

  void on_message(rpc::Payload message) override;
  void on_half_close() override;
  void on_grant(uint64_t bytes) override;
  void on_cancel() override;

 private:
  friend class LedStreams;
  static LedStream* of(void* context) { return static_cast<LedStream*>(context); }
  void end(mortise_rpc_code code, mortise_bytes message);
  void cancel_for_lost_leader();

  LedStreams* const all_;
  const mortise_stream_events events_;
  void* const context_;
  const bool needs_leader_;
  std::mutex calls_;  // One call at a time into the stream.
  rpc::ServerStream* inner_ = nullptr;
  uint64_t granted_ = 0;  // Before it was opened, as what follows.
  bool half_closed_ = false;
  bool canceled_ = false;
  std::mutex canceling_;  // Held while the stream is told that the leader is lost.
  std::atomic<std::thread::id> canceler_{};
  std::atomic<bool> lost_leader_{false};
  std::atomic<bool> ended_{false};
};

class LedStreams {
 public:
  std::shared_ptr<LedStream> open(const mortise_stream_events* events, void* context,
                                  bool needs_leader = true);
  // Ends all streams as Unavailable "etcdserver: no leader".
  void cancel_all();

 private:
  friend class LedStream;
  std::shared_ptr<LedStream> forget(LedStream* stream);

  std::mutex mutex_;
  std::unordered_map<LedStream*, std::shared_ptr<LedStream>> streams_;
};

}  // namespace mortise::api
