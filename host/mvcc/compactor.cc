#include "host/mvcc/compactor.h"

#include <string>
#include <unordered_map>

#include "host/wire/key_value.h"

namespace mortise::mvcc {
namespace {

constexpr uint64_t kPieceScannedMax = 10'000;  // Versions looked at between two pauses.

class Finder {
 public:
  Finder(const store::Reader& reader, int64_t previous, int64_t revision)
      : reader_(reader), previous_(previous), revision_(revision), removal_(new_removal()) {}

  Status open() {
    MORTISE_ASSIGN_OR_RETURN(versions_, reader_.cursor(store::kRevisions, MORTISE_CURSOR_NO_CACHE));
    MORTISE_ASSIGN_OR_RETURN(history_, reader_.cursor(store::kKeyHistory, MORTISE_CURSOR_REVERSE));
    // A tombstone exactly at the previous compaction was kept then.
    std::string lower = previous_ < 0 ? std::string() : encode_revision({previous_, 0});
    return versions_.seek(lower, encode_revision({revision_ + 1, 0}));
  }
  // Looks at one version; false at the end.
  Result<bool> step() {
    std::string_view name, value;
    if (!versions_.next(&name, &value)) {
      MORTISE_RETURN_IF_ERROR(versions_.status());
      return false;
    }
    Revision revision;
    bool tombstone;
    wire::KeyValue kv;
    if (!decode_revision(name, &revision, &tombstone) || !wire::decode_key_value(value, &kv)) {
      return corruption("a stored revision is malformed");
    }
    ++scanned_;
    if (revision.main > previous_) hash_.add(name, value);
    bool first_in_txn = remove_replaced_in_txn(kv.key, revision, tombstone);
    if (first_in_txn && revision.main > previous_ && kv.version != 1) {
      MORTISE_RETURN_IF_ERROR(remove_predecessor(kv.key, revision.main));
    }
    if (tombstone && revision.main < revision_) {
      MORTISE_RETURN_IF_ERROR(remove_tombstone(kv.key, revision));
    }
    return true;
  }
  std::unique_ptr<Removal> take() { return std::exchange(removal_, new_removal()); }
  uint64_t pending() const { return removal_->versions; }
  uint64_t scanned() const { return scanned_; }
  const RowsHash& hash() const { return hash_; }
  Removal* removal() { return removal_.get(); }

 private:
  static std::unique_ptr<Removal> new_removal() { return std::make_unique<Removal>(); }

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
    remove(key, before, version.tombstone);
    return Status();
  }
  // A txn may delete a key and put it again: then the key's history row is that of the put and
  // stays, and the tombstone goes when the put is looked at.
  Status remove_tombstone(std::string_view key, Revision revision) {
    bool found;
    std::string_view value;
    MORTISE_RETURN_IF_ERROR(
        reader_.get(store::kKeyHistory, history_key(key, revision.main), &found, &value));
    if (!found) return Status();
    HistoryValue last;
    if (!decode_history_value(value, &last)) return corruption("a key history row is malformed");
    if (last.sub == revision.sub) remove(key, revision, true);
    return Status();
  }
  // A txn may change a key more than once: then only the last change has a history row. True if
  // this is the first.
  bool remove_replaced_in_txn(std::string_view key, Revision revision, bool tombstone) {
    if (revision.main != txn_main_) txn_versions_.clear();
    txn_main_ = revision.main;
    auto [it, is_new] = txn_versions_.try_emplace(std::string(key));
    if (!is_new) {
      Revision replaced{revision.main, it->second.sub};
      Arena& arena = removal_->arena;
      removal_->batch.remove(store::kRevisions,
                             arena.copy(encode_revision(replaced, it->second.tombstone)));
      ++removal_->versions;
    }
    it->second = HistoryValue{revision.sub, tombstone};
    return is_new;
  }
  void remove(std::string_view key, Revision revision, bool tombstone) {
    Arena& arena = removal_->arena;
    removal_->batch.remove(store::kRevisions, arena.copy(encode_revision(revision, tombstone)));
    removal_->batch.remove(store::kKeyHistory, arena.copy(history_key(key, revision.main)));
    ++removal_->versions;
  }

  const store::Reader& reader_;
  int64_t previous_;
  int64_t revision_;
  store::Cursor versions_;
  store::Cursor history_;
  int64_t txn_main_ = -1;
  std::unordered_map<std::string, HistoryValue> txn_versions_;  // Of the txn at txn_main_.
  std::unique_ptr<Removal> removal_;
  uint64_t scanned_ = 0;
  RowsHash hash_;
};

}  // namespace

Status find_removals(const store::Store& store, int64_t previous, int64_t revision,
                     const CompactionOptions& options,
                     const std::function<void(std::unique_ptr<Removal>)>& emit,
                     ScanResult* result) {
  *result = ScanResult();
  MORTISE_ASSIGN_OR_RETURN(auto reader, store.reader());
  MORTISE_ASSIGN_OR_RETURN(bool nothing, keeps_nothing(reader, revision));
  if (nothing) {
    result->hash.kept.emplace();
    MORTISE_RETURN_IF_ERROR(hash_rows_up_to(store, previous, options.pause, &*result->hash.kept));
  }
  Finder finder(reader, previous, revision);
  MORTISE_RETURN_IF_ERROR(finder.open());
  for (uint64_t piece_began = 0;;) {
    MORTISE_ASSIGN_OR_RETURN(bool more, finder.step());
    if (!more) break;
    bool is_full = finder.pending() >= options.batch_versions_max;
    if (!is_full && finder.scanned() - piece_began < kPieceScannedMax) continue;
    piece_began = finder.scanned();
    if (is_full) {
      result->removed += finder.pending();
      emit(finder.take());
    }
    if (!options.pause()) return Status(StatusCode::kStopped, "compaction stopped");
  }
  result->removed += finder.pending();
  result->hash.since = finder.hash();
  char finished[8];
  put_u64_be(finished, static_cast<uint64_t>(revision));
  Removal* last = finder.removal();
  last->batch.put(store::kMeta, kCompactFinishedKey,
                  last->arena.copy(std::string_view(finished, 8)));
  emit(finder.take());
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
