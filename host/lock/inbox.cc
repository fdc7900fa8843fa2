#include "host/lock/inbox.h"

#include "host/lock/contender.h"
#include "host/lock/observer.h"

namespace mortise::lock {

Inbox::Inbox() = default;
Inbox::~Inbox() = default;

bool Inbox::push(Item&& item) {
  {
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    items_.push_back(std::move(item));
  }
  changed_.notify_one();
  return true;
}

void Inbox::publish(const std::shared_ptr<const mvcc::EventBatch>& batch) {
  if (!following_.load()) return;
  const uint64_t bytes = batch->memory_bytes();
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    if (batch_bytes_ + bytes <= kQueuedBatchBytesMax) {
      batch_bytes_ += bytes;
      items_.push_back(BatchItem{batch});
    } else if (auto* last = items_.empty() ? nullptr : std::get_if<MissedItem>(&items_.back())) {
      last->last_revision = batch->last_revision;
    } else {
      items_.push_back(MissedItem{batch->last_revision});
    }
  }
  changed_.notify_one();
}

bool Inbox::take(std::vector<Item>* out, bool wait) {
  out->clear();
  std::unique_lock lock(mutex_);
  if (wait) changed_.wait(lock, [this] { return closed_ || !items_.empty(); });
  out->swap(items_);
  return !closed_;
}

void Inbox::batch_done(const mvcc::EventBatch& batch) {
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

}  // namespace mortise::lock
