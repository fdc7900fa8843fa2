#include "host/watch/stream.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace mortise::watch {

void Stream::on_message(rpc::Payload message) {
  const size_t bytes = message.view().size();
  // An empty message takes no credit, so nothing bounds how many there are; it asks for nothing.
  if (bytes == 0) return;
  inbox_->push(RequestItem{shared_from_this(), parse_request(message.view()), bytes});
}

void Stream::on_grant(uint64_t bytes) {
  if (bytes == 0) return;
  uint64_t before = granted_.load(std::memory_order_relaxed);
  uint64_t after;
  do {
    after = bytes > UINT64_MAX - before ? UINT64_MAX : before + bytes;
  } while (!granted_.compare_exchange_weak(before, after, std::memory_order_relaxed));
  if (before == 0) inbox_->push(GrantedItem{shared_from_this()});
}

void Stream::on_cancel() { inbox_->push(CanceledItem{shared_from_this()}); }

void Stream::send(ByteBuffer&& message) {
  if (!ready()) {
    queue_.push_back(std::move(message));
    return;
  }
  credit_ -= static_cast<int64_t>(message.size());
  client_.send(std::move(message));
}

void Stream::take_grants() {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  const uint64_t granted = granted_.exchange(0, std::memory_order_relaxed);
  const auto room = static_cast<uint64_t>(credit_ > 0 ? kMax - credit_ : kMax);
  credit_ += static_cast<int64_t>(std::min(granted, room));
  while (!queue_.empty() && credit_ > 0) {
    ByteBuffer message = std::move(queue_.front());
    queue_.pop_front();
    credit_ -= static_cast<int64_t>(message.size());
    client_.send(std::move(message));
  }
  allow_requests(0);
}

void Stream::allow_requests(uint64_t bytes) {
  owed_ += bytes;
  if (owed_ == 0 || queue_full()) return;
  client_.grant(std::exchange(owed_, 0));
}

void Stream::end(const RpcStatus& status) {
  ended_ = true;
  client_.end(status);
}

}  // namespace mortise::watch
