#include "host/auth/rows.h"

#include <cstdio>

namespace mortise::auth {
namespace {

mortise_status failed(const Status& status, mortise_error* error) {
  if (error != nullptr && MORTISE_HAS(error, mortise_error, message)) {
    std::snprintf(error->message, sizeof error->message, "%s", status.message().c_str());
  }
  return MORTISE_E_IO;
}

}  // namespace

RowsTxn::RowsTxn(const store::Reader* reader, WrittenRows* written, uint64_t entry_index)
    : reader_(reader), written_(written) {
  if (written_ != nullptr) rows_ = *written_;
  face_.struct_size = sizeof face_;
  face_.impl = this;
  face_.entry_index = entry_index;
  face_.get = [](mortise_auth_txn* txn, mortise_bytes key, mortise_bytes* value,
                 mortise_error* error) -> mortise_status {
    RowsTxn& self = of(txn);
    Status status = self.find(store::view(key));
    if (!status.ok()) return failed(status, error);
    if (!self.found_) return MORTISE_E_NOT_FOUND;
    *value = store::bytes(self.value_);
    return MORTISE_OK;
  };
  face_.next = [](mortise_auth_txn* txn, mortise_bytes from, mortise_bytes* key,
                  mortise_bytes* value, mortise_error* error) -> mortise_status {
    RowsTxn& self = of(txn);
    Status status = self.find_next(store::view(from));
    if (!status.ok()) return failed(status, error);
    if (!self.found_) return MORTISE_E_NOT_FOUND;
    *key = store::bytes(self.key_);
    *value = store::bytes(self.value_);
    return MORTISE_OK;
  };
  face_.put = [](mortise_auth_txn* txn, mortise_bytes key, mortise_bytes value) {
    of(txn).write(store::view(key), std::string(store::view(value)));
  };
  face_.remove = [](mortise_auth_txn* txn, mortise_bytes key) {
    of(txn).write(store::view(key), std::nullopt);
  };
}

void RowsTxn::keep(
    const std::function<void(const std::string& key, const std::string* value)>& visit) {
  for (const std::string& key : touched_) {
    const auto& value = rows_.at(key);
    visit(key, value ? &*value : nullptr);
  }
  touched_.clear();
  *written_ = rows_;
}

Status RowsTxn::find(std::string_view key) {
  auto row = rows_.find(key);
  if (row != rows_.end()) {
    found_ = row->second.has_value();
    if (found_) value_ = *row->second;
    return Status();
  }
  std::string_view value;
  status_ = reader_->get(store::kAuth, key, &found_, &value);
  if (!status_.ok()) return status_;
  if (found_) value_ = value;
  return Status();
}

Status RowsTxn::find_stored(std::string_view from, bool* found, std::string_view* key,
                            std::string_view* value) {
  *found = false;
  if (!cursor_.is_open()) {
    MORTISE_ASSIGN_OR_RETURN(cursor_, reader_->cursor(store::kAuth));
  }
  MORTISE_RETURN_IF_ERROR(cursor_.seek(from, {}));
  *found = cursor_.next(key, value);
  return cursor_.status();
}

// The first row of both that is not removed.
Status RowsTxn::find_next(std::string_view from) {
  std::string at(from);
  for (;;) {
    auto row = rows_.lower_bound(at);
    bool is_stored;
    std::string_view key, value;
    status_ = find_stored(at, &is_stored, &key, &value);
    if (!status_.ok()) return status_;
    found_ = is_stored || row != rows_.end();
    if (!found_) return Status();
    if (row == rows_.end() || (is_stored && key < row->first)) {
      key_ = key;
      value_ = value;
      return Status();
    }
    if (row->second) {
      key_ = row->first;
      value_ = *row->second;
      return Status();
    }
    at = row->first;
    at.push_back('\0');
  }
}

void RowsTxn::write(std::string_view key, std::optional<std::string> value) {
  MORTISE_CHECK(written_ != nullptr, "the auth plugin writes outside of an entry");
  rows_[std::string(key)] = std::move(value);
  touched_.emplace(key);
}

}  // namespace mortise::auth
