// What reaches the hub's thread, in one order: batches of events from the apply thread, and what
// clients and transports do with streams.
//
// Any thread pushes, the hub's thread takes. Batches are bounded in bytes: those beyond are
// replaced by a note of the revision up to which events were skipped, and watchers read them from
// the store. What streams push is bounded by the few KiB of credit that each gave its client, and
// by one grant for each.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "host/base/rpc_error.h"
#include "host/mvcc/events.h"
#include "host/mvcc/view.h"
#include "host/rpc/buffers.h"
#include "host/watch/hub.h"

namespace mortise::watch {

class Stream;
using Clock = std::chrono::steady_clock;

// Figures that any thread may read.
struct Counters {
  std::atomic<uint64_t> streams{0};
  std::atomic<uint64_t> watchers{0};
  std::atomic<uint64_t> unsynced_watchers{0};
  std::atomic<uint64_t> prev_watchers{0};
  std::atomic<uint64_t> pending_events{0};
  std::atomic<uint64_t> events_sent{0};
  std::atomic<uint64_t> queue_overflows{0};
  std::atomic<uint64_t> unread_bytes{0};
  std::atomic<uint64_t> deferred_bytes{0};
  std::atomic<uint64_t> watcher_bytes{0};
  SendTimes sends;
  std::atomic<int64_t> compacted{mvcc::kNeverCompacted};  // The newest that the hub was told of.
};

struct BatchItem {
  std::shared_ptr<const mvcc::EventBatch> batch;
};
// Events up to this revision come in no batch.
struct SkippedItem {
  int64_t last_revision = 0;
};
struct OpenedItem {
  std::shared_ptr<Stream> stream;
};
struct RequestItem {
  std::shared_ptr<Stream> stream;
  rpc::Payload request;
};
// The stream has new credit; it knows how much.
struct GrantedItem {
  std::shared_ptr<Stream> stream;
};
struct CanceledItem {
  std::shared_ptr<Stream> stream;
};
// All streams that came before end.
struct EndAllItem {
  const RpcError* error = nullptr;  // A row of the table.
};
// What clients may do has changed; these users are others than before.
struct RecheckItem {
  std::vector<std::string> users;
};
using Item = std::variant<BatchItem, SkippedItem, OpenedItem, RequestItem, GrantedItem,
                          CanceledItem, EndAllItem, RecheckItem>;

class Inbox {
 public:
  Inbox(uint64_t batch_bytes_max, Counters* counters)
      : batch_bytes_max_(batch_bytes_max), counters_(counters) {}

  // False once closed: the item was not taken.
  bool push(Item item);
  void publish(std::shared_ptr<const mvcc::EventBatch> batch);
  void skip(int64_t last_revision);

  // Replaces *out by all items, after waiting for some until `deadline`; none: as long as it takes.
  // False once closed, with the last items.
  bool take(std::vector<Item>* out, std::optional<Clock::time_point> deadline);
  // A batch that was taken has been handled, and counts no more.
  void batch_done(const mvcc::EventBatch& batch);
  void close();

 private:
  void skip_locked(int64_t last_revision, std::vector<Item>* dropped);

  const uint64_t batch_bytes_max_;
  Counters* const counters_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::vector<Item> items_;
  uint64_t batch_bytes_ = 0;  // In items_, and taken but not done.
  bool closed_ = false;
};

}  // namespace mortise::watch
