#include "host/snapshot/version_index.h"

#include <cstring>
#include <utility>

namespace mortise::snapshot {
namespace {

constexpr size_t kRevisionPartBytes = 16;  // Main and sub behind the key.

struct Place {
  uint64_t offset;
  uint32_t size;
  uint32_t tombstone;
};

}  // namespace

Status VersionIndex::add(std::string_view user_key, mvcc::Revision revision, bool tombstone,
                         std::optional<uint64_t> offset, std::string_view value) {
  Place place{offset.value_or(values_.size()), static_cast<uint32_t>(value.size()),
              tombstone ? 1u : 0u};
  if (!offset) {
    values_here_ = true;
    values_.emplace_back(value);
  }
  size_t size = mvcc::history_key_size(user_key);
  row_.resize(size + 8);
  mvcc::write_history_key(row_.data(), user_key, revision.main);
  mvcc::put_u64_be(row_.data() + size, static_cast<uint64_t>(revision.sub));
  return sort_.add(row_, {reinterpret_cast<const char*>(&place), sizeof place});
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
  version->sub = static_cast<int64_t>(mvcc::get_u64_be(row.data() + row.size() - 8));
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
