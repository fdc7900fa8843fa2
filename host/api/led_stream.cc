#include "host/api/led_stream.h"

#include <utility>
#include <vector>

namespace mortise::api {

rpc::ClientStream LedStream::client() {
  mortise_stream_events events{};
  events.struct_size = sizeof events;
  events.on_message = [](void* self, mortise_buffer message) {
    of(self)->events_.on_message(of(self)->context_, message);
  };
  events.on_credit = [](void* self, uint64_t bytes) {
    of(self)->events_.on_credit(of(self)->context_, bytes);
  };
  events.on_end = [](void* self, mortise_rpc_code code, mortise_bytes message) {
    of(self)->end(code, message);
  };
  return rpc::ClientStream(&events, this);
}

void LedStream::begin(rpc::ServerStream* inner) {
  auto self = shared_from_this();
  std::unique_lock lock(mutex_);
  inner_ = inner;
  pass_on(lock);
}

void LedStream::on_message(rpc::Payload message) { bring({News::kMessage, 0, std::move(message)}); }

void LedStream::bring(News news) {
  auto self = shared_from_this();
  std::unique_lock lock(mutex_);
  if (ended_) return;
  news_.push_back(std::move(news));
  pass_on(lock);
}

void LedStream::pass_on(std::unique_lock<std::mutex>& lock) {
  if (inner_ == nullptr || is_inside_) return;
  is_inside_ = true;
  insider_ = std::this_thread::get_id();
  while (!ended_ && !news_.empty()) {
    News next = std::move(news_.front());
    news_.pop_front();
    lock.unlock();
    pass(std::move(next));
    lock.lock();
  }
  is_inside_ = false;
  left_.notify_all();
}

void LedStream::pass(News news) {
  switch (news.kind) {
    case News::kMessage: return inner_->on_message(std::move(news.message));
    case News::kHalfClose: return inner_->on_half_close();
    case News::kGrant: return inner_->on_grant(news.bytes);
    case News::kCancel: return inner_->on_cancel();
  }
}

void LedStream::end(mortise_rpc_code code, mortise_bytes message) {
  std::shared_ptr<LedStream> self = all_->forget(this);
  std::unique_lock lock(mutex_);
  ended_ = true;
  const bool lost_leader = lost_leader_;
  lock.unlock();
  if (lost_leader) {
    const RpcStatus why = rpc_errors::kNoLeader;
    events_.on_end(context_, static_cast<mortise_rpc_code>(why.code()),
                   rpc::to_bytes(why.message()));
  } else {
    events_.on_end(context_, code, message);
  }
  lock.lock();
  if (is_inside_ && insider_ == std::this_thread::get_id()) return;
  // Whoever ends the stream may delete it now.
  left_.wait(lock, [this] { return !is_inside_; });
}

void LedStream::cancel_for_lost_leader() {
  std::unique_lock lock(mutex_);
  if (ended_ || inner_ == nullptr || !needs_leader_) return;
  lost_leader_ = true;
  news_.push_back({News::kCancel});
  pass_on(lock);
}

std::shared_ptr<LedStream> LedStreams::open(const mortise_stream_events* events, void* context,
                                            bool needs_leader) {
  auto stream = std::make_shared<LedStream>(this, events, context, needs_leader);
  std::lock_guard lock(mutex_);
  streams_[stream.get()] = stream;
  return stream;
}

std::shared_ptr<LedStream> LedStreams::forget(LedStream* stream) {
  std::lock_guard lock(mutex_);
  auto node = streams_.extract(stream);
  return node.empty() ? nullptr : std::move(node.mapped());
}

void LedStreams::cancel_all() {
  std::vector<std::shared_ptr<LedStream>> streams;
  {
    std::lock_guard lock(mutex_);
    for (auto& [key, stream] : streams_) streams.push_back(stream);
  }
  for (auto& stream : streams) stream->cancel_for_lost_leader();
}

}  // namespace mortise::api
