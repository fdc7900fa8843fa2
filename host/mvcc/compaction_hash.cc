#include "host/mvcc/compaction_hash.h"

#include <algorithm>

#include "host/mvcc/hash.h"
#include "host/mvcc/history_scan.h"

namespace mortise::mvcc {
namespace {

constexpr uint64_t kPieceRowsMax = 10'000;
constexpr uint64_t kPieceBytesMax = 4 << 20;

Result<bool> deletes_at(const store::Reader& reader, int64_t revision) {
  MORTISE_ASSIGN_OR_RETURN(auto cursor, reader.cursor(store::kRevisions, MORTISE_CURSOR_KEYS_ONLY));
  MORTISE_RETURN_IF_ERROR(
      cursor.seek(encode_revision({revision, 0}), encode_revision({revision + 1, 0})));
  std::string_view name, value;
  while (cursor.next(&name, &value)) {
    if (name.size() == kRevisionBytesMax) return true;
  }
  MORTISE_RETURN_IF_ERROR(cursor.status());
  return false;
}

// Hashes a piece from `lower` on; *lower is then where to go on, empty at the end.
Status hash_piece(const store::Store& store, int64_t previous, std::string* lower, RowsHash* hash) {
  MORTISE_ASSIGN_OR_RETURN(auto reader, store.reader());
  MORTISE_ASSIGN_OR_RETURN(auto cursor, reader.cursor(store::kRevisions, MORTISE_CURSOR_NO_CACHE));
  MORTISE_RETURN_IF_ERROR(cursor.seek(*lower, encode_revision({previous + 1, 0})));
  uint64_t bytes_max = hash->bytes + kPieceBytesMax;
  std::string_view name, value;
  for (uint64_t rows = 0; cursor.next(&name, &value); ++rows) {
    if (rows == kPieceRowsMax || hash->bytes >= bytes_max) {
      lower->assign(name);
      return Status();
    }
    Revision revision;
    bool tombstone;
    if (!decode_revision(name, &revision, &tombstone))
      return corruption("a stored revision is malformed");
    if (!tombstone || revision.main != previous) hash->add(name, value);
  }
  lower->clear();
  return cursor.status();
}

}  // namespace

Result<bool> keeps_nothing(const store::Reader& reader, int64_t revision) {
  KeyRange all;
  all.single = false;
  MORTISE_ASSIGN_OR_RETURN(auto scan, HistoryScan::open(reader, all, revision));
  std::string_view ignored;
  bool any = scan.next(Want::kNothing, &ignored);
  MORTISE_RETURN_IF_ERROR(scan.status());
  if (any) return false;
  MORTISE_ASSIGN_OR_RETURN(bool tombstone, deletes_at(reader, revision));
  return !tombstone;
}

Status hash_rows_up_to(const store::Store& store, int64_t previous,
                       const std::function<bool()>& pause, RowsHash* hash) {
  if (previous < 0) return Status();
  std::string lower;
  for (;;) {
    MORTISE_RETURN_IF_ERROR(hash_piece(store, previous, &lower, hash));
    if (lower.empty()) return Status();
    if (!pause()) return Status(StatusCode::kStopped, "compaction stopped");
  }
}

uint32_t join(const RowsHash& kept, const RowsHash& since) {
  uint32_t bucket = crc32c(0, kHistoryBucket);
  return crc32c_concat(crc32c_concat(bucket, kept.crc, kept.bytes), since.crc, since.bytes);
}

void PastHashes::add(const PastHash& hash) {
  std::lock_guard lock(mutex_);
  auto at = std::find_if(hashes_.begin(), hashes_.end(),
                         [&](const PastHash& other) { return other.revision > hash.revision; });
  hashes_.insert(at, hash);
  if (hashes_.size() > kHashesMax) hashes_.erase(hashes_.begin());
}

void PastHashes::clear() {
  std::lock_guard lock(mutex_);
  hashes_.clear();
}

std::vector<PastHash> PastHashes::all() const {
  std::lock_guard lock(mutex_);
  return hashes_;
}

std::optional<PastHash> PastHashes::find(int64_t revision) const {
  std::lock_guard lock(mutex_);
  for (const PastHash& hash : hashes_) {
    if (hash.revision == revision) return hash;
  }
  return std::nullopt;
}

}  // namespace mortise::mvcc
