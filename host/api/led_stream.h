// Streams whose clients want them to end when the member has no leader (metadata `hasleader`), and
// those that are opened a moment after their clients came.
//
// A LedStream stands between the transport and the stream: it passes on everything, and can cancel
// the stream as a client would, with a reason of its own. LedStreams knows all of them.
//
// Threads: the transport's calls come one at a time, events, begin() and cancel_all() on any
// thread. Whoever comes while another one is inside the stream leaves its news to that one and
// goes on: a transport holds the end of a stream back while it is in here, so that it must not wait
// for somebody who ends the stream. No end returns to whoever ended the stream while another one is
// inside. Ownership: a LedStream lives until its end and all calls have returned.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

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
  void on_half_close() override { bring({News::kHalfClose}); }
  void on_grant(uint64_t bytes) override { bring({News::kGrant, bytes}); }
  void on_cancel() override { bring({News::kCancel}); }

 private:
  friend class LedStreams;
  struct News {
    enum Kind { kMessage, kHalfClose, kGrant, kCancel } kind;
    uint64_t bytes = 0;
    rpc::Payload message = {};
  };
  static LedStream* of(void* context) { return static_cast<LedStream*>(context); }
  void bring(News news);
  // With the lock. Passes on what there is, unless somebody is at it or the stream is not opened.
  void pass_on(std::unique_lock<std::mutex>& lock);
  void pass(News news);
  void end(mortise_rpc_code code, mortise_bytes message);
  void cancel_for_lost_leader();

  LedStreams* const all_;
  const mortise_stream_events events_;
  void* const context_;
  const bool needs_leader_;
  std::mutex mutex_;  // Guards what follows. Nothing is called with it.
  std::condition_variable left_;
  std::deque<News> news_;  // For the stream.
  rpc::ServerStream* inner_ = nullptr;
  bool is_inside_ = false;  // Somebody is in the stream:
  std::thread::id insider_;
  bool lost_leader_ = false;
  bool ended_ = false;
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
