#include <algorithm>
#include <tuple>

#include "host/watch/engine.h"

namespace mortise::watch {

void Engine::set_header(int64_t revision) {
  header_.clear();
  rpc::append_header(options_.header(revision), &header_);
}

Status Engine::deliver(Watcher* watcher, const Match* first, const Match* last,
                       const std::vector<mvcc::Event>& events, EncodedEvents* encoded,
                       bool* delivered) {
  wanted_.clear();
  *delivered = true;
  for (const Match* match = first; match != last; ++match) {
    const mvcc::Event& event = events[match->event];
    if (event.revision.main < watcher->next_revision) continue;
    if (event.is_delete ? watcher->no_delete : watcher->no_put) continue;
    if (!watcher->stream->ready()) {
      *delivered = false;
      return Status();
    }
    MORTISE_RETURN_IF_ERROR(encoded->get(match->event, watcher->prev_kv, &wanted_.emplace_back()));
  }
  if (!wanted_.empty()) send_events(watcher);
  return Status();
}

void Engine::send_events(Watcher* watcher) {
  Stream* stream = watcher->stream;
  counters_->events_sent.fetch_add(wanted_.size(), std::memory_order_relaxed);
  watcher->progress_due = false;
  std::span<const std::string_view> rest = wanted_;
  const uint64_t limit = options_.fragment_bytes;
  if (!watcher->fragment || rest.size() < 2 ||
      events_response_size(header_, watcher->watch_id, false, rest) < limit) {
    stream->send(write_events(header_, watcher->watch_id, false, rest));
    return;
  }
  while (!rest.empty()) {
    size_t count = 1;
    size_t size = events_response_size(header_, watcher->watch_id, true, rest.first(1));
    while (count < rest.size() && size + rest[count].size() < limit) size += rest[count++].size();
    stream->send(write_events(header_, watcher->watch_id, count < rest.size(), rest.first(count)));
    rest = rest.subspan(count);
  }
}

Status Engine::on(BatchItem& item) {
  Status status = deliver_batch(*item.batch);
  inbox_->batch_done(*item.batch);
  item.batch.reset();
  return status;
}

Status Engine::deliver_batch(const mvcc::EventBatch& batch) {
  const std::vector<mvcc::Event>& events = batch.events;
  live_.match(events, &matches_);
  auto revision_of = [&](const Match& m) { return events[m.event].revision.main; };
  if (events.size() > 1) {
    // By revision, so that a stream sees one after the other; then what goes into one response.
    std::sort(matches_.begin(), matches_.end(), [&](const Match& a, const Match& b) {
      const int64_t ra = revision_of(a), rb = revision_of(b);
      return std::tie(ra, a.watcher, a.event) < std::tie(rb, b.watcher, b.event);
    });
  }
  EncodedEvents encoded(&events, store_, nullptr);
  int64_t revision = -1;
  const Match* const end = matches_.data() + matches_.size();
  for (const Match* first = matches_.data(); first != end;) {
    if (revision_of(*first) != revision) {
      revision = revision_of(*first);
      set_header(revision);
    }
    const Match* last = first + 1;
    while (last != end && last->watcher == first->watcher && revision_of(*last) == revision) ++last;
    Watcher* watcher = watchers_[first->watcher].get();
    // One that was held by an earlier revision of this batch gets the rest from the store.
    if (watcher->state == WatcherState::kLive) {
      bool delivered;
      MORTISE_RETURN_IF_ERROR(deliver(watcher, first, last, events, &encoded, &delivered));
      if (!delivered) {
        watcher->next_revision = revision;
        enter_held(watcher);
      }
    }
    first = last;
  }
  live_revision_ = batch.last_revision;
  return Status();
}

Status Engine::on(SkippedItem& item) {
  const int64_t first_missed = live_revision_ + 1;
  live_revision_ = std::max(live_revision_, item.last_revision);
  if (live_.size() == 0) return Status();
  for (const std::unique_ptr<Watcher>& slot : watchers_) {
    Watcher* watcher = slot.get();
    if (watcher == nullptr || watcher->state != WatcherState::kLive) continue;
    if (watcher->next_revision > live_revision_) continue;
    watcher->next_revision = std::max(watcher->next_revision, first_missed);
    MORTISE_RETURN_IF_ERROR(enter_unsynced(watcher));
  }
  return Status();
}

void Engine::cancel_compacted(Watcher* watcher, int64_t compacted) {
  leave(watcher);
  ControlResponse response;
  response.watch_id = watcher->watch_id;
  response.canceled = true;
  response.compact_revision = compacted;
  watcher->stream->send(write_control(options_.header(0), response));
}

void Engine::cancel_or_hold_behind(int64_t compacted) {
  for (size_t i = behind_.size(); i-- > 0;) {
    Watcher* watcher = behind_[i];
    if (!watcher->stream->ready()) {
      enter_held(watcher);
    } else if (watcher->next_revision < compacted) {
      cancel_compacted(watcher, compacted);
    }
  }
}

Status Engine::catch_up() {
  MORTISE_ASSIGN_OR_RETURN(auto view, mvcc::View::open(*store_));
  MORTISE_CHECK(view.state().revision >= live_revision_,
                "a batch was published before it was visible");
  cancel_or_hold_behind(view.state().compacted);
  if (behind_.empty()) return Status();
  int64_t from = behind_.front()->next_revision;
  for (const Watcher* watcher : behind_) from = std::min(from, watcher->next_revision);
  HistoryLimits limits{options_.history_round_revisions_max, options_.history_round_bytes_max};
  MORTISE_ASSIGN_OR_RETURN(auto chunk, read_chunk(view, from, limits));
  MORTISE_RETURN_IF_ERROR(deliver_chunk(view, chunk));
  for (size_t i = behind_.size(); i-- > 0;) {
    Watcher* watcher = behind_[i];
    watcher->next_revision = std::max(watcher->next_revision, chunk.last_revision + 1);
    if (watcher->next_revision <= live_revision_) continue;
    MORTISE_RETURN_IF_ERROR(enter_live(watcher));
  }
  return Status();
}

Status Engine::deliver_chunk(const mvcc::View& view, const Chunk& chunk) {
  behind_index_.match(chunk.events, &matches_);
  std::sort(matches_.begin(), matches_.end(), [](const Match& a, const Match& b) {
    return std::tie(a.watcher, a.event) < std::tie(b.watcher, b.event);
  });
  EncodedEvents encoded(&chunk.events, store_, &view);
  set_header(view.state().revision);
  const Match* const end = matches_.data() + matches_.size();
  for (const Match* first = matches_.data(); first != end;) {
    const Match* last = first + 1;
    while (last != end && last->watcher == first->watcher) ++last;
    Watcher* watcher = watchers_[first->watcher].get();
    bool delivered;
    MORTISE_RETURN_IF_ERROR(deliver(watcher, first, last, chunk.events, &encoded, &delivered));
    if (!delivered) {
      enter_held(watcher);
    }
    first = last;
  }
  return Status();
}

}  // namespace mortise::watch
