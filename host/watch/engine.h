// The work of the hub's thread: watchers, their indexes, and what they are sent.
//
// Used by one thread at a time. A Status that is not ok means that the store or the index failed,
// and the engine must do nothing more but end_all().
//
// Live watchers get each batch as it comes. The others, in the order of the revision that they need
// next, are read to from the store in rounds, one for each call of catch_up(), so that live events
// wait for one round at most. A round starts at the smallest revision that is needed and serves
// everybody whose turn falls in it; who has reached the hub's revision becomes live.
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
  bool has_catch_up() const { return !behind_.empty(); }
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
  Status on(OpenedItem& item);
  Status on(RequestItem& item);
  Status on(GrantedItem& item);
  Status on(CanceledItem& item);

  Status create(Stream* stream, CreateRequest& request);
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
  // To where a watcher belongs that lacks events below the hub's revision.
  Status enter_unsynced(Watcher* watcher);

  // Sends the events of matches [first, last) that the watcher wants in one response; false if it
  // wants some and its stream has no credit.
  Status deliver(Watcher* watcher, const Match* first, const Match* last,
                 const std::vector<mvcc::Event>& events, EncodedEvents* encoded, bool* delivered);
  void send_events(Watcher* watcher);
  void set_header(int64_t revision);
  void cancel_or_hold_behind(int64_t compacted);
  Status deliver_chunk(const mvcc::View& view, const Chunk& chunk);
  Status deliver_batch(const mvcc::EventBatch& batch);

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
  std::unordered_map<Stream*, std::shared_ptr<Stream>> streams_;
  std::set<std::pair<Clock::time_point, Stream*>> ticks_;
  std::minstd_rand random_;

  // Scratch of a delivery.
  std::vector<Match> matches_;
  std::vector<std::string_view> wanted_;
  std::string header_;
};

}  // namespace mortise::watch
