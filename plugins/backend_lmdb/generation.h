// One LMDB environment: a directory gen-N with data.mdb, what it says of itself (State), and the
// read transactions that are open on it.
//
// A store has one current generation; reclaim(), replace() and a growth of the map that readers
// stand in the way of make a new one. Readers hold the one they began on by shared_ptr; when the
// last owner lets go, the environment is closed and, if it was declared obsolete, its directory is
// removed.
//
// Threads: one writer at a time (the caller's business); begin_read(), end_read(), touch() and the
// figures from any thread. Errors name the path.
#pragma once

#include <lmdb.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "mortise/abi/backend.h"
#include "plugins/backend_lmdb/error.h"
#include "plugins/backend_lmdb/options.h"

namespace mortise::lmdb {

// The record "state" of the database "meta".
struct State {
  uint64_t index = 0;  // Position of the newest memtable that is in completely.
  uint64_t term = 0;
  uint64_t last_run = 0;  // Its number.
  uint64_t redo_run =
      0;  // Not 0: a part of this run is in too, and the run has to be taken in again.
  uint64_t next_tree = 1;  // Number of the next tree of long keys.
};

constexpr int64_t kTrimIntervalMs = 500;

class Generation {
 public:
  enum class Mode { kCreate, kExisting };
  // kCreate makes the directory's content; the directory itself exists.
  static Status open(const std::string& path, uint64_t number, const Options& options, Mode mode,
                     std::shared_ptr<Generation>& out);
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // A read transaction of now, returned by end_read(). LMDB's return codes.
  int begin_read(MDB_txn** out);
  void end_read(MDB_txn* txn);

  // Reads the state inside a transaction. An LMDB return code.
  int read_state(MDB_txn* txn, State& out) const;
  int write_state(MDB_txn* txn, const State& state) const;

  // Doubles the map. False if transactions are open, which LMDB does not allow; no begin_read() may
  // run meanwhile.
  bool try_grow(Status& status);
  uint64_t map_bytes() const { return map_bytes_.load(std::memory_order_relaxed); }

  // A scan counts file pages that it has mapped in, and lets go of all once the process holds more
  // than the limit. Single lookups do not: mapping a page costs more than finding a key in it, so
  // what they map in is looked at by trim_if_due() only.
  void touch(uint64_t bytes) {
    if (resident_limit_ == 0) return;
    if (touched_.fetch_add(bytes, std::memory_order_relaxed) + bytes >= touch_step_) trim();
  }
  // Lets go of the mapped pages if the process holds too many.
  void trim();
  // The same, at most every kTrimIntervalMs.
  void trim_if_due();

  // Figures, as of the last refresh_figures() [the writer].
  Status refresh_figures();
  uint64_t file_size() const { return file_bytes_.load(std::memory_order_relaxed); }
  uint64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }

  void set_obsolete() { obsolete_.store(true, std::memory_order_relaxed); }
  // After the directory was renamed under the open environment.
  void set_path(const std::string& path);
  MDB_env* env() const { return env_; }
  uint64_t number() const { return number_; }
  MDB_dbi keyspace(uint32_t i) const { return keyspaces_[i]; }
  MDB_dbi long_keys() const { return long_keys_; }
  const std::string& path() const { return path_; }

 private:
  Generation(std::string path, uint64_t number, const Options& options);
  Status open_env(uint64_t map_bytes);
  Status open_databases(Mode mode);
  Status check_file_length();
  int tail_is_free(uint64_t first_page, uint64_t page_count, bool& free) const;
  void find_map();

  std::string path_;
  const uint64_t number_;
  const Options options_;
  MDB_env* env_ = nullptr;
  std::array<MDB_dbi, MORTISE_KEYSPACE_COUNT_MAX> keyspaces_{};
  MDB_dbi long_keys_ = 0;
  MDB_dbi meta_ = 0;

  std::mutex pool_mutex_;
  std::vector<MDB_txn*> pool_;  // Reset transactions, to be renewed.
  uint64_t active_reads_ = 0;

  std::atomic<uint64_t> map_bytes_{0};
  std::atomic<bool> obsolete_{false};
  std::atomic<uint64_t> file_bytes_{0};
  std::atomic<uint64_t> used_bytes_{0};

  // Where the file is mapped, for trim().
  std::mutex map_mutex_;
  char* map_ = nullptr;
  uint64_t resident_limit_ = 0;
  uint64_t touch_step_ = 0;
  std::atomic<uint64_t> touched_{0};
  std::atomic<int64_t> next_trim_ms_{0};
};

}  // namespace mortise::lmdb
