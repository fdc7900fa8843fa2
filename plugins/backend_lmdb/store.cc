#include "plugins/backend_lmdb/store.h"

#include <algorithm>
#include <chrono>

#include "mortise/sdk/bytes.h"
#include "plugins/backend_lmdb/unloader.h"

namespace mortise::lmdb {
namespace {

constexpr std::chrono::milliseconds kDropInterval{20};
constexpr auto kHousekeepingInterval = std::chrono::milliseconds(kTrimIntervalMs);

}  // namespace

Store::Store(sdk::Host host, std::string path, const Options& options)
    : host_(host),
      flushes_(host.counter("mortise_backend_flushes_total",
                            "Times that what was in memory went to disk.")),
      flushed_bytes_(host.counter("mortise_backend_flushed_bytes_total",
                                  "Bytes of keys and values that went to disk.")),
      flush_seconds_(
          host.counter("mortise_backend_flush_seconds_total", "Time that flushes took.")),
      stalls_(host.counter("mortise_backend_stalls_total",
                           "Times that commits were made to wait for background work.")),
      path_(std::move(path)),
      options_(options) {}

Status Store::open(sdk::Host host, const std::string& path, std::string_view config_json,
                   std::unique_ptr<Store>& out) {
  Options options;
  MORTISE_SDK_RETURN_IF_ERROR(Options::parse(config_json, options));
  std::unique_ptr<Store> made(new Store(host, path, options));
  MORTISE_SDK_RETURN_IF_ERROR(made->open_files());
  made->flusher_ = std::thread([store = made.get()] { store->flush_loop(); });
  out = std::move(made);
  return Status();
}

Store::~Store() {
  if (!flusher_.joinable()) return;
  if (background_error().ok()) {
    std::lock_guard lock(commit_mutex_);
    freeze_all();
  }
  {
    std::lock_guard lock(work_mutex_);
    stopping_ = true;
  }
  work_cv_.notify_all();
  flusher_.join();
}

Status Store::open_files() {
  // CURRENT speaks first: of a newer format, other names in the directory are none of our business.
  Current current;
  if (file_bytes(path_ + "/CURRENT") > 0) {
    MORTISE_SDK_RETURN_IF_ERROR(read_current(path_, current));
  }
  DirectoryContent content;
  MORTISE_SDK_RETURN_IF_ERROR(scan_directory(path_, content));
  MORTISE_SDK_RETURN_IF_ERROR(lock_directory(path_, lock_));
  MORTISE_SDK_RETURN_IF_ERROR(scan_directory(path_, content));
  for (const std::string& name : content.leftovers) {
    MORTISE_SDK_RETURN_IF_ERROR(remove_path(path_ + "/" + name));
  }
  if (content.has_current) {
    MORTISE_SDK_RETURN_IF_ERROR(read_current(path_, current));
    if (current.ready) return recover(current, content);
  } else if (!content.generations.empty() || !content.runs.empty()) {
    return sdk::corruption(path_ + "/CURRENT is missing");
  }
  return create_files();
}

Status Store::create_files() {
  const Current unfinished{1, false};
  MORTISE_SDK_RETURN_IF_ERROR(write_current(path_, unfinished));
  const std::string path = generation_path(path_, unfinished.generation);
  MORTISE_SDK_RETURN_IF_ERROR(remove_path(path));
  MORTISE_SDK_RETURN_IF_ERROR(make_directory(path));
  auto view = std::make_shared<View>();
  MORTISE_SDK_RETURN_IF_ERROR(Generation::open(path, unfinished.generation, options_,
                                               Generation::Mode::kCreate, view->generation));
  MORTISE_SDK_RETURN_IF_ERROR(sync_directory(path_));
  MORTISE_SDK_RETURN_IF_ERROR(write_current(path_, Current{unfinished.generation, true}));
  view->memtables.push_back(std::make_shared<Memtable>());
  active_ = view->memtables[0].get();
  last_generation_ = unfinished.generation;
  view_ = std::move(view);
  return Status();
}

Status Store::recover(const Current& current, const DirectoryContent& content) {
  last_generation_ = current.generation;
  for (const uint64_t generation : content.generations) {
    last_generation_ = std::max(last_generation_, generation);
    if (generation == current.generation) continue;
    MORTISE_SDK_RETURN_IF_ERROR(remove_path(generation_path(path_, generation)));
  }
  auto view = std::make_shared<View>();
  MORTISE_SDK_RETURN_IF_ERROR(Generation::open(generation_path(path_, current.generation),
                                               current.generation, options_,
                                               Generation::Mode::kExisting, view->generation));
  Unloader unloader(view->generation, options_, [](std::shared_ptr<Generation>& generation) {
    Status status;
    if (generation->try_grow(status)) return status;
    return sdk::internal_error("a transaction is open on " + generation->path());
  });
  MORTISE_SDK_RETURN_IF_ERROR(unloader.unload_runs(path_, content.runs));
  for (const uint64_t run : content.runs) {
    MORTISE_SDK_RETURN_IF_ERROR(remove_path(run_path(path_, run)));
  }

  State state;
  MDB_txn* txn = nullptr;
  int rc = view->generation->begin_read(&txn);
  if (rc != 0) return mdb_error(rc, "reading " + view->generation->path());
  rc = view->generation->read_state(txn, state);
  view->generation->end_read(txn);
  if (rc != 0) return mdb_error(rc, "reading the state of " + view->generation->path());
  last_run_ = state.last_run;
  index_ = durable_index_ = state.index;
  term_ = state.term;
  view->memtables.push_back(std::make_shared<Memtable>());
  active_ = view->memtables[0].get();
  view_ = std::move(view);
  return Status();
}

std::shared_ptr<const View> Store::current_view() {
  std::lock_guard lock(view_mutex_);
  return view_;
}

// ---- Writing ----

Status Store::check_ops(const mortise_commit_request& request) const {
  if (request.applied_index < index_) {
    return sdk::invalid("the applied index goes back from " + std::to_string(index_) + " to " +
                        std::to_string(request.applied_index));
  }
  for (size_t i = 0; i < request.op_count; ++i) {
    const mortise_write_op& op = request.ops[i];
    const bool is_range = op.kind == MORTISE_OP_DELETE_RANGE;
    if (op.kind != MORTISE_OP_PUT && op.kind != MORTISE_OP_DELETE && !is_range) {
      return sdk::invalid("operation of unknown kind " + std::to_string(op.kind));
    }
    if (op.keyspace >= MORTISE_KEYSPACE_COUNT_MAX) {
      return sdk::invalid("there is no keyspace " + std::to_string(op.keyspace));
    }
    if ((op.key.size == 0 && !is_range) || op.key.size > MORTISE_KEY_BYTES_MAX) {
      return sdk::invalid("a key of " + std::to_string(op.key.size) + " bytes");
    }
    if (op.value.size > MORTISE_VALUE_BYTES_MAX) {
      return sdk::invalid("a value of " + std::to_string(op.value.size) + " bytes");
    }
  }
  return Status();
}

Status Store::apply_ops(const mortise_commit_request& request, uint64_t seq) {
  for (size_t i = 0; i < request.op_count; ++i) {
    const mortise_write_op& op = request.ops[i];
    const std::string_view key = sdk::view(op.key);
    const std::string_view value = sdk::view(op.value);
    if (op.kind == MORTISE_OP_PUT) {
      active_->put(op.keyspace, key, value, seq);
    } else if (op.kind == MORTISE_OP_DELETE) {
      active_->remove(op.keyspace, key, seq);
    } else {
      MORTISE_SDK_RETURN_IF_ERROR(remove_range(op.keyspace, key, value, seq));
    }
  }
  return Status();
}

// The walk sees what this commit has done so far, and steps over tombstones that are put in behind
// it.
Status Store::remove_range(uint32_t keyspace, std::string_view lower, std::string_view upper,
                           uint64_t seq) {
  Snapshot snapshot;
  const int rc = open_snapshot(snapshot, seq);
  if (rc != 0) return snapshot.read_error(rc);
  MergeCursor cursor(snapshot, keyspace, /*reverse=*/false);
  MORTISE_SDK_RETURN_IF_ERROR(cursor.open());
  MORTISE_SDK_RETURN_IF_ERROR(cursor.seek(lower, upper));
  for (;;) {
    std::string_view key, value;
    Status status = cursor.next(key, value);
    if (status.code == MORTISE_E_NOT_FOUND) return Status();
    MORTISE_SDK_RETURN_IF_ERROR(std::move(status));
    active_->remove(keyspace, key, seq);
  }
}

Status Store::commit(const mortise_commit_request& request) {
  uint64_t seq = 0;
  {
    std::lock_guard lock(commit_mutex_);
    MORTISE_SDK_RETURN_IF_ERROR(background_error());
    MORTISE_SDK_RETURN_IF_ERROR(check_ops(request));
    if (active_->seq() != 0 && active_->bytes() >= options_.write_buffer_bytes) {
      MORTISE_SDK_RETURN_IF_ERROR(wait_for_room());
      freeze();
    }
    seq = seq_ + 1;
    try {
      if (Status status = apply_ops(request, seq); !status.ok()) {
        fail(status);
        return status;
      }
    } catch (...) {
      // A part of the commit is in the memtable, where the next one would show it.
      fail(sdk::internal_error("a commit failed half-way, for want of memory"));
      throw;
    }
    active_->set_position(seq, request.applied_index, request.applied_term);
    std::lock_guard view_lock(view_mutex_);
    seq_ = seq;
    index_ = request.applied_index;
    term_ = request.applied_term;
  }
  if (request.sync == 0) return Status();
  uint64_t index = 0;
  return sync(index);
}

void Store::freeze() {
  auto next = std::make_shared<View>();
  auto fresh = std::make_shared<Memtable>();
  std::shared_ptr<Memtable> frozen;
  std::shared_ptr<const View> old;
  {
    std::lock_guard lock(view_mutex_);
    next->generation = view_->generation;
    next->memtables.reserve(view_->memtables.size() + 1);
    next->memtables.push_back(fresh);
    next->memtables.insert(next->memtables.end(), view_->memtables.begin(), view_->memtables.end());
    frozen = view_->memtables[0];
    old = std::move(view_);
    view_ = std::move(next);
  }
  active_ = fresh.get();
  {
    std::lock_guard lock(work_mutex_);
    frozen_.push_back(std::move(frozen));
  }
  work_cv_.notify_one();
}

Status Store::wait_for_room() {
  std::unique_lock lock(work_mutex_);
  if (frozen_.size() >= options_.frozen_max) stalls_.add();
  done_cv_.wait(lock, [this] { return frozen_.size() < options_.frozen_max || !error_.ok(); });
  return error_;
}

uint64_t Store::freeze_all() {
  if (active_->seq() != 0) freeze();
  return seq_;
}

Status Store::sync(uint64_t& index) {
  uint64_t target;
  {
    std::lock_guard lock(commit_mutex_);
    MORTISE_SDK_RETURN_IF_ERROR(background_error());
    target = freeze_all();
  }
  return wait_durable(target, index);
}

Status Store::wait_durable(uint64_t seq, uint64_t& index) {
  std::unique_lock lock(work_mutex_);
  done_cv_.wait(lock, [&] { return durable_seq_ >= seq || !error_.ok(); });
  if (durable_seq_ < seq) return error_;
  index = durable_index_;
  return Status();
}

Status Store::wait_unloaded(uint64_t seq) {
  std::unique_lock lock(work_mutex_);
  done_cv_.wait(lock, [&] { return unloaded_seq_ >= seq || !error_.ok(); });
  return unloaded_seq_ >= seq ? Status() : error_;
}

Status Store::background_error() {
  std::lock_guard lock(work_mutex_);
  return error_;
}

void Store::fail(Status status) {
  host_.log(MORTISE_LOG_ERROR, "lmdb store stops writing",
            {{"path", path_}, {"error", status.message}});
  {
    std::lock_guard lock(work_mutex_);
    if (error_.ok()) error_ = std::move(status);
  }
  done_cv_.notify_all();
}

// ---- Reading ----

Status Store::applied(uint64_t& index, uint64_t& term) {
  std::lock_guard lock(view_mutex_);
  index = index_;
  term = term_;
  return Status();
}

int Store::open_snapshot(Snapshot& out, uint64_t seq) {
  std::lock_guard lock(view_mutex_);
  return out.open(view_, seq);
}

Status Store::reader_open(std::unique_ptr<Reader>& out) {
  auto made = std::make_unique<Reader>();
  int rc;
  {
    std::lock_guard lock(view_mutex_);
    rc = made->snapshot().open(view_, seq_);
  }
  if (rc != 0) return made->snapshot().read_error(rc);
  out = std::move(made);
  return Status();
}

Status Store::size(mortise_store_size& out) {
  drop_retired();
  const std::shared_ptr<const View> view = current_view();
  out.allocated_bytes = view->generation->file_size();
  out.in_use_bytes = view->generation->used_bytes();
  out.memory_bytes = 0;
  for (const auto& memtable : view->memtables) out.memory_bytes += memtable->bytes();
  std::lock_guard lock(work_mutex_);
  uint64_t kept = run_bytes_;
  for (const auto& generation : retired_) kept += generation->file_size();
  out.allocated_bytes += kept;
  out.in_use_bytes += kept;
  return Status();
}

// ---- The flush thread ----

void Store::flush_loop() {
  for (;;) {
    {
      std::unique_lock lock(work_mutex_);
      const auto ready = [this] { return stopping_ || (!frozen_.empty() && error_.ok()); };
      work_cv_.wait_for(lock, unloaded_.empty() ? kHousekeepingInterval : kDropInterval, ready);
      if (stopping_ && (frozen_.empty() || !error_.ok())) return;
    }
    drop_retired();
    current_view()->generation->trim_if_due();
    std::lock_guard unload_lock(unload_mutex_);
    std::shared_ptr<Memtable> oldest;
    {
      std::lock_guard lock(work_mutex_);
      if (frozen_.empty() || !error_.ok()) continue;
      oldest = frozen_.front();
    }
    Status status;
    try {
      status = flush_oldest(oldest);
    } catch (const std::exception& e) {
      status = sdk::internal_error(std::string("writing ") + path_ + ": " + e.what());
    }
    if (!status.ok()) fail(std::move(status));
  }
}

Status Store::flush_oldest(const std::shared_ptr<Memtable>& memtable) {
  const auto start = std::chrono::steady_clock::now();
  std::shared_ptr<Generation> generation = current_view()->generation;
  const RunHeader header{last_run_ + 1, memtable->index(), memtable->term()};
  MemtableSource source(*memtable);
  const bool needs_run =
      keepers_ > 0 || Unloader::is_large(options_, source, memtable->payload_bytes());
  if (needs_run) {
    MORTISE_SDK_RETURN_IF_ERROR(write_run(path_, header, source));
    runs_.push_back(header.run);
    {
      std::lock_guard lock(work_mutex_);
      run_bytes_ += file_bytes(run_path(path_, header.run));
    }
    note_durable(*memtable);
  }
  MemtableSource again(*memtable);
  Unloader unloader(generation, options_,
                    [this](std::shared_ptr<Generation>& full) { return grow_generation(full); });
  MORTISE_SDK_RETURN_IF_ERROR(unloader.unload(again, header, needs_run));
  last_run_ = header.run;
  publish_without(memtable);
  note_durable(*memtable);
  flushes_.add();
  flushed_bytes_.add(static_cast<double>(memtable->payload_bytes()));
  flush_seconds_.add(
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  if (keepers_ == 0) drop_runs();
  return Status();
}

void Store::note_durable(const Memtable& memtable) {
  {
    std::lock_guard lock(work_mutex_);
    durable_seq_ = std::max(durable_seq_, memtable.seq());
    durable_index_ = std::max(durable_index_, memtable.index());
  }
  done_cv_.notify_all();
}

void Store::publish_without(const std::shared_ptr<Memtable>& memtable) {
  auto next = std::make_shared<View>();
  std::shared_ptr<const View> old;
  {
    std::lock_guard lock(view_mutex_);
    next->generation = view_->generation;
    for (const auto& other : view_->memtables) {
      if (other != memtable) next->memtables.push_back(other);
    }
    old = std::move(view_);
    view_ = std::move(next);
  }
  {
    std::lock_guard lock(work_mutex_);
    frozen_.pop_front();
    unloaded_.push_back(memtable);
    unloaded_seq_ = memtable->seq();
  }
  done_cv_.notify_all();
}

namespace {

// Moves out those that nobody else holds.
template <typename T>
std::vector<std::shared_ptr<T>> take_unused(std::vector<std::shared_ptr<T>>* from) {
  std::vector<std::shared_ptr<T>> unused;
  for (auto it = from->begin(); it != from->end();) {
    if (it->use_count() == 1) {
      unused.push_back(std::move(*it));
      it = from->erase(it);
    } else {
      ++it;
    }
  }
  return unused;
}

}  // namespace

// Frees old generations and memtables that no reader holds any more, here rather than in a reader's
// close: giving back a memtable takes milliseconds, and the last reader is often that of a commit.
void Store::drop_retired() {
  std::vector<std::shared_ptr<Generation>> generations;
  std::vector<std::shared_ptr<Memtable>> memtables;
  std::lock_guard lock(work_mutex_);
  generations = take_unused(&retired_);
  memtables = take_unused(&unloaded_);
}

}  // namespace mortise::lmdb
