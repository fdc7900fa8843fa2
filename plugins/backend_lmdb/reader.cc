#include "plugins/backend_lmdb/reader.h"

namespace mortise::lmdb {

Cursor::Cursor(Snapshot& snapshot, uint32_t keyspace, uint32_t flags)
    : merge_(snapshot, keyspace, (flags & MORTISE_CURSOR_REVERSE) != 0),
      keys_only_((flags & MORTISE_CURSOR_KEYS_ONLY) != 0) {}

Status Cursor::next(std::string_view& key, std::string_view& value) {
  Status status = merge_.next(key, value);
  if (keys_only_) value = std::string_view();
  return status;
}

Status Reader::get(uint32_t keyspace, std::string_view key, std::string_view& value) {
  if (keyspace >= MORTISE_KEYSPACE_COUNT_MAX || key.empty()) {
    return sdk::invalid(key.empty() ? "the key is empty" : "there is no such keyspace");
  }
  return snapshot_.get(keyspace, key, value);
}

Status Reader::cursor_open(uint32_t keyspace, uint32_t flags, std::unique_ptr<Cursor>& out) {
  if (keyspace >= MORTISE_KEYSPACE_COUNT_MAX) return sdk::invalid("there is no such keyspace");
  auto made = std::make_unique<Cursor>(snapshot_, keyspace, flags);
  MORTISE_SDK_RETURN_IF_ERROR(made->open());
  out = std::move(made);
  return Status();
}

}  // namespace mortise::lmdb
