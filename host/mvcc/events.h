// What changed: the events of one applied batch, in revision order. Immutable once published; the
// views point into the batch's arena, which lives as long as anybody holds the batch.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "host/base/arena.h"
#include "host/mvcc/revision.h"

namespace mortise::mvcc {

struct Event {
  Revision revision;
  bool is_delete = false;
  bool is_create = false;       // A put that made the key.
  bool prev_known = false;      // prev_kv is set, or known to be absent.
  int64_t create_revision = 0;  // Of the key; of a deleted one, what it was. 0 if not known.
  std::string_view key;
  std::string_view
      key_value;  // KeyValue bytes as an event shows them: a delete has key and mod_revision.
  std::string_view prev_kv;  // KeyValue bytes before the change.
};

struct EventBatch {
  std::shared_ptr<Arena> arena;
  std::vector<Event> events;
  int64_t first_revision = 0;  // The revision before the batch, plus one.
  int64_t last_revision = 0;   // The store's revision after the batch.

  // What it holds, for queues that are bounded.
  uint64_t memory_bytes() const {
    return events.size() * sizeof(Event) + (arena != nullptr ? arena->bytes_reserved() : 0);
  }
};

}  // namespace mortise::mvcc
