#include "host/mvcc/hash.h"

#include "host/base/crc32c.h"
#include "host/mvcc/history_scan.h"
#include "host/wire/key_value.h"

namespace mortise::mvcc {
namespace {

// Answers, for versions at or below the compacted revision: is it the newest of its key at
// `revision`? So the hash does not depend on whether the rows of the others are already gone.
class Keeper {
 public:
  Keeper(const View& view, int64_t revision) : view_(view), revision_(revision) {}

  Status keeps(std::string_view key, Revision version, bool* keep) {
    if (!history_.is_open()) {
      MORTISE_ASSIGN_OR_RETURN(history_,
                               view_.reader().cursor(store::kKeyHistory, MORTISE_CURSOR_REVERSE));
    }
    MORTISE_RETURN_IF_ERROR(
        history_.seek(history_key(key, version.main), history_key(key, revision_ + 1)));
    std::string_view row, value, prefix;
    int64_t newest = 0;
    if (!history_.next(&row, &value)) {
      *keep = false;
      return history_.status();
    }
    if (!split_history_key(row, &prefix, &newest))
      return corruption("a key history row is malformed");
    HistoryValue newest_version;
    if (!decode_history_value(value, &newest_version)) {
      return corruption("a key history row is malformed");
    }
    *keep = newest == version.main && newest_version.sub == version.sub;
    return Status();
  }

 private:
  const View& view_;
  int64_t revision_;
  store::Cursor history_;
};

// Does any key exist at the revision?
Status any_key(const View& view, int64_t revision, bool* any) {
  KeyRange all;
  all.single = false;
  MORTISE_ASSIGN_OR_RETURN(auto scan, HistoryScan::open(view.reader(), all, revision));
  std::string_view ignored;
  *any = scan.next(Want::kNothing, &ignored);
  return scan.status();
}

}  // namespace

Status hash_kv(const View& view, int64_t revision, HashKvResult* result) {
  const State& state = view.state();
  result->hash_revision = revision == 0 ? state.revision : revision;
  result->compact_revision = state.compacted;
  if (revision > 0 && revision < state.compacted) {
    result->rpc = rpc_errors::kCompacted;
    return Status();
  }
  if (revision > state.revision) {
    result->rpc = rpc_errors::kFutureRevision;
    return Status();
  }
  if (revision < 0) {
    result->hash = crc32c(0, kHistoryBucket);  // Nothing is that old.
    return Status();
  }
  MORTISE_ASSIGN_OR_RETURN(auto cursor,
                           view.reader().cursor(store::kRevisions, MORTISE_CURSOR_NO_CACHE));
  MORTISE_RETURN_IF_ERROR(cursor.seek({}, encode_revision({result->hash_revision + 1, 0})));
  // Where no key exists at the revision, etcd hashes all that the compaction has left.
  bool any = true;
  if (state.compacted >= 0) MORTISE_RETURN_IF_ERROR(any_key(view, result->hash_revision, &any));
  Keeper keeper(view, any ? result->hash_revision : state.compacted);
  uint32_t crc = crc32c(0, kHistoryBucket);
  std::string_view name, value;
  while (cursor.next(&name, &value)) {
    Revision at;
    bool tombstone;
    if (!decode_revision(name, &at, &tombstone))
      return corruption("a stored revision is malformed");
    if (at.main <= state.compacted) {
      if (tombstone) continue;
      wire::KeyValue kv;
      if (!wire::decode_key_value(value, &kv)) return corruption("a stored KeyValue is malformed");
      bool keep = false;
      MORTISE_RETURN_IF_ERROR(keeper.keeps(kv.key, at, &keep));
      if (!keep) continue;
    }
    crc = crc32c(crc32c(crc, name), value);
  }
  MORTISE_RETURN_IF_ERROR(cursor.status());
  result->hash = crc;
  return Status();
}

}  // namespace mortise::mvcc
