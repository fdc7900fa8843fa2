#include "host/snapshot/version_index.h"

#include <cstring>
#include <utility>

namespace mortise::snapshot {
namespace {

constexpr size_t kRevisionPartBytes = 16;  // Main and sub behind the key.

// Of the value in the file. What the row of key_history holds follows.
struct Place {
  uint64_t offset;
  uint32_t size;
  uint32_t tombstone;
};

}  // namespace

Status VersionIndex::add(std::string_view user_key, int64_t main, const mvcc::HistoryValue& history,
                         std::optional<uint64_t> offset, std::string_view value) {
  Place place{offset.value_or(values_.size()), static_cast<uint32_t>(value.size()),
              history.tombstone ? 1u : 0u};
  if (!offset) {
    values_here_ = true;
    values_.emplace_back(value);
  }
  size_t size = mvcc::history_key_size(user_key);
  row_.resize(size + 8);
  mvcc::write_history_key(row_.data(), user_key, main);
  mvcc::put_u64_be(row_.data() + size, static_cast<uint64_t>(history.sub));
  char found[sizeof place + mvcc::kHistoryValueBytesMax];
  std::memcpy(found, &place, sizeof place);
  size_t found_size = sizeof place + mvcc::write_history_value(found + sizeof place, history);
  return sort_.add(row_, {found, found_size});
}

Status VersionIndex::rewind() {
  MORTISE_RETURN_IF_ERROR(sort_.rewind());
  has_ahead_ = next_row(&ahead_);
  return sort_.status();
}

bool VersionIndex::next_row(Version* version) {
  std::string_view row, value;
  if (!sort_.next(&row, &value)) return false;
  Place place;
  std::memcpy(&place, value.data(), sizeof place);
  version->history_row.assign(row.substr(0, row.size() - 8));
  version->prefix_size = row.size() - kRevisionPartBytes;
  version->history_value.assign(value.substr(sizeof place));
  version->tombstone = place.tombstone != 0;
  version->offset = place.offset;
  version->size = place.size;
  return true;
}

bool VersionIndex::next(Version* version) {
  if (!has_ahead_) return false;
  do {
    std::swap(*version, ahead_);
    has_ahead_ = next_row(&ahead_);
  } while (has_ahead_ && ahead_.history_row == version->history_row);
  return has_ahead_ || sort_.status().ok();
}

Result<std::string_view> VersionIndex::value(const Version& version, std::string* copy) const {
  if (values_here_) return std::string_view(values_[version.offset]);
  return source_->view(version.offset, version.size, copy);
}

}  // namespace mortise::snapshot
