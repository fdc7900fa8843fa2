#include "plugins/backend_lmdb/unloader.h"

#include <algorithm>

namespace mortise::lmdb {
namespace {

constexpr uint64_t kPageBytes = 4096;

}  // namespace

void MemtableSource::to_keyspace(uint32_t keyspace) {
  at_ = {keyspace, nullptr};
  for (; at_.keyspace < MORTISE_KEYSPACE_COUNT_MAX; ++at_.keyspace) {
    at_.node = table_.list(at_.keyspace).first();
    if (at_.node != nullptr) return;
  }
}

Status MemtableSource::next(Entry& entry, bool& more) {
  more = at_.node != nullptr;
  if (!more) return Status();
  const Version* version = at_.node->visible(table_.seq());
  if (version == nullptr)
    return sdk::internal_error("a frozen memtable holds an unfinished commit");
  entry.keyspace = at_.keyspace;
  entry.tombstone = version->tombstone;
  entry.key = at_.node->key();
  entry.value = version->value();
  at_.node = at_.node->next(0);
  if (at_.node == nullptr) to_keyspace(at_.keyspace + 1);
  return Status();
}

bool Unloader::is_large(const Options& options, const EntrySource& source, uint64_t payload_bytes) {
  uint64_t rows = 0;
  for (uint32_t i = 0; i < MORTISE_KEYSPACE_COUNT_MAX; ++i) rows += source.count(i);
  return rows * kPageBytes + 2 * payload_bytes > options.flush_txn_bytes;
}

// A row dirties at most its leaf page, but rows that are dense in their database share pages.
int Unloader::estimate(MDB_txn* txn, const EntrySource& source) {
  for (uint32_t i = 0; i < MORTISE_KEYSPACE_COUNT_MAX; ++i) {
    MDB_stat stat;
    const int rc = ::mdb_stat(txn, generation_->keyspace(i), &stat);
    if (rc != 0) return rc;
    const uint64_t rows = std::max<uint64_t>(source.count(i), 1);
    const uint64_t pages = std::min<uint64_t>(rows, stat.ms_leaf_pages + stat.ms_branch_pages);
    row_cost_[i] = pages * kPageBytes / rows;
  }
  return 0;
}

int Unloader::fill(MDB_txn* txn, EntrySource& source, State& state, bool large, bool& more,
                   Status& status) {
  TreeWriter writer(*generation_, txn, state.next_tree);
  uint64_t dirty = 0;
  while (!large || dirty < options_.flush_txn_bytes) {
    Entry entry;
    status = source.next(entry, more);
    if (!status.ok() || !more) return 0;
    const int rc = entry.tombstone ? writer.remove(entry.keyspace, entry.key)
                                   : writer.put(entry.keyspace, entry.key, entry.value);
    if (rc != 0) return rc;
    const uint64_t bytes = entry.key.size() + entry.value.size();
    dirty += row_cost_[entry.keyspace] + bytes + bytes / 2;
  }
  return 0;
}

int Unloader::piece(EntrySource& source, const RunHeader& header, bool large, bool& more,
                    Status& status) {
  MDB_txn* txn = nullptr;
  int rc = ::mdb_txn_begin(generation_->env(), nullptr, 0, &txn);
  if (rc != 0) return rc;
  State state;
  rc = generation_->read_state(txn, state);
  if (rc == 0) rc = estimate(txn, source);
  if (rc == 0) rc = fill(txn, source, state, large, more, status);
  if (rc == 0 && status.ok()) {
    if (more) {
      state.redo_run = header.run;
    } else {
      state.redo_run = 0;
      state.last_run = header.run;
      state.index = header.index;
      state.term = header.term;
    }
    rc = generation_->write_state(txn, state);
  }
  if (rc != 0 || !status.ok()) {
    ::mdb_txn_abort(txn);
    return rc;
  }
  return ::mdb_txn_commit(txn);
}

Status Unloader::unload(EntrySource& source, const RunHeader& header, bool large) {
  for (bool more = true; more;) {
    source.mark();
    Status status;
    const int rc = piece(source, header, large, more, status);
    MORTISE_SDK_RETURN_IF_ERROR(std::move(status));
    if (rc == MDB_MAP_FULL) {
      MORTISE_SDK_RETURN_IF_ERROR(grow_(generation_));
      MORTISE_SDK_RETURN_IF_ERROR(source.rewind());
      more = true;
      continue;
    }
    if (rc != 0) return mdb_error(rc, "writing " + generation_->path());
    generation_->trim();
  }
  return generation_->refresh_figures();
}

Status Unloader::unload_runs(const std::string& directory, const std::vector<uint64_t>& runs) {
  MDB_txn* txn = nullptr;
  int rc = generation_->begin_read(&txn);
  if (rc != 0) return mdb_error(rc, "reading " + generation_->path());
  State state;
  rc = generation_->read_state(txn, state);
  generation_->end_read(txn);
  if (rc != 0) return mdb_error(rc, "reading the state of " + generation_->path());
  uint64_t done = state.last_run;
  for (const uint64_t run : runs) {
    if (run <= done) continue;
    if (run != done + 1) break;
    RunReader reader;
    MORTISE_SDK_RETURN_IF_ERROR(RunReader::open(directory, run, reader));
    MORTISE_SDK_RETURN_IF_ERROR(unload(reader, reader.header(), /*large=*/true));
    done = run;
  }
  if (!runs.empty() && runs.back() > done) {
    return sdk::corruption(run_path(directory, done + 1) + " is missing");
  }
  if (state.redo_run > done) {
    return sdk::corruption(run_path(directory, state.redo_run) + " is missing");
  }
  return Status();
}

}  // namespace mortise::lmdb
