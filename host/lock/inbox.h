// What reaches the keeper's thread, in one order: batches of events from the apply thread, what
// became of proposals, and what clients do.
//
// Any thread pushes, the keeper's thread takes. Batches are only taken while somebody competes or
// observes, and are bounded in bytes: those beyond are replaced by a note, and the store is asked.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "host/apply/result.h"
#include "host/mvcc/events.h"

namespace mortise::lock {

class Observer;
struct Contender;

// Batches that the keeper has not handled yet.
constexpr uint64_t kQueuedBatchBytesMax = 64 << 20;

struct StartItem {
  std::unique_ptr<Contender> contender;
};
// The contender's proposal has been applied or has failed.
struct ProposedItem {
  uint64_t id = 0;
  apply::ApplyResult result;
};
struct CancelItem {
  uint64_t id = 0;
};
struct BatchItem {
  std::shared_ptr<const mvcc::EventBatch> batch;
};
// Events up to this revision come in no batch.
struct MissedItem {
  int64_t last_revision = 0;
};
struct OpenedItem {
  std::shared_ptr<Observer> observer;
};
struct RequestItem {
  std::shared_ptr<Observer> observer;
  std::string name;
  bool malformed = false;
  bool confirmed = false;  // `status` says whether the store may be read.
  RpcStatus status;
};
// The contender that waits for that, to begin or when it is its turn, may read the store, or may
// not.
struct ConfirmedItem {
  uint64_t id = 0;
  RpcStatus status;
};
// The observer has new credit; it knows how much.
struct GrantedItem {
  std::shared_ptr<Observer> observer;
};
struct GoneItem {
  std::shared_ptr<Observer> observer;
};
// What clients may do has changed; these users are others than before.
struct RecheckItem {
  std::vector<std::string> users;
};
using Item = std::variant<StartItem, ProposedItem, CancelItem, BatchItem, MissedItem, OpenedItem,
                          RequestItem, ConfirmedItem, GrantedItem, GoneItem, RecheckItem>;

class Inbox {
 public:
  Inbox();
  ~Inbox();
  // False once closed: the item is still the caller's.
  bool push(Item&& item);
  void publish(const std::shared_ptr<const mvcc::EventBatch>& batch);
  // Are batches wanted? A batch that is not taken was visible in the store before this returned.
  void follow(bool wanted) { following_.store(wanted); }

  // Replaces *out by all items, after waiting for some if `wait`. False once closed, with the last.
  bool take(std::vector<Item>* out, bool wait);
  // A batch that was taken has been handled, and counts no more.
  void batch_done(const mvcc::EventBatch& batch);
  void close();

 private:
  std::atomic<bool> following_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::vector<Item> items_;
  uint64_t batch_bytes_ = 0;  // In items_, and taken but not done.
  bool closed_ = false;
};

}  // namespace mortise::lock
