// The versions of all keys of a file, in the order of keys: what the history says when it is walked
// from the first revision to the last, turned around. Values stay in the file.
//
// Of Loader, on one thread at a time.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/bbolt/source.h"
#include "host/mvcc/revision.h"
#include "host/snapshot/external_sort.h"

namespace mortise::snapshot {

// The newest version of a key in one transaction.
struct Version {
  std::string history_row;  // Its name in key_history, of which the key is the first part.
  size_t prefix_size = 0;
  std::string history_value;  // What the row holds.
  bool tombstone = false;
  uint64_t offset = 0;
  uint32_t size = 0;
  std::string_view prefix() const { return std::string_view(history_row).substr(0, prefix_size); }
};

class VersionIndex {
 public:
  // `source` outlives the index.
  VersionIndex(const bbolt::Source* source, const std::string& temp_dir, size_t sort_bytes)
      : source_(source), sort_(temp_dir, sort_bytes) {}

  // `offset` is where the value stands in the file, if it does.
  Status add(std::string_view user_key, int64_t main, const mvcc::HistoryValue& history,
             std::optional<uint64_t> offset, std::string_view value);
  Status rewind();
  // False at the end or on failure.
  bool next(Version* version);
  const Status& status() const { return sort_.status(); }
  // The bytes of the version's value, in *copy if they are not at hand.
  Result<std::string_view> value(const Version& version, std::string* copy) const;

 private:
  bool next_row(Version* version);

  const bbolt::Source* const source_;
  ExternalSort sort_;
  std::vector<std::string> values_;  // Those without a place in the file, by Version::offset.
  bool values_here_ = false;
  bool has_ahead_ = false;
  Version ahead_;
  std::string row_;  // Scratch.
};

}  // namespace mortise::snapshot
