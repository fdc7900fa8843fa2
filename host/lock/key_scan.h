// Walks the keys of a prefix at the store's newest revision, a piece at a time, so that whoever
// walks can do other work in between. Used on the keeper's thread and by single reads.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "host/mvcc/view.h"
#include "host/wire/key_value.h"

namespace mortise::lock {

// A piece of work on the keeper's thread; then others have their turn.
constexpr size_t kScanKeysPerRound = 1000;

class KeyScan {
 public:
  // `kv` is valid during the call.
  using Visit = std::function<void(const wire::KeyValue& kv, std::string_view stored)>;

  static Result<std::unique_ptr<KeyScan>> open(const store::Store& store, std::string prefix);
  int64_t revision() const { return view_.state().revision; }
  // Visits up to `keys_max`; *done says whether that were the last.
  Status step(size_t keys_max, const Visit& visit, bool* done);

 private:
  KeyScan(mvcc::View view, std::string prefix)
      : view_(std::move(view)), prefix_(std::move(prefix)) {}
  mvcc::ReadContext context() const;

  const mvcc::View view_;
  const std::string prefix_;
  std::optional<mvcc::CurrentScan> scan_;
};

// The smallest key above all that begin with `prefix`; empty if there is none.
std::string prefix_end(std::string_view prefix);

// The newest KeyValue of one key.
struct Found {
  int64_t revision = 0;  // The store's.
  std::string stored;    // Empty if the key is not there.
  wire::KeyValue kv;     // Views of `stored`.
};
Result<std::unique_ptr<Found>> find_key(const store::Store& store, std::string_view key);
// The key of the prefix that was created first.
Result<std::unique_ptr<Found>> find_oldest(const store::Store& store, const std::string& prefix);

}  // namespace mortise::lock
