#include "host/watch/history.h"

#include "host/watch/response.h"
#include "host/wire/key_value.h"

namespace mortise::watch {
namespace {

// A row of the revisions keyspace as an event. Of a tombstone the name says when, the value what.
Status decode_row(std::string_view name, std::string_view value, Arena* arena, mvcc::Event* event) {
  if (!mvcc::decode_revision(name, &event->revision, &event->is_delete)) {
    return corruption("a row of the history has a malformed name");
  }
  wire::KeyValue kv;
  std::string_view stored = arena->copy(value);
  if (!wire::decode_key_value(stored, &kv)) return corruption("a stored KeyValue is malformed");
  event->key = kv.key;
  event->key_value = stored;
  if (event->is_delete) {
    wire::KeyValue shown;
    shown.key = kv.key;
    shown.mod_revision = event->revision.main;
    size_t size = wire::key_value_size(shown);
    char* p = arena->allocate(size);
    wire::write_key_value(p, shown);
    event->key_value = {p, size};
  } else {
    event->is_create = kv.create_revision == kv.mod_revision;
    event->prev_known = event->is_create;
  }
  return Status();
}

}  // namespace

Result<Chunk> read_chunk(const mvcc::View& view, int64_t from, const HistoryLimits& limits) {
  Chunk chunk;
  chunk.last_revision = limits.last_revision;
  MORTISE_ASSIGN_OR_RETURN(auto cursor,
                           view.reader().cursor(store::kRevisions, MORTISE_CURSOR_NO_CACHE));
  MORTISE_RETURN_IF_ERROR(cursor.seek(mvcc::encode_revision({from, 0}), {}));
  uint32_t revisions = 0;
  uint64_t bytes = 0;
  int64_t current = 0;
  std::string_view name, value;
  while (cursor.next(&name, &value)) {
    mvcc::Revision revision;
    bool tombstone;
    if (!mvcc::decode_revision(name, &revision, &tombstone)) {
      return corruption("a row of the history has a malformed name");
    }
    if (revision.main > limits.last_revision) return chunk;
    if (revision.main != current) {
      if (revisions == limits.revisions_max || bytes >= limits.bytes_max) {
        // Revisions in between have been compacted, or there are none.
        chunk.last_revision = revision.main - 1;
        return chunk;
      }
      current = revision.main;
      ++revisions;
    }
    bytes += name.size() + value.size();
    MORTISE_RETURN_IF_ERROR(decode_row(name, value, &chunk.arena, &chunk.events.emplace_back()));
  }
  MORTISE_RETURN_IF_ERROR(cursor.status());
  return chunk;
}

Status EncodedEvents::get(uint32_t index, bool with_prev, std::string_view* out) {
  const mvcc::Event& event = (*events_)[index];
  if (event.is_create) with_prev = false;
  Encoded& encoded = encoded_[index];
  std::string_view& bytes = with_prev ? encoded.with_prev : encoded.plain;
  if (bytes.empty()) {
    std::string_view prev_kv;
    if (with_prev) MORTISE_RETURN_IF_ERROR(find_prev(event, &prev_kv));
    bytes = encode_event(event, prev_kv, &arena_);
  }
  *out = bytes;
  return Status();
}

void EncodedEvents::trim(uint64_t bytes_max) {
  if (arena_.bytes_reserved() <= bytes_max) return;
  encoded_.assign(events_->size(), Encoded());
  arena_ = Arena();
}

// The newest version of the key before the event, unless it was a deletion or the revision before
// the event is compacted.
Status EncodedEvents::find_prev(const mvcc::Event& event, std::string_view* prev_kv) {
  if (event.prev_known) {
    *prev_kv = event.prev_kv;
    return Status();
  }
  if (view_ == nullptr) {
    MORTISE_ASSIGN_OR_RETURN(own_view_, mvcc::View::open(*store_));
    view_ = &*own_view_;
  }
  if (event.revision.main - 1 < view_->state().compacted) return Status();
  if (!cursor_.is_open()) {
    MORTISE_ASSIGN_OR_RETURN(cursor_,
                             view_->reader().cursor(store::kKeyHistory, MORTISE_CURSOR_REVERSE));
  }
  MORTISE_RETURN_IF_ERROR(cursor_.seek(mvcc::history_prefix(event.key),
                                       mvcc::history_key(event.key, event.revision.main)));
  std::string_view row, value;
  if (!cursor_.next(&row, &value)) return cursor_.status();
  std::string_view prefix;
  mvcc::Revision revision;
  mvcc::HistoryValue version;
  if (!mvcc::split_history_key(row, &prefix, &revision.main) ||
      !mvcc::decode_history_value(value, &version)) {
    return corruption("a key history row is malformed");
  }
  if (version.tombstone) return Status();
  revision.sub = version.sub;
  char stored_name[mvcc::kRevisionBytesMax];
  size_t size = mvcc::write_revision(stored_name, revision, false);
  bool found;
  MORTISE_RETURN_IF_ERROR(
      view_->reader().get(store::kRevisions, {stored_name, size}, &found, prev_kv));
  if (!found) return corruption("a revision of a key's history is not stored");
  return Status();
}

}  // namespace mortise::watch
