#include "plugins/backend_lmdb/merge.h"

namespace mortise::lmdb {
namespace {

constexpr uint64_t kWalkReportBytes = uint64_t{1} << 20;

}  // namespace

Snapshot::~Snapshot() {
  if (txn_ != nullptr) view_->generation->end_read(txn_);
}

int Snapshot::open(std::shared_ptr<const View> view, uint64_t seq) {
  view_ = std::move(view);
  seq_ = seq;
  return view_->generation->begin_read(&txn_);
}

Status Snapshot::read_error(int rc) const {
  return mdb_error(rc, "reading " + view_->generation->path());
}

Status Snapshot::get(uint32_t keyspace, std::string_view key, std::string_view& value) {
  for (const auto& memtable : view_->memtables) {
    const Version* version = memtable->find(keyspace, key, seq_);
    if (version == nullptr) continue;
    if (version->tombstone) return sdk::not_found();
    value = version->value();
    return Status();
  }
  const int rc = logical_get(*view_->generation, txn_, keyspace, key, value);
  if (rc == MDB_NOTFOUND) return sdk::not_found();
  if (rc != 0) return read_error(rc);
  return Status();
}

MergeCursor::MergeCursor(Snapshot& snapshot, uint32_t keyspace, bool reverse)
    : snapshot_(snapshot), keyspace_(keyspace), reverse_(reverse) {}

Status MergeCursor::open() {
  for (const auto& memtable : snapshot_.view().memtables) {
    layers_.push_back(Layer{&memtable->list(keyspace_)});
  }
  const int rc = base_.open(*snapshot_.view().generation, snapshot_.txn(), keyspace_);
  return rc == 0 ? Status() : snapshot_.read_error(rc);
}

// Moves on to the next node that the snapshot sees at all.
void MergeCursor::settle(Layer& layer) {
  while (layer.node != nullptr) {
    layer.version = layer.node->visible(snapshot_.seq());
    if (layer.version != nullptr) return;
    layer.node = reverse_ ? layer.list->find_lt(layer.node->key()) : layer.node->next(0);
  }
}

void MergeCursor::step(Layer& layer) {
  layer.step_first = false;
  layer.node = reverse_ ? layer.list->find_lt(layer.node->key()) : layer.node->next(0);
  settle(layer);
}

Status MergeCursor::step_base() {
  step_base_first_ = false;
  walked_bytes_ += base_.key().size() + base_.value().size();
  if (walked_bytes_ >= kWalkReportBytes) {
    snapshot_.view().generation->touch(walked_bytes_);
    walked_bytes_ = 0;
  }
  const int rc = reverse_ ? base_.prev() : base_.next();
  return rc == 0 || rc == MDB_NOTFOUND ? Status() : snapshot_.read_error(rc);
}

Status MergeCursor::seek(std::string_view lower, std::string_view upper) {
  lower_.assign(lower);
  upper_.assign(upper);
  has_upper_ = !upper_.empty();
  step_base_first_ = false;
  done_ = has_upper_ && lower_ >= upper_;
  if (done_) return Status();
  for (Layer& layer : layers_) {
    layer.step_first = false;
    if (reverse_) {
      layer.node = has_upper_ ? layer.list->find_lt(upper_) : layer.list->last();
    } else {
      layer.node = lower_.empty() ? layer.list->first() : layer.list->find_ge(lower_);
    }
    settle(layer);
  }
  int rc;
  if (reverse_) {
    rc = has_upper_ ? base_.seek_lt(upper_) : base_.last();
  } else {
    rc = base_.seek_ge(lower_);
  }
  return rc == 0 || rc == MDB_NOTFOUND ? Status() : snapshot_.read_error(rc);
}

bool MergeCursor::is_before(std::string_view a, std::string_view b) const {
  const int order = a.compare(b);
  return reverse_ ? order > 0 : order < 0;
}

bool MergeCursor::in_bounds(std::string_view key) const {
  if (reverse_) return key >= lower_;
  return !has_upper_ || key < upper_;
}

Status MergeCursor::next(std::string_view& key, std::string_view& value) {
  while (!done_) {
    if (step_base_first_) MORTISE_SDK_RETURN_IF_ERROR(step_base());
    const Layer* best = nullptr;
    for (Layer& layer : layers_) {
      if (layer.step_first) step(layer);
      if (layer.node != nullptr &&
          (best == nullptr || is_before(layer.node->key(), best->node->key()))) {
        best = &layer;
      }
    }
    const bool from_base =
        base_.valid() && (best == nullptr || is_before(base_.key(), best->node->key()));
    if (best == nullptr && !from_base) break;
    const std::string_view found = from_base ? base_.key() : best->node->key();
    if (!in_bounds(found)) break;
    // Whatever else holds this key is older: it moves on together with the winner. The spans given
    // out stay as they are until then.
    step_base_first_ = from_base || (base_.valid() && base_.key() == found);
    for (Layer& layer : layers_) {
      layer.step_first = !from_base && layer.node != nullptr && layer.node->key() == found;
    }
    if (!from_base && best->version->tombstone) continue;
    key = found;
    value = from_base ? base_.value() : best->version->value();
    return Status();
  }
  done_ = true;
  return sdk::not_found();
}

}  // namespace mortise::lmdb
