// The auth keyspace as the entry that is being applied sees it, behind the plugin's
// mortise_auth_txn: the store, the rows that earlier entries of the batch wrote, and its own.
//
// The apply thread's. What an entry writes counts only once keep() is called; a failure of the
// store is remembered in status(), since the plugin may go on without noticing it.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "host/store/store.h"
#include "mortise/abi/auth.h"

namespace mortise::auth {

// Rows that were written and are not in the reader's view; nullopt: removed.
using WrittenRows = std::map<std::string, std::optional<std::string>, std::less<>>;

class RowsTxn {
 public:
  // `reader` and `written` outlive it. Without `written` it only reads.
  RowsTxn(const store::Reader* reader, WrittenRows* written, uint64_t entry_index);
  RowsTxn(const RowsTxn&) = delete;

  mortise_auth_txn* face() { return &face_; }
  // Makes what was written part of `written`, and tells each row.
  void keep(const std::function<void(const std::string& key, const std::string* value)>& visit);
  const Status& status() const { return status_; }

 private:
  static RowsTxn& of(mortise_auth_txn* txn) { return *static_cast<RowsTxn*>(txn->impl); }
  Status find(std::string_view key);
  Status find_next(std::string_view from);
  Status find_stored(std::string_view from, bool* found, std::string_view* key,
                     std::string_view* value);
  void write(std::string_view key, std::optional<std::string> value);

  const store::Reader* const reader_;
  WrittenRows* const written_;
  WrittenRows rows_;
  std::set<std::string, std::less<>> touched_;
  mortise_auth_txn face_{};
  store::Cursor cursor_;
  bool found_ = false;
  std::string key_, value_;
  Status status_;
};

}  // namespace mortise::auth
