#include <algorithm>
#include <limits>
#include <utility>

#include "host/watch/engine.h"

namespace mortise::watch {
namespace {

// Encoded events that are kept for the next watcher that wants them.
constexpr uint64_t kEncodedBytesMax = 16 << 20;
// Pairs of watchers and events of one round of history. It ends early rather than find many more.
constexpr size_t kRoundMatchesMax = 64 << 10;
// A batch or round of one revision may find more; memory for those is given back.
constexpr size_t kKeptMatchesMax = 16 * kRoundMatchesMax;

// Behind the last event of the revision that events[from] belongs to.
size_t end_of_revision(const std::vector<mvcc::Event>& events, size_t from) {
  size_t to = from + 1;
  while (to < events.size() && events[to].revision.main == events[from].revision.main) ++to;
  return to;
}

}  // namespace

void Engine::set_header(int64_t revision) {
  header_.clear();
  rpc::append_header(options_.header(revision), &header_);
}

Status Engine::deliver(Watcher* watcher, const Match* first, const Match* last,
                       const std::vector<mvcc::Event>& events, EncodedEvents* encoded) {
  wanted_.clear();
  encoded->trim(kEncodedBytesMax);
  uint64_t bytes = 0;
  int64_t revision = 0;
  for (const Match* match = first; match != last; ++match) {
    const mvcc::Event& event = events[match->event];
    if (event.revision.main < watcher->next_revision) continue;
    if (event.is_delete ? watcher->no_delete : watcher->no_put) continue;
    if (event.revision.main != revision) {
      revision = event.revision.main;
      if (bytes >= watcher->stream->response_bytes()) {
        send_events(watcher);
        wanted_.clear();
        bytes = 0;
      }
      if (wanted_.empty() && !watcher->stream->ready()) {
        watcher->next_revision = revision;
        enter_held(watcher);
        return Status();
      }
    }
    MORTISE_RETURN_IF_ERROR(encoded->get(match->event, watcher->prev_kv, &wanted_.emplace_back()));
    bytes += wanted_.back().size();
  }
  if (!wanted_.empty()) send_events(watcher);
  return Status();
}

void Engine::send_events(Watcher* watcher) {
  const Clock::time_point start = Clock::now();
  send_wanted(watcher);
  const std::chrono::nanoseconds took = Clock::now() - start;
  counters_->sends.events.observe_alone(took);
  counters_->sends.per_event.observe_alone(took / static_cast<int64_t>(wanted_.size()));
}

void Engine::send_wanted(Watcher* watcher) {
  Stream* stream = watcher->stream;
  counters_->events_sent.fetch_add(wanted_.size(), std::memory_order_relaxed);
  watcher->progress_due = false;
  std::span<const std::string_view> rest = wanted_;
  const uint64_t limit = options_.fragment_bytes;
  if (!watcher->fragment || rest.size() < 2 ||
      events_response_size(header_, watcher->watch_id, false, rest) < limit) {
    stream->send_events(write_events(header_, watcher->watch_id, false, rest));
    return;
  }
  while (!rest.empty()) {
    size_t count = 1;
    size_t size = events_response_size(header_, watcher->watch_id, true, rest.first(1));
    while (count < rest.size() && size + rest[count].size() < limit) size += rest[count++].size();
    stream->send_events(
        write_events(header_, watcher->watch_id, count < rest.size(), rest.first(count)));
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
  EncodedEvents encoded(&batch.events, store_, nullptr);
  for (size_t from = 0; from < batch.events.size();) {
    const size_t to = end_of_revision(batch.events, from);
    MORTISE_RETURN_IF_ERROR(deliver_revision(batch, from, to, &encoded));
    from = to;
  }
  live_revision_ = batch.last_revision;
  return Status();
}

Status Engine::deliver_revision(const mvcc::EventBatch& batch, size_t from, size_t to,
                                EncodedEvents* encoded) {
  matches_.clear();
  live_.match(batch.events, from, to, &matches_);
  if (matches_.empty()) return Status();
  if (to - from > 1) group_matches();
  set_header(batch.events[from].revision.main);
  const Match* const end = matches_.data() + matches_.size();
  for (const Match* first = matches_.data(); first != end;) {
    const Match* last = first + 1;
    while (last != end && last->watcher == first->watcher) ++last;
    Watcher* watcher = watchers_[first->watcher].get();
    MORTISE_RETURN_IF_ERROR(deliver(watcher, first, last, batch.events, encoded));
    first = last;
  }
  drop_matches();
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
  watcher->stream->send_answer(write_control(options_.header(0), response));
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
  for (auto it = waking_.begin(); it != waking_.end();) MORTISE_RETURN_IF_ERROR(wake(*it++));
  if (behind_.empty()) return Status();
  const int64_t from = next_round();
  // What the hub has not seen yet comes from the queue: a watcher that is ahead of the others would
  // see events beyond the progress of its stream.
  HistoryLimits limits{options_.history_round_revisions_max, options_.history_round_bytes_max,
                       live_revision_};
  MORTISE_ASSIGN_OR_RETURN(auto chunk, read_chunk(view, from, limits));
  MORTISE_RETURN_IF_ERROR(deliver_chunk(view, from, &chunk));
  if (from == sweep_) sweep_ = chunk.last_revision + 1;
  for (size_t i = behind_.size(); i-- > 0;) {
    Watcher* watcher = behind_[i];
    if (watcher->next_revision < from) continue;
    watcher->next_revision = std::max(watcher->next_revision, chunk.last_revision + 1);
    if (watcher->next_revision <= live_revision_) continue;
    MORTISE_RETURN_IF_ERROR(enter_live(watcher));
  }
  return Status();
}

int64_t Engine::next_round() {
  constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
  const int64_t near = live_revision_ - options_.history_round_revisions_max;
  int64_t lowest = kNone, ahead = kNone, nearly_live = kNone;
  for (const Watcher* watcher : behind_) {
    const int64_t next = watcher->next_revision;
    lowest = std::min(lowest, next);
    if (next >= sweep_) ahead = std::min(ahead, next);
    if (next > near) nearly_live = std::min(nearly_live, next);
  }
  near_turn_ = !near_turn_;
  if (near_turn_ && nearly_live != kNone) return nearly_live;
  sweep_ = ahead != kNone ? ahead : lowest;
  return sweep_;
}

Status Engine::deliver_chunk(const mvcc::View& view, int64_t from, Chunk* chunk) {
  match_chunk(chunk);
  group_matches();
  EncodedEvents encoded(&chunk->events, store_, &view);
  set_header(view.state().revision);
  const Match* const end = matches_.data() + matches_.size();
  for (const Match* first = matches_.data(); first != end;) {
    const Match* last = first + 1;
    while (last != end && last->watcher == first->watcher) ++last;
    Watcher* watcher = watchers_[first->watcher].get();
    // The events in between are not in the chunk.
    if (watcher->next_revision >= from) {
      MORTISE_RETURN_IF_ERROR(deliver(watcher, first, last, chunk->events, &encoded));
    }
    first = last;
  }
  drop_matches();
  return Status();
}

void Engine::group_matches() {
  std::vector<Watcher*> found;
  for (const Match& match : matches_) {
    Watcher* watcher = watchers_[match.watcher].get();
    if (watcher->matches++ == 0) found.push_back(watcher);
  }
  // First how many a watcher has, then where its next one goes.
  size_t position = 0;
  for (Watcher* watcher : found) position += std::exchange(watcher->matches, position);
  grouped_.resize(matches_.size());
  for (const Match& match : matches_) grouped_[watchers_[match.watcher]->matches++] = match;
  for (Watcher* watcher : found) watcher->matches = 0;
  matches_.swap(grouped_);
}

void Engine::drop_matches() {
  if (matches_.capacity() > kKeptMatchesMax) matches_ = std::vector<Match>();
  if (grouped_.capacity() > kKeptMatchesMax) grouped_ = std::vector<Match>();
}

void Engine::match_chunk(Chunk* chunk) {
  const std::vector<mvcc::Event>& events = chunk->events;
  matches_.clear();
  for (size_t from = 0; from < events.size();) {
    const size_t to = end_of_revision(events, from);
    behind_index_.match(events, from, to, &matches_);
    from = to;
    if (matches_.size() < kRoundMatchesMax || from == events.size()) continue;
    chunk->last_revision = events[from].revision.main - 1;
    return;
  }
}

}  // namespace mortise::watch
