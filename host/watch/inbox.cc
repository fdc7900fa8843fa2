#include "host/watch/inbox.h"

#include <utility>

namespace mortise::watch {

bool Inbox::push(Item item) {
  {
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    items_.push_back(std::move(item));
  }
  changed_.notify_one();
  return true;
}

void Inbox::publish(std::shared_ptr<const mvcc::EventBatch> batch) {
  const int64_t last_revision = batch->last_revision;
  if (last_revision < batch->first_revision) return;
  const uint64_t bytes = batch->memory_bytes();
  std::vector<Item> dropped;  // Freed after the lock is.
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    // The hub counts a watcher before it takes again, so whoever is not counted here meets the
    // note.
    if (counters_->watchers.load(std::memory_order_relaxed) == 0) {
      skip_locked(last_revision, nullptr);
      return;
    }
    if (batch_bytes_ + bytes > batch_bytes_max_) {
      counters_->queue_overflows.fetch_add(1, std::memory_order_relaxed);
      skip_locked(last_revision, &dropped);
    } else {
      batch_bytes_ += bytes;
      counters_->pending_events.fetch_add(batch->events.size(), std::memory_order_relaxed);
      items_.push_back(BatchItem{std::move(batch)});
    }
  }
  changed_.notify_one();
}

void Inbox::skip(int64_t last_revision) {
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    skip_locked(last_revision, nullptr);
  }
  changed_.notify_one();
}

void Inbox::skip_locked(int64_t last_revision, std::vector<Item>* dropped) {
  // Once one batch is missing those that wait are worth little: watchers catch up in larger steps.
  for (size_t i = 0; dropped != nullptr && i < items_.size(); ++i) {
    auto* waiting = std::get_if<BatchItem>(&items_[i]);
    if (waiting == nullptr) continue;
    batch_bytes_ -= waiting->batch->memory_bytes();
    counters_->pending_events.fetch_sub(waiting->batch->events.size(), std::memory_order_relaxed);
    Item note = SkippedItem{waiting->batch->last_revision};
    dropped->push_back(std::exchange(items_[i], std::move(note)));
  }
  auto* last = items_.empty() ? nullptr : std::get_if<SkippedItem>(&items_.back());
  if (last != nullptr) {
    last->last_revision = last_revision;
  } else {
    items_.push_back(SkippedItem{last_revision});
  }
}

bool Inbox::take(std::vector<Item>* out, std::optional<Clock::time_point> deadline) {
  out->clear();
  std::unique_lock lock(mutex_);
  auto ready = [&] { return closed_ || !items_.empty(); };
  if (deadline.has_value()) {
    changed_.wait_until(lock, *deadline, ready);
  } else {
    changed_.wait(lock, ready);
  }
  out->swap(items_);
  return !closed_;
}

void Inbox::batch_done(const mvcc::EventBatch& batch) {
  counters_->pending_events.fetch_sub(batch.events.size(), std::memory_order_relaxed);
  std::lock_guard lock(mutex_);
  batch_bytes_ -= batch.memory_bytes();
}

void Inbox::close() {
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_one();
}

}  // namespace mortise::watch
