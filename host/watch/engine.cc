#include "host/watch/engine.h"

#include <algorithm>

namespace mortise::watch {
namespace {

// Texts of etcd's watch errors, which have no gRPC code.
constexpr std::string_view kEmptyRange = "mvcc: watcher range is empty";
constexpr std::string_view kDuplicateId = "mvcc: duplicate watch ID provided on the WatchStream";
constexpr std::string_view kOpenEnd("\0", 1);

// What a watcher with short keys takes, with its places in the tables of its stream and the index.
constexpr uint64_t kWatcherCost = 512;

bool is_empty_range(const CreateRequest& request) {
  return !request.range_end.empty() && request.range_end != kOpenEnd &&
         request.key >= request.range_end;
}

// Watchers of one stream that read history at a time.
constexpr size_t kBehindOfStreamMax = 64;

uint64_t cost(std::string_view key, std::string_view range_end) {
  return kWatcherCost + 2 * (key.size() + range_end.size());
}

}  // namespace

Engine::Engine(const store::Store* store, Index live, Index behind, const HubOptions* options,
               Inbox* inbox, Counters* counters)
    : store_(store),
      live_(std::move(live)),
      behind_index_(std::move(behind)),
      options_(*options),
      inbox_(inbox),
      counters_(counters),
      random_(std::random_device()()) {}

Status Engine::handle(Item& item) {
  return std::visit([this](auto& it) { return on(it); }, item);
}

Status Engine::on(EndAllItem& item) {
  end_all(*item.error);
  return Status();
}

Status Engine::on(RecheckItem& item) {
  for (auto& [stream, owner] : streams_) {
    auto& watchers = stream->watchers;
    for (auto at = watchers.begin(); at != watchers.end();) {
      Watcher* watcher = at->second;
      RpcStatus status = stream->recheck(watcher->key, watcher->range_end, item.users);
      if (status.ok()) {
        ++at;
        continue;
      }
      ControlResponse response;
      response.watch_id = watcher->watch_id;
      response.canceled = true;
      response.cancel_reason = go_error_text(status);
      remove_watcher(watcher);
      at = watchers.erase(at);
      stream->send_answer(write_control(options_.header(store_revision()), response));
    }
  }
  return Status();
}

Status Engine::on(OpenedItem& item) {
  Stream* stream = item.stream.get();
  adopt(std::move(item.stream));
  // Spread, so that streams opened together do not all have their turn together.
  std::uniform_real_distribution<double> jitter(1.0, 1.1);
  auto interval = std::chrono::duration<double>(options_.progress_interval) * jitter(random_);
  stream->tick_interval = std::max<Clock::duration>(
      std::chrono::duration_cast<Clock::duration>(interval), std::chrono::milliseconds(1));
  stream->next_tick = Clock::now() + stream->tick_interval;
  stream->allow_requests(options_.request_window_bytes);
  return Status();
}

Status Engine::on(GrantedItem& item) {
  Stream* stream = item.stream.get();
  if (stream->ended()) return Status();
  stream->take_grants();
  while (!stream->ended() && stream->has_deferred() && !stream->answers_full()) {
    MORTISE_RETURN_IF_ERROR(answer(stream, stream->next_deferred()));
  }
  return stream->ended() ? Status() : wake(stream);
}

Status Engine::on(CanceledItem& item) {
  if (!item.stream->ended()) end_stream(item.stream.get(), rpc_errors::kWatchCanceled);
  return Status();
}

Status Engine::on(RequestItem& item) {
  Stream* stream = item.stream.get();
  if (stream->ended()) return Status();
  if (!stream->answers_full() && !stream->has_deferred()) {
    return answer(stream, item.request.view());
  }
  if (!stream->defer(item.request.view())) end_stream(stream, rpc_errors::kTooManyRequests);
  return Status();
}

Status Engine::answer(Stream* stream, std::string_view bytes) {
  const Clock::time_point start = Clock::now();
  Request request = parse_request(bytes);
  if (std::holds_alternative<MalformedRequest>(request)) {
    end_stream(stream, rpc_errors::kMalformed);
    return Status();
  }
  if (auto* create_request = std::get_if<CreateRequest>(&request)) {
    MORTISE_RETURN_IF_ERROR(create(stream, *create_request));
  } else if (auto* cancel_request = std::get_if<CancelRequest>(&request)) {
    cancel(stream, cancel_request->watch_id);
  } else if (std::holds_alternative<ProgressRequest>(request)) {
    progress(stream);
  }
  counters_->sends.answers.observe_alone(Clock::now() - start);
  stream->allow_requests(bytes.size());
  return Status();
}

int64_t Engine::store_revision() const { return std::max(options_.revision(), live_revision_); }

void Engine::refuse(Stream* stream, std::string_view reason) {
  ControlResponse response;
  response.watch_id = kNoWatchId;
  response.created = true;
  response.canceled = true;
  response.cancel_reason = reason;
  stream->send_answer(write_control(options_.header(store_revision()), response));
}

std::string Engine::refusal(Stream* stream, const CreateRequest& request) const {
  if (request.start_revision < 0) return std::string(rpc_errors::kCompacted.message);
  RpcStatus permit = stream->permit(request.key, request.range_end);
  if (!permit.ok()) return go_error_text(permit);
  if (is_empty_range(request)) return std::string(kEmptyRange);
  if (request.watch_id != 0 && stream->watchers.contains(request.watch_id)) {
    return std::string(kDuplicateId);
  }
  const uint64_t total = counters_->watcher_bytes.load(std::memory_order_relaxed);
  if (total + cost(request.key, request.range_end) > options_.watcher_bytes_max) {
    return std::string(rpc_errors::kTooManyRequests.message);
  }
  return "";
}

Status Engine::create(Stream* stream, CreateRequest& request) {
  if (std::string reason = refusal(stream, request); !reason.empty()) {
    refuse(stream, reason);
    return Status();
  }
  int64_t watch_id = request.watch_id;
  if (watch_id == 0) {
    while (stream->watchers.contains(stream->next_watch_id)) ++stream->next_watch_id;
    watch_id = stream->next_watch_id++;
  }
  // Counted before the revision is read: a batch that is not counted as wanted after this is noted.
  Watcher* watcher = add_watcher(stream, watch_id, request);
  const int64_t revision = store_revision();
  ControlResponse response;
  response.watch_id = watch_id;
  response.created = true;
  stream->send_answer(write_control(options_.header(revision), response));
  watcher->next_revision = watcher->start_revision == 0 ? revision + 1 : watcher->start_revision;
  stream->latest_start =
      std::max({stream->latest_start, watcher->start_revision, watcher->next_revision - 1});
  if (watcher->next_revision > live_revision_) return enter_live(watcher);
  const int64_t compacted = counters_->compacted.load(std::memory_order_relaxed);
  if (watcher->next_revision < compacted) {
    cancel_compacted(watcher, compacted);
    return Status();
  }
  return enter_unsynced(watcher);
}

void Engine::cancel(Stream* stream, int64_t watch_id) {
  auto found = stream->watchers.find(watch_id);
  if (found == stream->watchers.end()) return;
  remove_watcher(found->second);
  stream->watchers.erase(found);
  ControlResponse response;
  response.watch_id = watch_id;
  response.canceled = true;
  stream->send_answer(write_control(options_.header(store_revision()), response));
}

std::optional<int64_t> Engine::progress_revision(const Watcher& watcher) const {
  if (watcher.state != WatcherState::kLive) return std::nullopt;
  // One that begins in the future has seen nothing that could be told.
  if (watcher.start_revision > live_revision_) return std::nullopt;
  return std::max(live_revision_, watcher.next_revision - 1);
}

void Engine::progress(Stream* stream) {
  if (stream->live_watchers < stream->watchers.size()) return;
  std::optional<int64_t> revision;
  for (const auto& [watch_id, watcher] : stream->watchers) {
    std::optional<int64_t> seen = progress_revision(*watcher);
    if (!seen.has_value()) return;
    revision = std::min(revision.value_or(*seen), *seen);
    // No other says less.
    if (*revision == live_revision_ && stream->latest_start <= live_revision_) break;
  }
  if (!revision.has_value()) return;
  ControlResponse response;
  response.watch_id = kNoWatchId;
  stream->send_answer(write_control(options_.header(*revision), response));
}

void Engine::tick(Clock::time_point now) {
  while (!ticks_.empty() && ticks_.begin()->first <= now) {
    Stream* stream = ticks_.begin()->second;
    ticks_.erase(ticks_.begin());
    stream->next_tick = now + stream->tick_interval;
    ticks_.emplace(stream->next_tick, stream);
    for (const auto& [watch_id, watcher] : stream->watchers) {
      if (!watcher->progress_notify) continue;
      if (!std::exchange(watcher->progress_due, true)) continue;
      std::optional<int64_t> revision = progress_revision(*watcher);
      if (!revision.has_value() || !stream->ready()) continue;
      const Clock::time_point start = Clock::now();
      ControlResponse response;
      response.watch_id = watch_id;
      stream->send_answer(write_control(options_.header(*revision), response));
      counters_->sends.progress.observe_alone(Clock::now() - start);
    }
  }
}

std::optional<Clock::time_point> Engine::next_tick() const {
  if (ticks_.empty()) return std::nullopt;
  return ticks_.begin()->first;
}

void Engine::end_stream(Stream* stream, const RpcStatus& status) {
  for (const auto& [watch_id, watcher] : stream->watchers) remove_watcher(watcher);
  stream->watchers.clear();
  waking_.erase(stream);
  // Its object may be needed by items that are still under way.
  std::shared_ptr<Stream> keep = std::move(streams_.extract(stream).mapped());
  counters_->streams.fetch_sub(1, std::memory_order_relaxed);
  stream->end(status);
}

void Engine::adopt(std::shared_ptr<Stream> stream) {
  Stream* key = stream.get();
  streams_.emplace(key, std::move(stream));
}

void Engine::end_all(const RpcStatus& status) {
  while (!streams_.empty()) end_stream(streams_.begin()->first, status);
}

Watcher* Engine::add_watcher(Stream* stream, int64_t watch_id, CreateRequest& request) {
  uint64_t id = watchers_.size();
  if (free_ids_.empty()) {
    watchers_.emplace_back();
  } else {
    id = free_ids_.back();
    free_ids_.pop_back();
  }
  watchers_[id] = std::make_unique<Watcher>();
  Watcher* watcher = watchers_[id].get();
  watcher->id = id;
  watcher->stream = stream;
  watcher->watch_id = watch_id;
  watcher->key = std::move(request.key);
  watcher->range_end = std::move(request.range_end);
  watcher->start_revision = request.start_revision;
  watcher->progress_notify = watcher->progress_due = request.progress_notify;
  watcher->prev_kv = request.prev_kv;
  watcher->fragment = request.fragment;
  watcher->no_put = request.no_put;
  watcher->no_delete = request.no_delete;
  watcher->state = WatcherState::kCompacted;  // In no list until it enters one.
  stream->watchers.emplace(watch_id, watcher);
  if (watcher->progress_notify && stream->progress_watchers++ == 0) {
    const Clock::time_point now = Clock::now();
    while (stream->next_tick <= now) stream->next_tick += stream->tick_interval;
    ticks_.emplace(stream->next_tick, stream);
  }
  counters_->watchers.fetch_add(1, std::memory_order_relaxed);
  counters_->watcher_bytes.fetch_add(cost(watcher->key, watcher->range_end),
                                     std::memory_order_relaxed);
  if (watcher->prev_kv) counters_->prev_watchers.fetch_add(1, std::memory_order_relaxed);
  return watcher;
}

void Engine::remove_watcher(Watcher* watcher) {
  leave(watcher);
  Stream* stream = watcher->stream;
  if (watcher->progress_notify && --stream->progress_watchers == 0) {
    ticks_.erase({stream->next_tick, stream});
  }
  counters_->watchers.fetch_sub(1, std::memory_order_relaxed);
  counters_->watcher_bytes.fetch_sub(cost(watcher->key, watcher->range_end),
                                     std::memory_order_relaxed);
  if (watcher->prev_kv) counters_->prev_watchers.fetch_sub(1, std::memory_order_relaxed);
  free_ids_.push_back(watcher->id);
  watchers_[watcher->id].reset();
}

void Engine::set_state(Watcher* watcher, WatcherState state) {
  auto unsynced = [](WatcherState s) {
    return s == WatcherState::kBehind || s == WatcherState::kHeld ? uint64_t{1} : uint64_t{0};
  };
  // In one step, so that nobody sees a watcher that changes its list as one that is up to date.
  const uint64_t change = unsynced(state) - unsynced(watcher->state);
  if (change != 0) counters_->unsynced_watchers.fetch_add(change, std::memory_order_relaxed);
  Stream* stream = watcher->stream;
  stream->live_watchers -= watcher->state == WatcherState::kLive;
  stream->live_watchers += state == WatcherState::kLive;
  stream->behind_watchers -= watcher->state == WatcherState::kBehind;
  stream->behind_watchers += state == WatcherState::kBehind;
  watcher->state = state;
}

Status Engine::enter_live(Watcher* watcher) {
  leave_list(watcher);
  Status status = live_.add(watcher->id, watcher->key, watcher->range_end);
  set_state(watcher, status.ok() ? WatcherState::kLive : WatcherState::kCompacted);
  return status;
}

Status Engine::enter_behind(Watcher* watcher) {
  leave_list(watcher);
  Status status = behind_index_.add(watcher->id, watcher->key, watcher->range_end);
  set_state(watcher, status.ok() ? WatcherState::kBehind : WatcherState::kCompacted);
  if (!status.ok()) return status;
  watcher->position = behind_.size();
  behind_.push_back(watcher);
  return status;
}

void Engine::enter_held(Watcher* watcher) {
  leave_list(watcher);
  set_state(watcher, WatcherState::kHeld);
  std::list<Watcher*>& held = watcher->stream->held;
  watcher->held_at = held.insert(held.end(), watcher);
}

Status Engine::enter_unsynced(Watcher* watcher) {
  enter_held(watcher);
  return wake(watcher->stream);
}

Status Engine::wake(Stream* stream) {
  const bool ready = stream->ready();
  while (ready && !stream->held.empty() && stream->behind_watchers < kBehindOfStreamMax) {
    MORTISE_RETURN_IF_ERROR(enter_behind(stream->held.front()));
  }
  if (ready && !stream->held.empty()) {
    waking_.insert(stream);
  } else {
    waking_.erase(stream);
  }
  return Status();
}

void Engine::leave(Watcher* watcher) {
  leave_list(watcher);
  set_state(watcher, WatcherState::kCompacted);
}

void Engine::leave_list(Watcher* watcher) {
  if (watcher->state == WatcherState::kLive) live_.remove(watcher->id);
  if (watcher->state == WatcherState::kHeld) watcher->stream->held.erase(watcher->held_at);
  if (watcher->state != WatcherState::kBehind) return;
  behind_index_.remove(watcher->id);
  behind_[watcher->position] = behind_.back();
  behind_[watcher->position]->position = watcher->position;
  behind_.pop_back();
}

}  // namespace mortise::watch
