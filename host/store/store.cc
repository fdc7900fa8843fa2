#include "host/store/store.h"

#include <string.h>

#include "host/base/arena.h"

namespace mortise::store {
namespace {

mortise_error new_error() {
  mortise_error error{};
  error.struct_size = sizeof error;
  return error;
}

StatusCode code_of(mortise_status code) {
  switch (code) {
    case MORTISE_E_NOT_FOUND: return StatusCode::kNotFound;
    case MORTISE_E_INVALID:
    case MORTISE_E_UNSUPPORTED: return StatusCode::kInvalid;
    case MORTISE_E_IN_USE: return StatusCode::kInUse;
    case MORTISE_E_STOPPED: return StatusCode::kStopped;
    case MORTISE_E_IO: return StatusCode::kIo;
    case MORTISE_E_NO_SPACE: return StatusCode::kNoSpace;
    case MORTISE_E_CORRUPTION:
    case MORTISE_E_NEWER_FORMAT: return StatusCode::kCorruption;
    default: return StatusCode::kInternal;
  }
}

Status budget_used_up() { return Status(StatusCode::kDropped, "the read is too long"); }

}  // namespace

Status plugin_status(mortise_status code, const mortise_error& error, std::string_view what) {
  if (code == MORTISE_OK) return Status();
  std::string message(what);
  message += ": ";
  // Whether the plugin has ended its message is not taken for granted.
  const size_t size = ::strnlen(error.message, sizeof error.message);
  message += size != 0 ? std::string(error.message, size) : "status " + std::to_string(code);
  return Status(code_of(code), std::move(message));
}

Status plugin_status(mortise_status code, const mortise_error& error, std::string_view what,
                     const void* handle) {
  if (code != MORTISE_OK || handle != nullptr) return plugin_status(code, error, what);
  return Status(StatusCode::kInternal, std::string(what) + ": the plugin answers OK with nothing");
}

Status Cursor::seek(std::string_view lower, std::string_view upper) {
  mortise_error error = new_error();
  return plugin_status(table_->cursor_seek(handle_, bytes(lower), bytes(upper), &error), error,
                       "backend cursor_seek");
}

bool Cursor::next(std::string_view* key, std::string_view* value) {
  mortise_error error;
  error.struct_size = sizeof error;
  error.os_errno = 0;
  error.message[0] = '\0';
  mortise_bytes k, v;
  mortise_status code = table_->cursor_next(handle_, &k, &v, &error);
  if (__builtin_expect(code == MORTISE_OK, 1)) {
    *key = view(k);
    *value = view(v);
    const size_t spent = k.size + (spends_for_values_ ? v.size : 0);
    if (budget_ == nullptr || budget_->spend(spent)) return true;
    status_ = budget_used_up();
    return false;
  }
  if (code != MORTISE_E_NOT_FOUND) status_ = plugin_status(code, error, "backend cursor_next");
  return false;
}

Status Reader::get(Keyspace keyspace, std::string_view key, bool* found,
                   std::string_view* value) const {
  mortise_error error;
  error.struct_size = sizeof error;
  error.os_errno = 0;
  error.message[0] = '\0';
  mortise_bytes v{nullptr, 0};
  mortise_status code = table_->get(handle_, keyspace, bytes(key), &v, &error);
  *found = code == MORTISE_OK;
  *value = view(v);
  if (budget_ != nullptr && !budget_->spend(key.size() + v.size)) return budget_used_up();
  if (code == MORTISE_OK || code == MORTISE_E_NOT_FOUND) return Status();
  return plugin_status(code, error, "backend get");
}

Result<Cursor> Reader::cursor(Keyspace keyspace, uint32_t flags) const {
  mortise_error error = new_error();
  mortise_cursor* handle = nullptr;
  const mortise_status code = table_->cursor_open(handle_, keyspace, flags, &handle, &error);
  MORTISE_RETURN_IF_ERROR(plugin_status(code, error, "backend cursor_open", handle));
  return Cursor(table_, handle, budget_);
}

// Keeps the present files open while a call runs.
class Store::Use {
 public:
  explicit Use(const std::atomic<OpenFiles*>& current) {
    for (;;) {
      files_ = current.load();
      files_->users.fetch_add(1);
      // Whoever closes files looks at their count after others have taken their place.
      if (current.load() == files_) return;
      files_->users.fetch_sub(1);
    }
  }
  ~Use() {
    if (files_ != nullptr) files_->users.fetch_sub(1);
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  OpenFiles* operator->() const { return files_; }
  // Somebody else ends it.
  OpenFiles* release() { return std::exchange(files_, nullptr); }

 private:
  OpenFiles* files_;
};

Result<std::unique_ptr<Store>> Store::open(const mortise_backend_v1* table,
                                           const mortise_host* host, const std::string& path,
                                           std::string_view config_json) {
  mortise_error error = new_error();
  auto files = std::make_unique<OpenFiles>();
  files->table = table;
  files->path = path;
  const mortise_status code =
      table->store_open(host, path.c_str(), bytes(config_json), &files->handle, &error);
  MORTISE_RETURN_IF_ERROR(plugin_status(code, error, "cannot open the store", files->handle));
  return std::unique_ptr<Store>(new Store(std::move(files)));
}

Store::Store(std::unique_ptr<OpenFiles> files) : current_(files.get()) {
  files_.push_back(std::move(files));
}

Store::~Store() {
  for (const auto& files : files_) {
    if (files->handle != nullptr) files->table->store_close(files->handle);
  }
}

void Store::switch_to(std::unique_ptr<Store> next) {
  std::lock_guard lock(mutex_);
  OpenFiles* files = next->current_.load();
  for (auto& of_next : next->files_) files_.push_back(std::move(of_next));
  next->files_.clear();
  current_.store(files);
}

std::vector<std::string> Store::reap() {
  std::vector<OpenFiles*> unused;
  {
    std::lock_guard lock(mutex_);
    for (const auto& files : files_) {
      bool in_use = files.get() == current_.load() || files->users.load() > 0;
      if (!in_use && files->handle != nullptr) unused.push_back(files.get());
    }
  }
  std::vector<std::string> closed;
  for (OpenFiles* files : unused) {
    files->table->store_close(std::exchange(files->handle, nullptr));
    closed.push_back(files->path);
  }
  return closed;
}

Status Store::commit(const WriteBatch& batch, uint64_t applied_index, uint64_t applied_term,
                     bool sync) {
  mortise_error error = new_error();
  mortise_commit_request request{};
  request.struct_size = sizeof request;
  request.sync = sync ? 1 : 0;
  request.applied_index = applied_index;
  request.applied_term = applied_term;
  request.ops = batch.ops().data();
  request.op_count = batch.ops().size();
  Use files(current_);
  const auto start = std::chrono::steady_clock::now();
  const mortise_status code = files->table->commit(files->handle, &request, &error);
  commit_times_.observe(std::chrono::steady_clock::now() - start);
  return plugin_status(code, error, "backend commit");
}

uint64_t Store::open_readers() const {
  std::lock_guard lock(mutex_);
  uint64_t users = 0;
  for (const auto& files : files_) users += files->users.load();
  return users;
}

Result<uint64_t> Store::sync() {
  mortise_error error = new_error();
  uint64_t index = 0;
  Use files(current_);
  MORTISE_RETURN_IF_ERROR(
      plugin_status(files->table->sync(files->handle, &index, &error), error, "backend sync"));
  return index;
}

Status Store::applied(uint64_t* index, uint64_t* term) {
  mortise_error error = new_error();
  Use files(current_);
  return plugin_status(files->table->applied(files->handle, index, term, &error), error,
                       "backend applied");
}

Result<Reader> Store::reader() const {
  mortise_error error = new_error();
  mortise_reader* handle = nullptr;
  Use files(current_);
  const mortise_status code = files->table->reader_open(files->handle, &handle, &error);
  MORTISE_RETURN_IF_ERROR(plugin_status(code, error, "backend reader_open", handle));
  return Reader(files.release(), handle);
}

Result<mortise_store_size> Store::size() const {
  mortise_error error = new_error();
  mortise_store_size size{};
  size.struct_size = sizeof size;
  Use files(current_);
  MORTISE_RETURN_IF_ERROR(
      plugin_status(files->table->size(files->handle, &size, &error), error, "backend size"));
  return size;
}

Status Store::reclaim() {
  mortise_error error = new_error();
  Use files(current_);
  return plugin_status(files->table->reclaim(files->handle, &error), error, "backend reclaim");
}

namespace {

mortise_status MORTISE_ABI next_pair(void* context, uint32_t* keyspace, mortise_bytes* key,
                                     mortise_bytes* value) {
  auto* source = static_cast<PairSource*>(context);
  Keyspace number;
  std::string_view k, v;
  if (!source->next(&number, &k, &v)) {
    return source->status().ok() ? MORTISE_E_NOT_FOUND : MORTISE_E_IO;
  }
  *keyspace = number;
  *key = bytes(k);
  *value = bytes(v);
  return MORTISE_OK;
}

}  // namespace

Status Store::fill(PairSource* source, uint64_t applied_index, uint64_t applied_term) {
  Status status;
  {
    Use files(current_);
    if (MORTISE_HAS(files->table, mortise_backend_v1, replace)) {
      mortise_error error = new_error();
      status = plugin_status(files->table->replace(files->handle, applied_index, applied_term,
                                                   next_pair, source, &error),
                             error, "backend replace");
      return source->status().ok() ? status : source->status();
    }
  }
  MORTISE_RETURN_IF_ERROR(fill_by_commits(source));
  return commit(WriteBatch(), applied_index, applied_term, /*sync=*/true);
}

Status Store::fill_by_commits(PairSource* source) {
  constexpr size_t kBatchBytes = 4 << 20;
  Arena arena;
  WriteBatch batch;
  Keyspace keyspace;
  std::string_view key, value;
  while (source->next(&keyspace, &key, &value)) {
    batch.put(keyspace, arena.copy(key), arena.copy(value));
    if (arena.bytes_used() < kBatchBytes) continue;
    MORTISE_RETURN_IF_ERROR(commit(batch, 0, 0));
    batch.clear();
    arena = Arena();
  }
  MORTISE_RETURN_IF_ERROR(source->status());
  return commit(batch, 0, 0);
}

}  // namespace mortise::store
