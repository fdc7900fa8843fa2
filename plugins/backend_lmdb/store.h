// A store: the C++ side of "mortise.backend/1" (see backend.h of the ABI, which is the contract) on
// LMDB.
//
//   commit() -> active memtable -> frozen -> [run file] -> LMDB     (right of the first arrow:
//   flush thread) readers  <- active, frozen and LMDB together, as one View
//
// A commit is in memory when commit() returns, and durable once its memtable is in a run file or in
// LMDB. LMDB plus the runs that come after its state is therefore always the state after some
// commit.
//
// Threads and locks, in the order in which they may be taken:
//   commit_mutex_  whoever writes or freezes the active memtable
//   unload_mutex_  whoever writes LMDB or changes the generation: flush thread, reclaim, replace
//   view_mutex_    the published view and position; held for moments, never over I/O
//   work_mutex_    what the flush thread waits for and what waits for it
// Only one of reclaim() and checkpoint() copies at a time: copy_mutex_, taken before all of these.
//
// A failure to write to disk is final: commits and syncs answer with it from then on, readers go
// on.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "mortise/abi/backend.h"
#include "mortise/sdk/host.h"
#include "plugins/backend_lmdb/files.h"
#include "plugins/backend_lmdb/merge.h"
#include "plugins/backend_lmdb/options.h"
#include "plugins/backend_lmdb/reader.h"
#include "plugins/backend_lmdb/run_file.h"

namespace mortise::lmdb {

class Store {
 public:
  using Reader = lmdb::Reader;
  using Cursor = lmdb::Cursor;

  static Status open(sdk::Host host, const std::string& path, std::string_view config_json,
                     std::unique_ptr<Store>& out);
  ~Store();

  Status commit(const mortise_commit_request& request);
  Status sync(uint64_t& index);
  Status applied(uint64_t& index, uint64_t& term);
  Status reader_open(std::unique_ptr<Reader>& out);
  Status size(mortise_store_size& out);
  Status reclaim();
  Status checkpoint(const std::string& path);
  Status replace(uint64_t index, uint64_t term, mortise_source_fn source, void* context);

 private:
  Store(sdk::Host host, std::string path, const Options& options);

  // Opening (store.cc).
  Status open_files();
  Status create_files();
  Status recover(const Current& current, const DirectoryContent& content);

  // Writing. commit_mutex_ is held.
  Status check_ops(const mortise_commit_request& request) const;
  Status apply_ops(const mortise_commit_request& request, uint64_t seq);
  Status remove_range(uint32_t keyspace, std::string_view lower, std::string_view upper,
                      uint64_t seq);
  void freeze();
  Status wait_for_room();
  // Freezes what is there and says up to which sequence number it goes.
  uint64_t freeze_all();

  // The flush thread.
  void flush_loop();
  Status flush_oldest(const std::shared_ptr<Memtable>& memtable);
  void note_durable(const Memtable& memtable);
  void publish_without(const std::shared_ptr<Memtable>& memtable);
  Status wait_durable(uint64_t seq, uint64_t& index);
  Status wait_unloaded(uint64_t seq);
  Status background_error();
  void fail(Status status);
  void drop_retired();

  // Generations (store_copy.cc).
  // A copy of LMDB as of some moment after the call, in a new directory.
  Status copy_generation(const std::string& path, uint64_t number, bool compact,
                         const Options& options, std::shared_ptr<Generation>& out);
  // Takes the runs that the copy does not have yet into it.
  Status catch_up(std::shared_ptr<Generation>& copy, const std::vector<uint64_t>& runs);
  // Makes a complete generation the current one, on disk and for readers. [unload_mutex_]
  Status switch_generation(const std::shared_ptr<Generation>& next, bool drop_memtables);
  Status grow_generation(std::shared_ptr<Generation>& generation);  // [unload_mutex_]
  // While somebody keeps them, every memtable gets a run file, and all of these stay.
  void keep_runs(bool keep);
  std::vector<uint64_t> kept_runs();
  void drop_runs();  // [unload_mutex_]
  Status reclaim_with_runs();
  Status finish_reclaim(std::shared_ptr<Generation>& copy);
  Status checkpoint_with_runs(const std::string& path);
  Status fill_replacement(const std::shared_ptr<Generation>& generation, mortise_source_fn source,
                          void* context, State& state);
  Status finish_replacement(const std::shared_ptr<Generation>& next, State state);

  std::shared_ptr<const View> current_view();
  int open_snapshot(Snapshot& out, uint64_t seq);

  const sdk::Host host_;
  const sdk::Metric flushes_, flushed_bytes_, flush_seconds_, stalls_;
  const std::string path_;
  const Options options_;
  File lock_;

  std::mutex copy_mutex_;

  std::mutex commit_mutex_;
  Memtable* active_ = nullptr;  // The view's newest.

  std::mutex unload_mutex_;
  uint64_t last_run_ = 0;       // Number of the newest run that was unloaded or has a file.
  int keepers_ = 0;             // Copies under way, which need the runs.
  std::vector<uint64_t> runs_;  // Files that exist.
  uint64_t last_generation_ = 0;

  std::mutex view_mutex_;
  std::shared_ptr<const View> view_;
  uint64_t seq_ = 0;
  uint64_t index_ = 0;
  uint64_t term_ = 0;

  std::mutex work_mutex_;
  std::condition_variable work_cv_;               // For the flush thread.
  std::condition_variable done_cv_;               // For those who wait for it.
  std::deque<std::shared_ptr<Memtable>> frozen_;  // Oldest first.
  uint64_t durable_seq_ = 0;
  uint64_t durable_index_ = 0;
  uint64_t unloaded_seq_ = 0;
  uint64_t run_bytes_ = 0;
  bool stopping_ = false;
  Status error_;
  std::vector<std::shared_ptr<Generation>> retired_;
  std::vector<std::shared_ptr<Memtable>> unloaded_;  // Until no reader holds them.

  std::thread flusher_;
};

}  // namespace mortise::lmdb
