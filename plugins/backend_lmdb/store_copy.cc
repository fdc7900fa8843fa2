// The parts of the store that make a new generation: reclaim, checkpoint, replace, growth.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>

#include "mortise/sdk/bytes.h"
#include "plugins/backend_lmdb/store.h"
#include "plugins/backend_lmdb/tree_writer.h"
#include "plugins/backend_lmdb/unloader.h"

namespace mortise::lmdb {
namespace {

constexpr auto kTrimInterval = std::chrono::milliseconds(20);
constexpr auto kGrowWaitMax = std::chrono::milliseconds(1000);
constexpr auto kGrowPoll = std::chrono::milliseconds(1);
// Runs that came in during a copy are taken in beside the flush thread this often, then with it
// waiting.
constexpr int kCatchUpRounds = 8;

// A private copy has no readers, so its map can always grow where it is.
Status grow_in_place(std::shared_ptr<Generation>& generation) {
  Status status;
  if (generation->try_grow(status)) return status;
  return sdk::internal_error("a transaction is open on " + generation->path());
}

Status sync_file(const std::string& path) {
  File file;
  MORTISE_SDK_RETURN_IF_ERROR(File::open(path, O_RDWR, file));
  return file.sync(path);
}

// mdb_env_copy2() maps in all it copies; a thread beside it lets go of that now and then.
int copy_environment(Generation& from, const std::string& to, bool compact) {
  MDB_txn* guard = nullptr;  // Keeps the map where it is.
  int rc = from.begin_read(&guard);
  if (rc != 0) return rc;
  std::atomic<bool> done{false};
  std::thread trimmer([&] {
    while (!done.load(std::memory_order_relaxed)) {
      std::this_thread::sleep_for(kTrimInterval);
      from.trim();
    }
  });
  rc = ::mdb_env_copy2(from.env(), to.c_str(), compact ? MDB_CP_COMPACT : 0);
  done.store(true, std::memory_order_relaxed);
  trimmer.join();
  from.end_read(guard);
  return rc;
}

// Pairs of a replace() go in by transactions of bounded size, synced once at the end.
class BulkWriter {
 public:
  BulkWriter(std::shared_ptr<Generation> generation, uint64_t txn_bytes)
      : generation_(std::move(generation)), txn_bytes_(txn_bytes) {}
  ~BulkWriter() { abandon(); }

  Status put(uint32_t keyspace, std::string_view key, std::string_view value) {
    int rc = begin();
    if (rc == 0) rc = writer_->put(keyspace, key, value);
    if (rc != 0) return mdb_error(rc, "writing " + generation_->path());
    bytes_ += key.size() + value.size() + 64;
    return bytes_ < txn_bytes_ ? Status() : commit();
  }
  Status commit() {
    if (txn_ == nullptr) return Status();
    writer_.reset();
    int rc = generation_->write_state(txn_, state_);
    if (rc == 0) {
      rc = ::mdb_txn_commit(txn_);
    } else {
      ::mdb_txn_abort(txn_);
    }
    txn_ = nullptr;
    bytes_ = 0;
    if (rc != 0) return mdb_error(rc, "writing " + generation_->path());
    return make_room(txn_bytes_);
  }
  // Makes the map large enough for so much more, between transactions.
  Status make_room(uint64_t bytes) {
    MDB_envinfo info;
    MDB_stat stat;
    ::mdb_env_info(generation_->env(), &info);
    ::mdb_env_stat(generation_->env(), &stat);
    while ((info.me_last_pgno + 1) * stat.ms_psize + 4 * bytes + kRoomBytes >
           generation_->map_bytes()) {
      MORTISE_SDK_RETURN_IF_ERROR(grow_in_place(generation_));
    }
    return Status();
  }
  State& state() { return state_; }

 private:
  static constexpr uint64_t kRoomBytes = uint64_t{1} << 20;

  int begin() {
    if (txn_ != nullptr) return 0;
    const int rc = ::mdb_txn_begin(generation_->env(), nullptr, 0, &txn_);
    if (rc == 0) writer_.emplace(*generation_, txn_, state_.next_tree);
    return rc;
  }
  void abandon() {
    writer_.reset();
    if (txn_ != nullptr) ::mdb_txn_abort(txn_);
    txn_ = nullptr;
  }

  std::shared_ptr<Generation> generation_;
  const uint64_t txn_bytes_;
  MDB_txn* txn_ = nullptr;
  std::optional<TreeWriter> writer_;
  State state_;
  uint64_t bytes_ = 0;
};

}  // namespace

void Store::keep_runs(bool keep) {
  std::lock_guard lock(unload_mutex_);
  keepers_ += keep ? 1 : -1;
  if (keepers_ == 0) drop_runs();
}

void Store::drop_runs() {
  // One that cannot be removed now is removed at the next open.
  for (const uint64_t run : runs_) (void)remove_path(run_path(path_, run));
  runs_.clear();
  std::lock_guard lock(work_mutex_);
  run_bytes_ = 0;
}

Status Store::copy_generation(const std::string& path, uint64_t number, bool compact,
                              const Options& options, std::shared_ptr<Generation>& out) {
  const std::shared_ptr<Generation> from = current_view()->generation;
  MORTISE_SDK_RETURN_IF_ERROR(make_directory(path));
  const int rc = copy_environment(*from, path, compact);
  Status status;
  if (rc != 0) status = mdb_error(rc, "copying " + from->path() + " to " + path);
  if (status.ok()) status = sync_file(path + "/data.mdb");
  if (status.ok()) status = sync_directory(path);
  if (status.ok()) {
    status = Generation::open(path, number, options, Generation::Mode::kExisting, out);
  }
  if (!status.ok()) (void)remove_path(path);
  return status;
}

Status Store::catch_up(std::shared_ptr<Generation>& copy, const std::vector<uint64_t>& runs) {
  Unloader unloader(copy, options_, grow_in_place);
  return unloader.unload_runs(path_, runs);
}

Status Store::switch_generation(const std::shared_ptr<Generation>& next, bool drop_memtables) {
  const std::string path = generation_path(path_, next->number());
  MORTISE_SDK_RETURN_IF_ERROR(rename_path(next->path(), path));
  next->set_path(path);
  MORTISE_SDK_RETURN_IF_ERROR(sync_directory(path_));
  MORTISE_SDK_RETURN_IF_ERROR(write_current(path_, Current{next->number(), true}));
  auto view = std::make_shared<View>();
  view->generation = next;
  std::shared_ptr<const View> old;
  {
    std::lock_guard lock(view_mutex_);
    if (drop_memtables) {
      view->memtables.push_back(std::make_shared<Memtable>());
      active_ = view->memtables[0].get();
    } else {
      view->memtables = view_->memtables;
    }
    old = std::move(view_);
    view_ = std::move(view);
  }
  old->generation->set_obsolete();
  {
    std::lock_guard lock(work_mutex_);
    retired_.push_back(old->generation);
  }
  work_cv_.notify_one();
  return Status();
}

// Readers keep LMDB from growing its map in place. They are mostly short, so it is worth a moment
// to wait for a gap; then a copy with a larger map takes over, and they stay where they are.
Status Store::grow_generation(std::shared_ptr<Generation>& generation) {
  const auto give_up = std::chrono::steady_clock::now() + kGrowWaitMax;
  do {
    Status status;
    if (generation->try_grow(status)) return status;
    std::this_thread::sleep_for(kGrowPoll);
  } while (std::chrono::steady_clock::now() < give_up);
  Options options = options_;
  options.map_size_bytes = generation->map_bytes() * 2;
  const uint64_t number = ++last_generation_;
  std::shared_ptr<Generation> larger;
  MORTISE_SDK_RETURN_IF_ERROR(copy_generation(unfinished_path(path_, number), number,
                                              /*compact=*/false, options, larger));
  MORTISE_SDK_RETURN_IF_ERROR(switch_generation(larger, /*drop_memtables=*/false));
  host_.log(MORTISE_LOG_INFO, "lmdb map grown by a copy",
            {{"path", path_}, {"map-bytes", options.map_size_bytes}});
  generation = std::move(larger);
  return Status();
}

Status Store::reclaim() {
  std::lock_guard copy_lock(copy_mutex_);
  keep_runs(true);
  Status status = reclaim_with_runs();
  keep_runs(false);
  drop_retired();  // The space is back when this returns, unless a reader holds it.
  return status;
}

Status Store::reclaim_with_runs() {
  uint64_t target;
  uint64_t number;
  {
    std::lock_guard lock(commit_mutex_);
    MORTISE_SDK_RETURN_IF_ERROR(background_error());
    target = freeze_all();
  }
  MORTISE_SDK_RETURN_IF_ERROR(wait_unloaded(target));
  {
    std::lock_guard lock(unload_mutex_);
    number = ++last_generation_;
  }
  std::shared_ptr<Generation> copy;
  MORTISE_SDK_RETURN_IF_ERROR(
      copy_generation(unfinished_path(path_, number), number, /*compact=*/true, options_, copy));
  Status status = finish_reclaim(copy);
  if (!status.ok()) copy->set_obsolete();
  return status;
}

Status Store::finish_reclaim(std::shared_ptr<Generation>& copy) {
  size_t taken = 0;
  for (int round = 0; round < kCatchUpRounds; ++round) {
    const std::vector<uint64_t> runs = kept_runs();
    if (runs.size() == taken) break;
    MORTISE_SDK_RETURN_IF_ERROR(catch_up(copy, runs));
    taken = runs.size();
  }
  std::lock_guard lock(unload_mutex_);
  MORTISE_SDK_RETURN_IF_ERROR(background_error());
  MORTISE_SDK_RETURN_IF_ERROR(catch_up(copy, runs_));
  Status status = switch_generation(copy, /*drop_memtables=*/false);
  // It is not known which generation the next open would find.
  if (!status.ok()) fail(status);
  return status;
}

std::vector<uint64_t> Store::kept_runs() {
  std::lock_guard lock(unload_mutex_);
  return runs_;
}

Status Store::checkpoint(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0) {
    if (errno != EEXIST) return sdk::io_error(errno, "making directory " + path);
    DirectoryContent content;
    MORTISE_SDK_RETURN_IF_ERROR(scan_directory(path, content));
    if (content.has_current || !content.generations.empty() || !content.runs.empty()) {
      return sdk::invalid(path + " holds a store already");
    }
  }
  std::lock_guard copy_lock(copy_mutex_);
  keep_runs(true);
  Status status = checkpoint_with_runs(path);
  keep_runs(false);
  return status;
}

Status Store::checkpoint_with_runs(const std::string& path) {
  uint64_t index = 0;
  MORTISE_SDK_RETURN_IF_ERROR(sync(index));
  constexpr uint64_t kNumber = 1;
  MORTISE_SDK_RETURN_IF_ERROR(write_current(path, Current{kNumber, false}));
  std::shared_ptr<Generation> copy;
  MORTISE_SDK_RETURN_IF_ERROR(copy_generation(generation_path(path, kNumber), kNumber,
                                              /*compact=*/true, options_, copy));
  // A copy that was cut off stays "new" in its CURRENT, so it opens as an empty store; better it is
  // gone.
  Status status = catch_up(copy, kept_runs());
  const std::string copied = copy->path();
  copy.reset();
  if (status.ok()) status = remove_path(copied + "/lock.mdb");
  if (status.ok()) status = sync_directory(path);
  if (status.ok()) return write_current(path, Current{kNumber, true});
  (void)remove_path(copied);
  (void)remove_path(path + "/CURRENT");
  return status;
}

Status Store::fill_replacement(const std::shared_ptr<Generation>& generation,
                               mortise_source_fn source, void* context, State& state) {
  BulkWriter writer(generation, options_.flush_txn_bytes);
  MORTISE_SDK_RETURN_IF_ERROR(writer.make_room(options_.flush_txn_bytes));
  std::string last_key;
  uint32_t last_keyspace = 0;
  for (;;) {
    uint32_t keyspace = 0;
    mortise_bytes key{};
    mortise_bytes value{};
    const mortise_status code = source(context, &keyspace, &key, &value);
    if (code == MORTISE_E_NOT_FOUND) break;
    if (code != MORTISE_OK) return Status(code, "the source of the replacement failed");
    const std::string_view k = sdk::view(key);
    const bool ascends = keyspace > last_keyspace || (keyspace == last_keyspace && k > last_key);
    if (keyspace >= MORTISE_KEYSPACE_COUNT_MAX || k.empty() || k.size() > MORTISE_KEY_BYTES_MAX ||
        value.size > MORTISE_VALUE_BYTES_MAX || !ascends) {
      return sdk::invalid("the source of the replacement hands out a bad pair");
    }
    last_keyspace = keyspace;
    last_key.assign(k);
    if (k.size() + value.size > options_.flush_txn_bytes / 4) {
      MORTISE_SDK_RETURN_IF_ERROR(writer.commit());
      MORTISE_SDK_RETURN_IF_ERROR(writer.make_room(k.size() + value.size));
    }
    MORTISE_SDK_RETURN_IF_ERROR(writer.put(keyspace, k, sdk::view(value)));
  }
  MORTISE_SDK_RETURN_IF_ERROR(writer.commit());
  state = writer.state();
  return Status();
}

Status Store::replace(uint64_t index, uint64_t term, mortise_source_fn source, void* context) {
  std::lock_guard copy_lock(copy_mutex_);
  MORTISE_SDK_RETURN_IF_ERROR(background_error());
  uint64_t number;
  {
    std::lock_guard lock(unload_mutex_);
    number = ++last_generation_;
  }
  const std::string path = unfinished_path(path_, number);
  MORTISE_SDK_RETURN_IF_ERROR(make_directory(path));
  std::shared_ptr<Generation> next;
  Status status = Generation::open(path, number, options_, Generation::Mode::kCreate, next);
  if (!status.ok()) {
    (void)remove_path(path);
    return status;
  }
  State state;
  ::mdb_env_set_flags(next->env(), MDB_NOSYNC, 1);
  status = fill_replacement(next, source, context, state);
  state.index = index;
  state.term = term;
  if (status.ok()) status = finish_replacement(next, state);
  if (!status.ok()) next->set_obsolete();
  return status;
}

Status Store::finish_replacement(const std::shared_ptr<Generation>& next, State state) {
  std::lock_guard commit_lock(commit_mutex_);
  std::lock_guard lock(unload_mutex_);
  state.last_run = last_run_;
  MDB_txn* txn = nullptr;
  int rc = ::mdb_txn_begin(next->env(), nullptr, 0, &txn);
  if (rc == 0) {
    rc = next->write_state(txn, state);
    if (rc == 0) {
      rc = ::mdb_txn_commit(txn);
    } else {
      ::mdb_txn_abort(txn);
    }
  }
  if (rc == 0) rc = ::mdb_env_set_flags(next->env(), MDB_NOSYNC, 0);
  if (rc == 0) rc = ::mdb_env_sync(next->env(), 1);
  if (rc != 0) return mdb_error(rc, "writing " + next->path());
  MORTISE_SDK_RETURN_IF_ERROR(next->refresh_figures());
  if (Status status = switch_generation(next, /*drop_memtables=*/true); !status.ok()) {
    fail(status);
    return status;
  }
  drop_runs();
  {
    std::lock_guard view_lock(view_mutex_);
    index_ = state.index;
    term_ = state.term;
  }
  {
    std::lock_guard work_lock(work_mutex_);
    frozen_.clear();
    durable_seq_ = unloaded_seq_ = seq_;
    durable_index_ = state.index;
  }
  done_cv_.notify_all();
  return Status();
}

}  // namespace mortise::lmdb
