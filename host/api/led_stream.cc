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
  std::lock_guard lock(calls_);
  inner_ = inner;
  if (!ended_ && granted_ > 0) inner_->on_grant(granted_);
  if (!ended_ && half_closed_) inner_->on_half_close();
  if (!ended_ && canceled_) inner_->on_cancel();
}

void LedStream::on_message(rpc::Payload message) {
  auto self = shared_from_this();
  std::lock_guard lock(calls_);
  // No message comes before the stream has given credit for it.
  if (!ended_ && inner_ != nullptr) inner_->on_message(std::move(message));
}

void LedStream::on_half_close() {
  auto self = shared_from_this();
  std::lock_guard lock(calls_);
  half_closed_ = true;
  if (!ended_ && inner_ != nullptr) inner_->on_half_close();
}

void LedStream::on_grant(uint64_t bytes) {
  auto self = shared_from_this();
  std::lock_guard lock(calls_);
  if (inner_ == nullptr) granted_ += bytes;
  if (!ended_ && inner_ != nullptr) inner_->on_grant(bytes);
}

void LedStream::on_cancel() {
  auto self = shared_from_this();
  std::lock_guard lock(calls_);
  canceled_ = true;
  if (!ended_ && inner_ != nullptr) inner_->on_cancel();
}

void LedStream::end(mortise_rpc_code code, mortise_bytes message) {
  std::shared_ptr<LedStream> self = all_->forget(this);
  ended_ = true;
  if (lost_leader_) {
    const RpcStatus why = rpc_errors::kNoLeader;
    events_.on_end(context_, static_cast<mortise_rpc_code>(why.code()),
                   rpc::to_bytes(why.message()));
  } else {
    events_.on_end(context_, code, message);
  }
  // Whoever ends the stream may delete it now.
  if (canceler_.load() == std::this_thread::get_id()) return;
  std::lock_guard wait(canceling_);
}

void LedStream::cancel_for_lost_leader() {
  std::lock_guard canceling(canceling_);
  std::lock_guard lock(calls_);
  if (ended_ || inner_ == nullptr || !needs_leader_) return;
  lost_leader_ = true;
  canceler_ = std::this_thread::get_id();
  inner_->on_cancel();
  canceler_ = std::thread::id();
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
