// C++ face of the backend plugin: RAII handles and Status instead of tables and codes. Threads and
// lifetimes are those of mortise/abi/backend.h.
//
// It adds one thing: a Store can be given the files of another one. Who reads the old ones goes on
// with them; when the last of these is done, reap() closes them.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/base/metrics.h"
#include "host/base/status.h"
#include "host/store/keyspaces.h"
#include "mortise/abi/backend.h"

namespace mortise::store {

inline std::string_view view(mortise_bytes b) {
  return std::string_view(reinterpret_cast<const char*>(b.data), b.size);
}
inline mortise_bytes bytes(std::string_view v) {
  return mortise_bytes{reinterpret_cast<const uint8_t*>(v.data()), v.size()};
}

// Turns a plugin's failure into a Status; `what` names the call.
Status plugin_status(mortise_status code, const mortise_error& error, std::string_view what);
// For a call that makes `handle`: OK without one is a failure, too.
Status plugin_status(mortise_status code, const mortise_error& error, std::string_view what,
                     const void* handle);

// How much a reader may read for somebody who must not be held up. Not shared between threads.
class ReadBudget {
 public:
  static constexpr uint64_t kRowBytes = 64;  // What a row costs beside its bytes.
  explicit ReadBudget(uint64_t bytes) : left_(static_cast<int64_t>(bytes)) {}
  bool spend(uint64_t bytes) {
    left_ -= static_cast<int64_t>(bytes + kRowBytes);
    return left_ >= 0;
  }
  bool exceeded() const { return left_ < 0; }

 private:
  int64_t left_;
};

// A scan over one keyspace of a Reader. Spans live until the next call on the cursor.
class Cursor {
 public:
  Cursor() = default;
  Cursor(const mortise_backend_v1* table, mortise_cursor* handle, ReadBudget* budget)
      : table_(table), handle_(handle), budget_(budget) {}
  Cursor(Cursor&& other) noexcept
      : table_(other.table_),
        handle_(std::exchange(other.handle_, nullptr)),
        budget_(other.budget_),
        spends_for_values_(other.spends_for_values_) {}
  Cursor& operator=(Cursor&& other) noexcept {
    close();
    table_ = other.table_;
    budget_ = other.budget_;
    spends_for_values_ = other.spends_for_values_;
    handle_ = std::exchange(other.handle_, nullptr);
    return *this;
  }
  ~Cursor() { close(); }

  bool is_open() const { return handle_ != nullptr; }
  // For who looks at the sizes of values alone.
  void spend_for_keys_only() { spends_for_values_ = false; }
  // Range [lower, upper); empty bounds are open ends.
  Status seek(std::string_view lower, std::string_view upper);
  // False at the end or on failure; status() tells which.
  bool next(std::string_view* key, std::string_view* value);
  const Status& status() const { return status_; }

 private:
  void close() {
    if (handle_ != nullptr) table_->cursor_close(handle_);
    handle_ = nullptr;
  }
  const mortise_backend_v1* table_ = nullptr;
  mortise_cursor* handle_ = nullptr;
  ReadBudget* budget_ = nullptr;
  bool spends_for_values_ = true;
  Status status_;
};

// What a plugin has opened, and how many use it now.
struct OpenFiles {
  const mortise_backend_v1* table = nullptr;
  mortise_backend* handle = nullptr;  // Null once closed.
  std::string path;
  std::atomic<uint64_t> users{0};
};

// A stable view of the store.
class Reader {
 public:
  Reader() = default;
  // Counted in `files` already.
  Reader(OpenFiles* files, mortise_reader* handle)
      : table_(files->table), files_(files), handle_(handle) {}
  Reader(Reader&& other) noexcept
      : table_(other.table_),
        files_(other.files_),
        handle_(std::exchange(other.handle_, nullptr)),
        budget_(other.budget_) {}
  Reader& operator=(Reader&& other) noexcept {
    close();
    table_ = other.table_;
    files_ = other.files_;
    budget_ = other.budget_;
    handle_ = std::exchange(other.handle_, nullptr);
    return *this;
  }
  ~Reader() { close(); }

  bool is_open() const { return handle_ != nullptr; }
  // From here on reads, and those of cursors opened from here on, spend from `budget`, which
  // outlives them, and fail with kDropped when it is used up. Null: no limit.
  void limit(ReadBudget* budget) { budget_ = budget; }
  // *found tells whether the key is there; *value lives until the next get().
  Status get(Keyspace keyspace, std::string_view key, bool* found, std::string_view* value) const;
  Result<Cursor> cursor(Keyspace keyspace, uint32_t flags = 0) const;
  void close() {
    if (handle_ == nullptr) return;
    table_->reader_close(handle_);
    files_->users.fetch_sub(1);
    handle_ = nullptr;
  }

 private:
  const mortise_backend_v1* table_ = nullptr;
  OpenFiles* files_ = nullptr;
  mortise_reader* handle_ = nullptr;
  ReadBudget* budget_ = nullptr;
};

// Operations of one commit. Keys and values are views that must live until the commit.
class WriteBatch {
 public:
  void put(Keyspace keyspace, std::string_view key, std::string_view value) {
    ops_.push_back({MORTISE_OP_PUT, keyspace, bytes(key), bytes(value)});
  }
  void remove(Keyspace keyspace, std::string_view key) {
    ops_.push_back({MORTISE_OP_DELETE, keyspace, bytes(key), {nullptr, 0}});
  }
  const std::vector<mortise_write_op>& ops() const { return ops_; }
  bool empty() const { return ops_.empty(); }
  void clear() { ops_.clear(); }

 private:
  std::vector<mortise_write_op> ops_;
};

// Pairs for Store::fill(): keyspaces ascending, keys strictly ascending in each.
class PairSource {
 public:
  virtual ~PairSource() = default;
  // False at the end or on failure; status() tells which. Views live until the next call.
  virtual bool next(Keyspace* keyspace, std::string_view* key, std::string_view* value) = 0;
  virtual Status status() const = 0;
};

class Store {
 public:
  // `table` lives as long as the process; `host` outlives the store.
  static Result<std::unique_ptr<Store>> open(const mortise_backend_v1* table,
                                             const mortise_host* host, const std::string& path,
                                             std::string_view config_json);
  // Readers are closed before.
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  Status commit(const WriteBatch& batch, uint64_t applied_index, uint64_t applied_term,
                bool sync = false);
  Result<uint64_t> sync();  // The index that is durable now.
  Status applied(uint64_t* index, uint64_t* term);
  Result<Reader> reader() const;
  Result<mortise_store_size> size() const;
  Status reclaim();

  // Of commit(), in nanoseconds; any thread reads it.
  const DiskHistogram& commit_times() const { return commit_times_; }
  // Views that are open now, and calls under way.
  uint64_t open_readers() const;

  // Puts everything into an empty store, durably. The position comes with the last pair: a store
  // that was cut short has none, and is good for nothing.
  Status fill(PairSource* source, uint64_t applied_index, uint64_t applied_term);

  // Takes the files of `next`: calls that begin from here on are theirs, and the readers that are
  // open go on with the files from before. The apply thread's, while no commit is running.
  void switch_to(std::unique_ptr<Store> next);
  // Closes the files of before that nobody reads any more, and returns their directories. One call
  // at a time, on a thread that may wait.
  std::vector<std::string> reap();
  // The directory of the present files. The thread's that calls switch_to().
  const std::string& path() const { return current_.load()->path; }

 private:
  class Use;
  explicit Store(std::unique_ptr<OpenFiles> files);
  Status fill_by_commits(PairSource* source);

  DiskHistogram commit_times_;
  std::atomic<OpenFiles*> current_;
  mutable std::mutex mutex_;
  // All that were ever open: somebody who was about to use them may still look at their count.
  std::vector<std::unique_ptr<OpenFiles>> files_;
};

}  // namespace mortise::store
