#include "host/watch/stream.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

namespace mortise::watch {
namespace {

// Responses to several revisions once the budget is used up.
constexpr uint64_t kPressedResponseBytes = 16 << 10;

}  // namespace

void Stream::on_message(rpc::Payload message) {
  // An empty message takes no credit, so nothing bounds how many there are; it asks for nothing.
  if (message.view().empty()) return;
  inbox_->push(RequestItem{shared_from_this(), std::move(message)});
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

uint64_t Stream::response_bytes() const {
  return under_pressure() ? std::min(kPressedResponseBytes, options_.history_response_bytes_max)
                          : options_.history_response_bytes_max;
}

void Stream::send(Message&& message) {
  if (has_credit()) return hand_over(std::move(message));
  queued_answers_ += message.is_answer;
  queue_.push_back(std::move(message));
}

void Stream::hand_over(Message&& message) {
  const uint64_t size = message.bytes.size();
  credit_ -= static_cast<int64_t>(size);
  sent_ += size;
  counters_->unread_bytes.fetch_add(size, std::memory_order_relaxed);
  if (message.is_answer) unread_answers_.push_back(sent_);
  client_.send(std::move(message.bytes));
}

void Stream::take_grants() {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  const uint64_t granted = granted_.exchange(0, std::memory_order_relaxed);
  const auto room = static_cast<uint64_t>(credit_ > 0 ? kMax - credit_ : kMax);
  credit_ += static_cast<int64_t>(std::min(granted, room));
  if (std::exchange(has_window_, true)) {
    const uint64_t read = std::min(granted, sent_ - read_);
    read_ += read;
    counters_->unread_bytes.fetch_sub(read, std::memory_order_relaxed);
    while (!unread_answers_.empty() && unread_answers_.front() <= read_) {
      unread_answers_.pop_front();
    }
  }
  while (!queue_.empty() && credit_ > 0) {
    Message message = std::move(queue_.front());
    queue_.pop_front();
    queued_answers_ -= message.is_answer;
    hand_over(std::move(message));
  }
}

bool Stream::defer(std::string_view request) {
  const uint64_t total = counters_->deferred_bytes.load(std::memory_order_relaxed);
  if (total + request.size() > options_.deferred_bytes_max) return false;
  counters_->deferred_bytes.fetch_add(request.size(), std::memory_order_relaxed);
  if (deferred_at_ >= deferred_.size() / 2) deferred_.erase(0, std::exchange(deferred_at_, 0));
  const auto size = static_cast<uint32_t>(request.size());
  deferred_.append(reinterpret_cast<const char*>(&size), sizeof(size));
  deferred_.append(request);
  return true;
}

std::string_view Stream::next_deferred() {
  uint32_t size;
  std::memcpy(&size, deferred_.data() + deferred_at_, sizeof(size));
  std::string_view request(deferred_.data() + deferred_at_ + sizeof(size), size);
  deferred_at_ += sizeof(size) + size;
  counters_->deferred_bytes.fetch_sub(size, std::memory_order_relaxed);
  return request;
}

void Stream::drop_deferred() {
  while (has_deferred()) next_deferred();
  deferred_ = std::string();
  deferred_at_ = 0;
}

void Stream::end(const RpcStatus& status) {
  ended_ = true;
  drop_deferred();
  counters_->unread_bytes.fetch_sub(sent_ - read_, std::memory_order_relaxed);
  read_ = sent_;
  client_.end(status);
}

}  // namespace mortise::watch
