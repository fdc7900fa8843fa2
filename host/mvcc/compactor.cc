#include "host/mvcc/compactor.h"

#include <string>
#include <unordered_map>

#include "host/mvcc/range.h"
#include "host/wire/key_value.h"

namespace mortise::mvcc {
namespace {

constexpr uint64_t kPieceScannedMax = 10'000;  // Rows looked at between two pauses.
// What a search costs, in steps of a cursor.
constexpr int64_t kStepsOfASearch = 16;

// Gathers removals and hands them out in slices, with pauses between pieces.
class Removals {
 public:
  using Emit = std::function<void(std::unique_ptr<Removal>)>;

  Removals(const CompactionOptions& options, const Emit& emit) : options_(options), emit_(emit) {}

  void remove_version(Revision revision, bool tombstone, std::string_view history_row) {
    Arena& arena = removal_->arena;
    removal_->batch.remove(store::kRevisions, arena.copy(encode_revision(revision, tombstone)));
    if (!history_row.empty()) {
      removal_->batch.remove(store::kKeyHistory, arena.copy(history_row));
    }
    ++in_piece_;
    if (++removal_->versions >= kSliceVersionsMax) flush();
  }
  // Before each row that is looked at: is it time for a pause?
  bool is_piece_full() {
    return in_piece_ >= options_.batch_versions_max || ++scanned_ > kPieceScannedMax;
  }
  Status end_piece() {
    flush();
    in_piece_ = scanned_ = 0;
    return options_.pause() ? Status() : Status(StatusCode::kStopped, "compaction stopped");
  }
  uint64_t finish(int64_t revision) {
    char finished[8];
    put_u64_be(finished, static_cast<uint64_t>(revision));
    removal_->batch.put(store::kMeta, kCompactFinishedKey,
                        removal_->arena.copy(std::string_view(finished, 8)));
    flush();
    return total_;
  }

 private:
  void flush() {
    if (removal_->batch.empty()) return;
    total_ += removal_->versions;
    emit_(std::exchange(removal_, std::make_unique<Removal>()));
  }

  const CompactionOptions& options_;
  const Emit& emit_;
  std::unique_ptr<Removal> removal_ = std::make_unique<Removal>();
  uint64_t in_piece_ = 0;
  uint64_t scanned_ = 0;
  uint64_t total_ = 0;
};

// Walks the versions in (previous, revision], and what was kept exactly at `previous`.
class ChangeScan {
 public:
  ChangeScan(int64_t previous, int64_t revision, bool removes, Removals* removals)
      : previous_(previous),
        revision_(revision),
        removes_(removes),
        removals_(removals),
        lower_(previous < 0 ? std::string() : encode_revision({previous, 0})) {}

  // Goes on until it is time for a pause or `*done`.
  Status piece(const store::Store& store, bool* done) {
    MORTISE_ASSIGN_OR_RETURN(reader_, store.reader());
    MORTISE_ASSIGN_OR_RETURN(auto versions,
                             reader_.cursor(store::kRevisions, MORTISE_CURSOR_NO_CACHE));
    MORTISE_ASSIGN_OR_RETURN(history_, reader_.cursor(store::kKeyHistory, MORTISE_CURSOR_REVERSE));
    MORTISE_RETURN_IF_ERROR(versions.seek(lower_, encode_revision({revision_ + 1, 0})));
    std::string_view name, value;
    while (versions.next(&name, &value)) {
      if (removals_->is_piece_full()) {
        lower_.assign(name);
        return close(&versions, false, done);
      }
      MORTISE_RETURN_IF_ERROR(look_at(name, value));
    }
    MORTISE_RETURN_IF_ERROR(versions.status());
    return close(&versions, true, done);
  }
  const RowsHash& hash() const { return hash_; }

 private:
  // Cursors go before their reader.
  Status close(store::Cursor* versions, bool is_done, bool* done) {
    *versions = store::Cursor();
    history_ = store::Cursor();
    reader_.close();
    *done = is_done;
    return Status();
  }
  Status look_at(std::string_view name, std::string_view value) {
    Revision revision;
    bool tombstone;
    wire::KeyValue kv;
    if (!decode_revision(name, &revision, &tombstone) || !wire::decode_key_value(value, &kv)) {
      return corruption("a stored revision is malformed");
    }
    if (revision.main > previous_) hash_.add(name, value);
    bool first_in_txn = remove_replaced_in_txn(kv.key, revision, tombstone);
    if (!removes_) return Status();
    if (first_in_txn && revision.main > previous_ && kv.version != 1) {
      MORTISE_RETURN_IF_ERROR(remove_predecessor(kv.key, revision.main));
    }
    if (tombstone && revision.main < revision_) return remove_tombstone(kv.key, revision);
    return Status();
  }
  Status remove_predecessor(std::string_view key, int64_t main) {
    MORTISE_RETURN_IF_ERROR(history_.seek(history_prefix(key), history_key(key, main)));
    std::string_view row, value, prefix;
    if (!history_.next(&row, &value)) return history_.status();
    Revision before;
    HistoryValue version;
    if (!split_history_key(row, &prefix, &before.main) || !decode_history_value(value, &version)) {
      return corruption("a key history row is malformed");
    }
    before.sub = version.sub;
    removals_->remove_version(before, version.tombstone, row);
    return Status();
  }
  // A txn may delete a key and put it again: then the key's history row is that of the put and
  // stays, and the tombstone goes when the put is looked at.
  Status remove_tombstone(std::string_view key, Revision revision) {
    std::string row = history_key(key, revision.main);
    bool found;
    std::string_view value;
    MORTISE_RETURN_IF_ERROR(reader_.get(store::kKeyHistory, row, &found, &value));
    if (!found) return Status();
    HistoryValue last;
    if (!decode_history_value(value, &last)) return corruption("a key history row is malformed");
    if (last.sub == revision.sub) removals_->remove_version(revision, true, row);
    return Status();
  }
  // A txn may change a key more than once: then only the last change has a history row. True if
  // this is the first.
  bool remove_replaced_in_txn(std::string_view key, Revision revision, bool tombstone) {
    if (revision.main != txn_main_) txn_versions_.clear();
    txn_main_ = revision.main;
    auto [it, is_new] = txn_versions_.try_emplace(std::string(key));
    if (!is_new) {
      removals_->remove_version({revision.main, it->second.sub}, it->second.tombstone, {});
    }
    it->second = {revision.sub, tombstone};
    return is_new;
  }

  const int64_t previous_;
  const int64_t revision_;
  const bool removes_;
  Removals* const removals_;
  std::string lower_;  // Where the next piece begins.
  store::Reader reader_;
  store::Cursor history_;
  int64_t txn_main_ = -1;
  std::unordered_map<std::string, HistoryValue> txn_versions_;  // Of the txn at txn_main_.
  RowsHash hash_;
};

// Walks the histories of all keys.
class KeyScan {
 public:
  KeyScan(int64_t revision, Removals* removals) : revision_(revision), removals_(removals) {}

  Status piece(const store::Store& store, bool* done) {
    MORTISE_ASSIGN_OR_RETURN(auto reader, store.reader());
    MORTISE_ASSIGN_OR_RETURN(auto rows, reader.cursor(store::kKeyHistory, MORTISE_CURSOR_NO_CACHE));
    MORTISE_RETURN_IF_ERROR(rows.seek(lower_, {}));
    std::string_view row, value;
    while (rows.next(&row, &value)) {
      if (removals_->is_piece_full()) {
        lower_.assign(row);
        *done = false;
        return Status();
      }
      MORTISE_RETURN_IF_ERROR(look_at(row, value));
    }
    MORTISE_RETURN_IF_ERROR(rows.status());
    end_key();
    *done = true;
    return Status();
  }

 private:
  Status look_at(std::string_view row, std::string_view value) {
    std::string_view prefix;
    Revision revision;
    HistoryValue version;
    if (!split_history_key(row, &prefix, &revision.main) ||
        !decode_history_value(value, &version)) {
      return corruption("a key history row is malformed");
    }
    revision.sub = version.sub;
    if (prefix != std::string_view(newest_row_).substr(0, prefix_size_)) {
      end_key();
    } else if (revision.main <= revision_) {
      removals_->remove_version(newest_, newest_is_tombstone_, newest_row_);
    }
    if (revision.main > revision_) return Status();
    newest_row_.assign(row);
    prefix_size_ = prefix.size();
    newest_ = revision;
    newest_is_tombstone_ = version.tombstone;
    return Status();
  }
  void end_key() {
    if (newest_is_tombstone_ && newest_.main < revision_) {
      removals_->remove_version(newest_, true, newest_row_);
    }
    newest_row_.clear();
    prefix_size_ = 0;
    newest_is_tombstone_ = false;
  }

  const int64_t revision_;
  Removals* const removals_;
  std::string lower_;  // Where the next piece begins.
  // The newest version so far, of the key that is walked, at or below the revision.
  std::string newest_row_;
  size_t prefix_size_ = 0;
  Revision newest_;
  bool newest_is_tombstone_ = false;
};

template <typename Scan>
Status run(Scan* scan, const store::Store& store, Removals* removals) {
  for (bool done = false;;) {
    MORTISE_RETURN_IF_ERROR(scan->piece(store, &done));
    if (done) return Status();
    MORTISE_RETURN_IF_ERROR(removals->end_piece());
  }
}

// Is a walk over all keys cheaper than a search for each change?
Result<bool> is_by_keys(const store::Store& store, int64_t previous, int64_t revision,
                        ScanBy scan_by) {
  if (scan_by != ScanBy::kCheaper) return scan_by == ScanBy::kKeys;
  MORTISE_ASSIGN_OR_RETURN(auto view, View::open(store));
  int64_t rows = view.state().revision - std::max(previous, int64_t{0});
  MORTISE_RETURN_IF_ERROR(
      StoredBlockCounts(&view.reader()).visit({}, [&](std::string_view, uint64_t keys) {
        rows += static_cast<int64_t>(keys);
        return true;
      }));
  return (revision - std::max(previous, int64_t{0})) * kStepsOfASearch >= rows;
}

}  // namespace

Status find_removals(const store::Store& store, int64_t previous, int64_t revision,
                     const CompactionOptions& options,
                     const std::function<void(std::unique_ptr<Removal>)>& emit,
                     ScanResult* result) {
  *result = ScanResult();
  MORTISE_ASSIGN_OR_RETURN(auto reader, store.reader());
  MORTISE_ASSIGN_OR_RETURN(bool nothing, keeps_nothing(reader, revision));
  reader.close();
  if (nothing) {
    result->hash.kept.emplace();
    MORTISE_RETURN_IF_ERROR(hash_rows_up_to(store, previous, options.pause, &*result->hash.kept));
  }
  MORTISE_ASSIGN_OR_RETURN(bool by_keys, is_by_keys(store, previous, revision, options.scan_by));
  Removals removals(options, emit);
  ChangeScan changes(previous, revision, !by_keys, &removals);
  MORTISE_RETURN_IF_ERROR(run(&changes, store, &removals));
  if (by_keys) {
    KeyScan keys(revision, &removals);
    MORTISE_RETURN_IF_ERROR(run(&keys, store, &removals));
  }
  result->removed = removals.finish(revision);
  result->hash.since = changes.hash();
  return Status();
}

Result<int64_t> finished_compaction(const store::Reader& reader) {
  bool found;
  std::string_view value;
  MORTISE_RETURN_IF_ERROR(reader.get(store::kMeta, kCompactFinishedKey, &found, &value));
  if (!found) return kNeverCompacted;
  if (value.size() != 8) return corruption("the compact-finished row has a wrong size");
  return static_cast<int64_t>(get_u64_be(value.data()));
}

}  // namespace mortise::mvcc
