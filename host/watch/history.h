// Reads events back from the store, for watchers that were not there when they happened.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "host/base/arena.h"
#include "host/base/status.h"
#include "host/mvcc/events.h"
#include "host/mvcc/view.h"

namespace mortise::watch {

struct HistoryLimits {
  uint32_t revisions_max = 1000;
  uint64_t bytes_max = 4 << 20;  // May be exceeded by one revision, which is never split.
  int64_t last_revision = 0;     // Later ones are not read.
};

// The events of revisions from..last_revision, whole revisions only.
struct Chunk {
  Arena arena;  // Holds what the events point to.
  std::vector<mvcc::Event> events;
  int64_t last_revision = 0;
};
Result<Chunk> read_chunk(const mvcc::View& view, int64_t from, const HistoryLimits& limits);

// The events of one batch or chunk in the form in which they are sent: each is encoded once, when
// somebody wants it, and previous values are looked up when the event does not carry them.
class EncodedEvents {
 public:
  // `view` null: one is opened if a lookup needs it. All outlive this.
  EncodedEvents(const std::vector<mvcc::Event>* events, const store::Store* store,
                const mvcc::View* view)
      : events_(events), store_(store), view_(view), encoded_(events->size()) {}
  // The bytes live until the next trim().
  Status get(uint32_t event, bool with_prev, std::string_view* out);
  // Forgets what is encoded if it takes more than that.
  void trim(uint64_t bytes_max);

 private:
  struct Encoded {
    std::string_view plain;
    std::string_view with_prev;
  };
  Status find_prev(const mvcc::Event& event, std::string_view* prev_kv);

  const std::vector<mvcc::Event>* const events_;
  const store::Store* const store_;
  const mvcc::View* view_;
  std::optional<mvcc::View> own_view_;
  store::Cursor cursor_;  // Over the histories of keys, once a lookup needed it.
  std::vector<Encoded> encoded_;
  Arena arena_;
};

}  // namespace mortise::watch
