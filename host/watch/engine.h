// The work of the hub's thread: watchers, their indexes, and what they are sent.
//
// Used by one thread at a time. A Status that is not ok means that the store or the index failed,
// and the engine must do nothing more but end_all().
//
// Live watchers get each batch as it comes. The others are read to from the store in rounds, one
// for each call of catch_up(), so that live events wait for one round at most. A round serves
// everybody whose next revision falls in it; who has reached the hub's revision becomes live.
// Rounds sweep the history upwards, again and again, so that nobody waits for more than one sweep;
// every second one is for those who lack little, so that they need not wait for it. Of one stream
// only some watchers are behind at a time and the others are held: its credit would not reach for
// all.
#pragma once

#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "host/watch/history.h"
#include "host/watch/hub.h"
#include "host/watch/inbox.h"
#include "host/watch/index.h"
#include "host/watch/request.h"
#include "host/watch/response.h"
#include "host/watch/stream.h"

namespace mortise::watch {

class Engine {
 public:
  // Borrowed parts outlive it.
  Engine(const store::Store* store, Index live, Index behind, const HubOptions* options,
         Inbox* inbox, Counters* counters);

  void start(int64_t revision) { live_revision_ = revision; }
  Status handle(Item& item);
  bool has_catch_up() const { return !behind_.empty() || !waking_.empty(); }
  Status catch_up();
  // Progress notifications that are due.
  void tick(Clock::time_point now);
  std::optional<Clock::time_point> next_tick() const;
  // Takes a stream only to end it.
  void adopt(std::shared_ptr<Stream> stream);
  void end_all(const RpcStatus& status);

 private:
  Status on(BatchItem& item);
  Status on(SkippedItem& item);
  Status on(EndAllItem& item);
  Status on(OpenedItem& item);
  Status on(RequestItem& item);
  Status on(GrantedItem& item);
  Status on(CanceledItem& item);
  Status on(RecheckItem& item);

  Status create(Stream* stream, CreateRequest& request);
  Status answer(Stream* stream, std::string_view bytes);
  // The reason why the watcher cannot be, in etcd's words; empty if it can.
  std::string refusal(Stream* stream, const CreateRequest& request) const;
  void refuse(Stream* stream, std::string_view reason);
  void cancel(Stream* stream, int64_t watch_id);
  void progress(Stream* stream);
  void end_stream(Stream* stream, const RpcStatus& status);

  // Up to where the watcher was told everything; none if that cannot be said.
  std::optional<int64_t> progress_revision(const Watcher& watcher) const;
  int64_t store_revision() const;

  Watcher* add_watcher(Stream* stream, int64_t watch_id, CreateRequest& request);
  void remove_watcher(Watcher* watcher);
  void cancel_compacted(Watcher* watcher, int64_t compacted);
  // A watcher is in one of: the live index, the behind index and list, its stream's held list,
  // nowhere.
  Status enter_live(Watcher* watcher);
  Status enter_behind(Watcher* watcher);
  void enter_held(Watcher* watcher);
  void leave(Watcher* watcher);
  void leave_list(Watcher* watcher);
  void set_state(Watcher* watcher, WatcherState state);
  // Lets as many of the held watchers read history as may.
  Status wake(Stream* stream);
  // To where a watcher belongs that lacks events below the hub's revision.
  Status enter_unsynced(Watcher* watcher);

  // Sends the events of matches [first, last) that the watcher wants. One that wants some and whose
  // stream takes no more is held where it is.
  Status deliver(Watcher* watcher, const Match* first, const Match* last,
                 const std::vector<mvcc::Event>& events, EncodedEvents* encoded);
  void send_events(Watcher* watcher);
  void send_wanted(Watcher* watcher);
  void set_header(int64_t revision);
  void cancel_or_hold_behind(int64_t compacted);
  int64_t next_round();
  // Delivers the revisions of the chunk that one round may, and sets its last one accordingly.
  Status deliver_chunk(const mvcc::View& view, int64_t from, Chunk* chunk);
  void match_chunk(Chunk* chunk);
  // Puts those of one watcher together, each time in the order of events.
  void group_matches();
  void drop_matches();
  Status deliver_batch(const mvcc::EventBatch& batch);
  Status deliver_revision(const mvcc::EventBatch& batch, size_t from, size_t to,
                          EncodedEvents* encoded);

  const store::Store* const store_;
  Index live_;
  Index behind_index_;
  const HubOptions& options_;
  Inbox* const inbox_;
  Counters* const counters_;

  int64_t live_revision_ = 0;                       // Every batch up to it has been handled.
  std::vector<std::unique_ptr<Watcher>> watchers_;  // By id; null: free.
  std::vector<uint64_t> free_ids_;
  std::vector<Watcher*> behind_;
  int64_t sweep_ = 0;  // Where the sweep over history goes on.
  bool near_turn_ = false;
  std::unordered_map<Stream*, std::shared_ptr<Stream>> streams_;
  std::set<Stream*> waking_;  // Hold watchers that may read history once there is room.
  std::set<std::pair<Clock::time_point, Stream*>> ticks_;
  std::minstd_rand random_;

  // Scratch of a delivery.
  std::vector<Match> matches_;
  std::vector<Match> grouped_;
  std::vector<std::string_view> wanted_;
  std::string header_;
};

}  // namespace mortise::watch
