#include "plugins/backend_lmdb/generation.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "plugins/backend_lmdb/files.h"

namespace mortise::lmdb {
namespace {

constexpr uint64_t kMapBytesMin = uint64_t{1} << 20;
constexpr uint64_t kMapHeadroomBytes = uint64_t{1} << 30;
constexpr std::string_view kStateKey = "state";
constexpr char kDataFile[] = "/data.mdb";
constexpr char kLockFile[] = "/lock.mdb";

MDB_val val(std::string_view bytes) {
  return MDB_val{bytes.size(), const_cast<char*>(bytes.data())};
}

// Pages of files that this process has mapped in, all mappings together. 0 if the system does not
// say.
uint64_t mapped_file_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  unsigned long total = 0, resident = 0, shared = 0;
  const int fields = std::fscanf(file, "%lu %lu %lu", &total, &resident, &shared);
  std::fclose(file);
  return fields == 3 ? uint64_t{shared} * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

}  // namespace

Generation::Generation(std::string path, uint64_t number, const Options& options)
    : path_(std::move(path)), number_(number), options_(options) {}

Generation::~Generation() {
  for (MDB_txn* txn : pool_) ::mdb_txn_abort(txn);
  if (env_ != nullptr) ::mdb_env_close(env_);
  // A directory that cannot be removed now is removed at the next open.
  if (obsolete_.load(std::memory_order_relaxed)) (void)remove_path(path_);
}

void Generation::set_path(const std::string& path) { path_ = path; }

Status Generation::open_env(uint64_t map_bytes) {
  // The store's own lock keeps others out, so whatever an old lock file says is of a process that
  // is gone.
  MORTISE_SDK_RETURN_IF_ERROR(remove_path(path_ + kLockFile));
  unsigned flags = MDB_NOTLS;
  if (!options_.readahead) flags |= MDB_NORDAHEAD;
  for (;; map_bytes /= 2) {
    int rc = ::mdb_env_create(&env_);
    if (rc == 0) rc = ::mdb_env_set_maxdbs(env_, MORTISE_KEYSPACE_COUNT_MAX + 2);
    if (rc == 0) rc = ::mdb_env_set_maxreaders(env_, static_cast<unsigned>(options_.readers_max));
    if (rc == 0) rc = ::mdb_env_set_mapsize(env_, map_bytes);
    if (rc == 0) rc = ::mdb_env_open(env_, path_.c_str(), flags, 0600);
    if (rc == 0) break;
    ::mdb_env_close(env_);
    env_ = nullptr;
    // Address space is short, as under a limit or a sanitizer: less will do, it grows.
    const bool may_shrink = map_bytes / 2 >= std::max(kMapBytesMin, file_bytes(path_ + kDataFile));
    if (rc != ENOMEM || !may_shrink) return mdb_error(rc, "opening " + path_);
  }
  map_bytes_.store(map_bytes, std::memory_order_relaxed);
  return Status();
}

// Whether each of the pages [first_page, page_count) is on the free list.
int Generation::tail_is_free(uint64_t first_page, uint64_t page_count, bool& free) const {
  free = false;
  MDB_txn* txn = nullptr;
  MDB_cursor* cursor = nullptr;
  int rc = ::mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn);
  if (rc != 0) return rc;
  uint64_t found = 0;
  rc = ::mdb_cursor_open(txn, 0, &cursor);
  if (rc == 0) {
    MDB_val key, data;
    while ((rc = ::mdb_cursor_get(cursor, &key, &data, MDB_NEXT)) == 0) {
      const auto* ids = static_cast<const size_t*>(data.mv_data);
      const size_t count = std::min(ids[0], data.mv_size / sizeof(size_t) - 1);
      for (size_t i = 1; i <= count; ++i) found += ids[i] >= first_page && ids[i] < page_count;
    }
    ::mdb_cursor_close(cursor);
  }
  ::mdb_txn_abort(txn);
  if (rc == MDB_NOTFOUND) rc = 0;
  free = rc == 0 && found == page_count - first_page;
  return rc;
}

// A file that lost its end would be met as a fault of the process, so it is refused here. It may be
// shorter than its page count by pages that were allocated and freed in one transaction, which are
// never written.
Status Generation::check_file_length() {
  MDB_envinfo info;
  MDB_stat stat;
  ::mdb_env_info(env_, &info);
  ::mdb_env_stat(env_, &stat);
  const std::string file = path_ + kDataFile;
  const uint64_t size = file_bytes(file);
  const uint64_t pages = info.me_last_pgno + 1;
  const uint64_t whole = size / stat.ms_psize;
  if (whole >= pages) return Status();
  const Status cut = sdk::corruption(file + " is cut: it has " + std::to_string(whole) + " of " +
                                     std::to_string(pages) + " pages");
  if (whole < 2) return cut;
  if (::truncate(file.c_str(), static_cast<off_t>(pages * stat.ms_psize)) != 0) {
    return sdk::io_error(errno, "extending " + file);
  }
  bool free = false;
  if (tail_is_free(whole, pages, free) == 0 && free) return Status();
  (void)!::truncate(file.c_str(), static_cast<off_t>(size));
  return cut;
}

Status Generation::open_databases(Mode mode) {
  MDB_txn* txn = nullptr;
  const unsigned flags = mode == Mode::kCreate ? MDB_CREATE : 0;
  int rc = ::mdb_txn_begin(env_, nullptr, mode == Mode::kCreate ? 0 : MDB_RDONLY, &txn);
  if (rc != 0) return mdb_error(rc, "reading " + path_);
  for (uint32_t i = 0; rc == 0 && i < keyspaces_.size(); ++i) {
    const std::string name = "keyspace-" + std::to_string(i);
    rc = ::mdb_dbi_open(txn, name.c_str(), flags, &keyspaces_[i]);
  }
  if (rc == 0) rc = ::mdb_dbi_open(txn, "long-keys", flags, &long_keys_);
  if (rc == 0) rc = ::mdb_dbi_open(txn, "meta", flags, &meta_);
  if (rc == 0 && mode == Mode::kCreate) rc = write_state(txn, State());
  if (rc != 0) {
    ::mdb_txn_abort(txn);
    return mdb_error(rc, "reading the databases of " + path_);
  }
  rc = ::mdb_txn_commit(txn);
  if (rc != 0) return mdb_error(rc, "writing " + path_);
  return Status();
}

Status Generation::open(const std::string& path, uint64_t number, const Options& options, Mode mode,
                        std::shared_ptr<Generation>& out) {
  std::shared_ptr<Generation> made(new Generation(path, number, options));
  const std::string file = path + kDataFile;
  if (mode == Mode::kExisting && ::access(file.c_str(), F_OK) != 0) {
    if (errno == ENOENT) return sdk::corruption(file + " is missing");
    return sdk::io_error(errno, "opening " + file);
  }
  const uint64_t map = std::max(options.map_size_bytes,
                                mode == Mode::kExisting && file_bytes(file) > options.map_size_bytes
                                    ? file_bytes(file) * 2 + kMapHeadroomBytes
                                    : 0);
  const uint64_t mapped_before = mapped_file_bytes();
  MORTISE_SDK_RETURN_IF_ERROR(made->open_env(map));
  if (mode == Mode::kExisting) MORTISE_SDK_RETURN_IF_ERROR(made->check_file_length());
  MORTISE_SDK_RETURN_IF_ERROR(made->open_databases(mode));
  if (mode == Mode::kCreate) MORTISE_SDK_RETURN_IF_ERROR(sync_directory(path));
  if (options.resident_limit_bytes != 0) {
    // The programs and libraries of the process are not this file's pages.
    made->resident_limit_ = options.resident_limit_bytes + mapped_before;
    made->touch_step_ = std::max<uint64_t>(options.resident_limit_bytes / 4, 1);
    made->find_map();
  }
  MORTISE_SDK_RETURN_IF_ERROR(made->refresh_figures());
  out = std::move(made);
  return Status();
}

int Generation::begin_read(MDB_txn** out) {
  MDB_txn* txn = nullptr;
  {
    std::lock_guard lock(pool_mutex_);
    ++active_reads_;
    if (!pool_.empty()) {
      txn = pool_.back();
      pool_.pop_back();
    }
  }
  int rc = txn != nullptr ? ::mdb_txn_renew(txn) : ::mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn);
  if (rc == 0) {
    *out = txn;
    return 0;
  }
  std::lock_guard lock(pool_mutex_);
  --active_reads_;
  return rc;
}

void Generation::end_read(MDB_txn* txn) {
  ::mdb_txn_reset(txn);
  std::lock_guard lock(pool_mutex_);
  --active_reads_;
  pool_.push_back(txn);
}

int Generation::read_state(MDB_txn* txn, State& out) const {
  MDB_val key = val(kStateKey);
  MDB_val data;
  const int rc = ::mdb_get(txn, meta_, &key, &data);
  if (rc != 0) return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
  if (data.mv_size != sizeof(State)) return MDB_CORRUPTED;
  std::memcpy(&out, data.mv_data, sizeof(State));
  return 0;
}

int Generation::write_state(MDB_txn* txn, const State& state) const {
  MDB_val key = val(kStateKey);
  MDB_val data{sizeof(State), const_cast<State*>(&state)};
  return ::mdb_put(txn, meta_, &key, &data, 0);
}

bool Generation::try_grow(Status& status) {
  std::lock_guard lock(pool_mutex_);
  if (active_reads_ != 0) return false;
  std::lock_guard map_lock(map_mutex_);
  const uint64_t bytes = map_bytes() * 2;
  const int rc = ::mdb_env_set_mapsize(env_, bytes);
  if (rc != 0) {
    status =
        mdb_error(rc, "growing the map of " + path_ + " to " + std::to_string(bytes) + " bytes");
    return true;
  }
  map_bytes_.store(bytes, std::memory_order_relaxed);
  map_ = nullptr;
  if (resident_limit_ != 0) find_map();
  return true;
}

// LMDB does not say where it has mapped the file, the system does.
void Generation::find_map() {
  struct stat info;
  if (::stat((path_ + kDataFile).c_str(), &info) != 0) return;
  std::FILE* file = std::fopen("/proc/self/maps", "re");
  if (file == nullptr) return;
  char line[4352];
  while (std::fgets(line, sizeof(line), file) != nullptr) {
    unsigned long begin = 0, inode = 0;
    if (std::sscanf(line, "%lx-%*x %*s %*x %*s %lu", &begin, &inode) != 2) continue;
    if (inode != info.st_ino || std::strstr(line, "data.mdb") == nullptr) continue;
    map_ = reinterpret_cast<char*>(begin);
    break;
  }
  std::fclose(file);
}

void Generation::trim() {
  touched_.store(0, std::memory_order_relaxed);
  if (resident_limit_ == 0 || mapped_file_bytes() <= resident_limit_) return;
  std::unique_lock lock(map_mutex_, std::try_to_lock);
  if (!lock.owns_lock() || map_ == nullptr) return;
  const uint64_t length = std::min(file_bytes(path_ + kDataFile), map_bytes());
  // The pages stay in the system's cache; whoever reads them next has them mapped in again.
  if (length > 0) (void)::madvise(map_, length, MADV_DONTNEED);
}

void Generation::trim_if_due() {
  using std::chrono::milliseconds;
  const auto since_start = std::chrono::steady_clock::now().time_since_epoch();
  const int64_t now = std::chrono::duration_cast<milliseconds>(since_start).count();
  if (now < next_trim_ms_.load(std::memory_order_relaxed)) return;
  next_trim_ms_.store(now + kTrimIntervalMs, std::memory_order_relaxed);
  trim();
}

Status Generation::refresh_figures() {
  MDB_txn* txn = nullptr;
  int rc = begin_read(&txn);
  if (rc != 0) return mdb_error(rc, "reading " + path_);
  uint64_t free_pages = 0;
  MDB_cursor* cursor = nullptr;
  rc = ::mdb_cursor_open(txn, 0, &cursor);
  if (rc == 0) {
    MDB_val key, data;
    while ((rc = ::mdb_cursor_get(cursor, &key, &data, MDB_NEXT)) == 0) {
      size_t count;
      std::memcpy(&count, data.mv_data, sizeof(count));
      free_pages += count;
    }
    ::mdb_cursor_close(cursor);
  }
  end_read(txn);
  if (rc != MDB_NOTFOUND) return mdb_error(rc, "reading the free list of " + path_);
  MDB_envinfo info;
  MDB_stat stat;
  ::mdb_env_info(env_, &info);
  ::mdb_env_stat(env_, &stat);
  const uint64_t pages = info.me_last_pgno + 1;
  const uint64_t size = file_bytes(path_ + kDataFile);
  file_bytes_.store(size, std::memory_order_relaxed);
  used_bytes_.store(std::min(size, (pages - std::min(pages, free_pages)) * stat.ms_psize),
                    std::memory_order_relaxed);
  return Status();
}

}  // namespace mortise::lmdb
