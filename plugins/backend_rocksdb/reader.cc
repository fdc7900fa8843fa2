#include "plugins/backend_rocksdb/reader.h"

#include <utility>

namespace mortise::backend_rocksdb {
namespace {

rocksdb::Slice slice(std::string_view bytes) { return rocksdb::Slice(bytes.data(), bytes.size()); }
std::string_view view_of(const rocksdb::Slice& s) { return std::string_view(s.data(), s.size()); }

Status bad_keyspace(uint32_t keyspace) {
  return failure(MORTISE_E_INVALID, "there is no keyspace " + std::to_string(keyspace));
}

}  // namespace

View::View(std::shared_ptr<Generation> generation) : generation_(std::move(generation)) {
  read_options_.snapshot = generation_->db().GetSnapshot();
  // Files that a reader was the last to use are removed by a background thread, not by the
  // reader's.
  read_options_.background_purge_on_iterator_cleanup = true;
}

View::~View() { generation_->db().ReleaseSnapshot(read_options_.snapshot); }

Cursor::Cursor(const View& view, uint32_t keyspace, uint32_t flags)
    : view_(view),
      keyspace_(view.generation().keyspace(keyspace)),
      reverse_((flags & MORTISE_CURSOR_REVERSE) != 0),
      keys_only_((flags & MORTISE_CURSOR_KEYS_ONLY) != 0),
      read_options_(view.read_options()) {
  read_options_.fill_cache = (flags & MORTISE_CURSOR_NO_CACHE) == 0;
  read_options_.iterate_lower_bound = &lower_slice_;
}

Status Cursor::seek(std::string_view lower, std::string_view upper) {
  const bool bounded_above = !upper.empty();
  if (bounded_above && lower >= upper) {
    state_ = State::kEnd;
    return Status();
  }
  // RocksDB keeps what it learned from the bounds, so an iterator serves only the bounds it was
  // made with.
  const bool same_bounds =
      iterator_ != nullptr && lower == lower_ && bounded_above == bounded_above_ && upper == upper_;
  if (!same_bounds) {
    iterator_.reset();
    lower_.assign(lower);
    upper_.assign(upper);
    bounded_above_ = bounded_above;
    lower_slice_ = slice(lower_);
    upper_slice_ = slice(upper_);
    read_options_.iterate_upper_bound = bounded_above ? &upper_slice_ : nullptr;
    iterator_.reset(view_.generation().db().NewIterator(read_options_, keyspace_));
  }
  if (reverse_) {
    iterator_->SeekToLast();
  } else {
    iterator_->Seek(lower_slice_);
  }
  state_ = State::kAtFirst;
  return iterator_->Valid() ? Status() : finish();
}

Status Cursor::next(std::string_view& key, std::string_view& value) {
  switch (state_) {
    case State::kUnpositioned: return failure(MORTISE_E_INVALID, "the cursor is not positioned");
    case State::kEnd: return sdk::not_found();
    case State::kAtFirst: state_ = State::kOnPair; break;
    case State::kOnPair: reverse_ ? iterator_->Prev() : iterator_->Next(); break;
  }
  if (!iterator_->Valid()) [[unlikely]] {
    if (Status status = finish(); !status.ok()) return status;
    return sdk::not_found();
  }
  key = view_of(iterator_->key());
  value = keys_only_ ? std::string_view() : view_of(iterator_->value());
  return Status();
}

// The iterator is not on a pair: at the end, or it failed.
Status Cursor::finish() {
  state_ = State::kEnd;
  return from_rocksdb(iterator_->status(), "cannot read", view_.generation().path());
}

Status Reader::get(uint32_t keyspace, std::string_view key, std::string_view& value) {
  if (keyspace >= MORTISE_KEYSPACE_COUNT_MAX) return bad_keyspace(keyspace);
  const Generation& generation = view_->generation();
  value_.Reset();
  const rocksdb::Status got = generation.db().Get(
      view_->read_options(), generation.keyspace(keyspace), slice(key), &value_);
  if (got.IsNotFound()) return sdk::not_found();
  if (!got.ok()) [[unlikely]]
    return from_rocksdb(got, "cannot read", generation.path());
  value = view_of(value_);
  return Status();
}

Status Reader::cursor_open(uint32_t keyspace, uint32_t flags, std::unique_ptr<Cursor>& out) {
  if (keyspace >= MORTISE_KEYSPACE_COUNT_MAX) return bad_keyspace(keyspace);
  out = std::make_unique<Cursor>(*view_, keyspace, flags);
  return Status();
}

}  // namespace mortise::backend_rocksdb
