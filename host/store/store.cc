#include "host/store/store.h"

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
  message +=
      error.message[0] != '\0' ? std::string(error.message) : "status " + std::to_string(code);
  return Status(code_of(code), std::move(message));
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
    if (budget_ == nullptr || budget_->spend(k.size + v.size)) return true;
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
  MORTISE_RETURN_IF_ERROR(
      plugin_status(table_->cursor_open(handle_, keyspace, flags, &handle, &error), error,
                    "backend cursor_open"));
  return Cursor(table_, handle, budget_);
}

Result<std::unique_ptr<Store>> Store::open(const mortise_backend_v1* table,
                                           const mortise_host* host, const std::string& path,
                                           std::string_view config_json) {
  mortise_error error = new_error();
  mortise_backend* handle = nullptr;
  MORTISE_RETURN_IF_ERROR(
      plugin_status(table->store_open(host, path.c_str(), bytes(config_json), &handle, &error),
                    error, "cannot open the store"));
  return std::unique_ptr<Store>(new Store(table, handle));
}

Store::~Store() { table_->store_close(handle_); }

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
  return plugin_status(table_->commit(handle_, &request, &error), error, "backend commit");
}

Result<uint64_t> Store::sync() {
  mortise_error error = new_error();
  uint64_t index = 0;
  MORTISE_RETURN_IF_ERROR(
      plugin_status(table_->sync(handle_, &index, &error), error, "backend sync"));
  return index;
}

Status Store::applied(uint64_t* index, uint64_t* term) {
  mortise_error error = new_error();
  return plugin_status(table_->applied(handle_, index, term, &error), error, "backend applied");
}

Result<Reader> Store::reader() const {
  mortise_error error = new_error();
  mortise_reader* handle = nullptr;
  MORTISE_RETURN_IF_ERROR(
      plugin_status(table_->reader_open(handle_, &handle, &error), error, "backend reader_open"));
  return Reader(table_, handle);
}

Result<mortise_store_size> Store::size() const {
  mortise_error error = new_error();
  mortise_store_size size{};
  size.struct_size = sizeof size;
  MORTISE_RETURN_IF_ERROR(
      plugin_status(table_->size(handle_, &size, &error), error, "backend size"));
  return size;
}

Status Store::reclaim() {
  mortise_error error = new_error();
  return plugin_status(table_->reclaim(handle_, &error), error, "backend reclaim");
}

}  // namespace mortise::store
