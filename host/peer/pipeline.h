// Sends messages as POSTs, a few at a time, where no stream is up. On the loop's thread; owned by
// Peer. Private to this folder.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "host/peer/context.h"
#include "host/peer/http_caller.h"

namespace mortise::peer {

inline constexpr size_t kPipelineWorkers = 4;
inline constexpr size_t kPipelineMessagesMax = 64;  // That wait; further ones are dropped.
inline constexpr milliseconds kPipelineTimeMax{10'000};

class Pipeline : public std::enable_shared_from_this<Pipeline> {
 public:
  Pipeline(ContextRef context, NodeId peer, PeerStatusRef status, UrlPickerRef picker);

  // False if the queue is full.
  bool enqueue(raft::Message&& message);
  void stop();
  // Stops once all that was queued is answered; nothing is queued from now on.
  void finish();

 private:
  void pump();
  using CallerRef = std::shared_ptr<HttpCaller>;
  void post(CallerRef worker, const raft::Message& message);
  void on_answer(const config::Url& url, uint64_t bytes, const Result<HttpResponse>& result);

  const ContextRef context_;
  const NodeId peer_;
  const PeerStatusRef status_;
  const UrlPickerRef picker_;
  std::deque<raft::Message> queue_;
  std::vector<CallerRef> idle_;
  std::vector<CallerRef> workers_;
  bool finishing_ = false;
  bool stopped_ = false;
};

// What a member's answer to a POST of messages means; 204 is good. 403 is reported as this member's
// removal.
Status check_post_answer(Context* context, NodeId to, const HttpResponse& response);

}  // namespace mortise::peer
