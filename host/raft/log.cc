#include "host/raft/log.h"

#include <algorithm>
#include <string>

#include "host/base/check.h"

namespace mortise::raft {
namespace {

std::string pair_text(const char* what, uint64_t a, uint64_t b) {
  return std::string(what) + ": " + std::to_string(a) + ", " + std::to_string(b);
}

bool is_membership(EntryType type) { return type != EntryType::kNormal; }

// What a search for membership entries reads at once.
constexpr uint64_t kScanBytesMax = uint64_t{1} << 20;

}  // namespace

Log::Log(const LogView* view, uint64_t committed, uint64_t applied)
    : view_(view),
      tail_first_(view->last_index() + 1),
      committed_(committed),
      applied_(applied),
      applying_(applied) {}

uint64_t Log::first_index() const {
  return snapshot_ && !snapshot_durable_ ? snapshot_->index + 1 : view_->first_index();
}

uint64_t Log::last_term() const {
  if (!tail_.empty()) return tail_.back().entry->term;
  const std::optional<uint64_t> last = term(last_index());
  MORTISE_CHECK(last.has_value(),
                pair_text("last entry without term", last_index(), first_index()));
  return *last;
}

std::optional<uint64_t> Log::term(uint64_t index) const {
  if (index >= tail_first_) {
    const uint64_t offset = index - tail_first_;
    if (offset >= tail_.size()) return std::nullopt;
    return tail_[offset].entry->term;
  }
  if (snapshot_ && !snapshot_durable_) {
    if (index == snapshot_->index) return snapshot_->term;
    if (index < snapshot_->index) return std::nullopt;
  }
  return view_->term(index);
}

bool Log::is_up_to_date(uint64_t index, uint64_t term_of_last) const {
  const uint64_t mine = last_term();
  return term_of_last > mine || (term_of_last == mine && index >= last_index());
}

bool Log::entries(uint64_t lo, uint64_t hi, uint64_t max_bytes, std::vector<EntryRef>* out) const {
  if (lo >= hi) return true;
  uint64_t bytes = 0;
  size_t taken = 0;
  uint64_t at = lo;
  if (lo < tail_first_) {
    if (lo < first_index()) return false;
    const size_t before = out->size();
    const uint64_t view_hi = std::min(hi, tail_first_);
    if (!view_->entries(lo, view_hi, max_bytes, out)) return false;
    taken = out->size() - before;
    if (lo + taken < view_hi) return true;
    // The view counts for itself; what it gave is counted again only if the tail is to follow.
    if (view_hi == hi) return true;
    for (size_t i = before; i < out->size(); ++i) bytes += entry_bytes(*(*out)[i]);
    at = view_hi;
  }
  for (; at < hi && at <= last_index(); ++at) {
    const EntryRef& entry = tail_[at - tail_first_].entry;
    bytes += entry_bytes(*entry);
    if (bytes > max_bytes && taken > 0) return true;
    out->push_back(entry);
    ++taken;
  }
  return true;
}

Log::Position Log::find_conflict(uint64_t index, uint64_t term_limit) const {
  for (; index > 0; --index) {
    const std::optional<uint64_t> here = term(index);
    if (!here) return {index, 0};
    if (*here <= term_limit) return {index, *here};
  }
  return {0, 0};
}

bool Log::has_unapplied_membership() const {
  uint64_t at = std::max(applied_ + 1, first_index());
  while (at <= committed_) {
    std::vector<EntryRef> page;
    const bool found = entries(at, committed_ + 1, kScanBytesMax, &page);
    MORTISE_CHECK(found && !page.empty(), pair_text("committed entries missing", at, committed_));
    for (const EntryRef& entry : page) {
      if (is_membership(entry->type)) return true;
    }
    at += page.size();
  }
  return false;
}

void Log::append(EntryRef entry) {
  MORTISE_CHECK(entry->index == last_index() + 1,
                pair_text("append leaves a gap", entry->index, last_index()));
  tail_.push_back({std::move(entry), 0});
}

void Log::truncate_from(uint64_t index) {
  MORTISE_CHECK(index > committed_, pair_text("committed entry replaced", index, committed_));
  if (index < tail_first_) {
    tail_.clear();
    tail_first_ = index;
  } else {
    tail_.resize(std::min<size_t>(tail_.size(), index - tail_first_));
  }
  handed_ = std::min(handed_, tail_.size());
}

void Log::merge(const std::vector<EntryRef>& entries) {
  size_t i = 0;
  while (i < entries.size() && matches(entries[i]->index, entries[i]->term)) ++i;
  if (i == entries.size()) return;
  if (entries[i]->index <= last_index()) truncate_from(entries[i]->index);
  for (; i < entries.size(); ++i) append(entries[i]);
}

bool Log::commit_to(uint64_t index) {
  if (index <= committed_) return false;
  MORTISE_CHECK(index <= last_index(), pair_text("commit beyond the log", index, last_index()));
  committed_ = index;
  return true;
}

void Log::restore(SnapshotRef snapshot) {
  MORTISE_CHECK(snapshot->index > committed_,
                pair_text("snapshot behind the commit index", snapshot->index, committed_));
  tail_.clear();
  handed_ = 0;
  tail_first_ = snapshot->index + 1;
  committed_ = snapshot->index;
  snapshot_ = std::move(snapshot);
  snapshot_number_ = 0;
  snapshot_durable_ = false;
}

bool Log::has_committed_to_hand(uint64_t unapplied_bytes_max) const {
  if (snapshot_unhanded()) return false;
  return std::min(committed_, durable_index()) > applying_ &&
         (unapplied_.empty() || unapplied_bytes_ < unapplied_bytes_max);
}

SnapshotRef Log::hand_snapshot(uint64_t number) {
  if (!snapshot_unhanded()) return nullptr;
  snapshot_number_ = number;
  applying_ = snapshot_->index;
  return snapshot_;
}

std::vector<EntryRef> Log::hand_entries(uint64_t number) {
  std::vector<EntryRef> out;
  out.reserve(tail_.size() - handed_);
  for (; handed_ < tail_.size(); ++handed_) {
    tail_[handed_].number = number;
    out.push_back(tail_[handed_].entry);
  }
  return out;
}

std::vector<EntryRef> Log::hand_committed(uint64_t unapplied_bytes_max, uint64_t* data_bytes) {
  std::vector<EntryRef> out;
  *data_bytes = 0;
  if (!has_committed_to_hand(unapplied_bytes_max)) return out;
  const uint64_t hi = std::min(committed_, durable_index()) + 1;
  out.reserve(std::min<uint64_t>(hi - applying_ - 1, 4096));
  const bool found = entries(applying_ + 1, hi, unapplied_bytes_max - unapplied_bytes_, &out);
  MORTISE_CHECK(found && !out.empty(),
                pair_text("durable committed entries missing", applying_ + 1, hi));
  Batch batch{0, 0};
  for (const EntryRef& entry : out) {
    MORTISE_CHECK(entry->index == applying_ + 1,
                  pair_text("entry to apply out of order", entry->index, applying_));
    ++applying_;
    *data_bytes += entry->data.size();
    batch.bytes += entry_bytes(*entry);
  }
  MORTISE_CHECK(applying_ <= durable_index() && applying_ <= committed_,
                pair_text("entry to apply is not durable", applying_, durable_index()));
  batch.last_index = applying_;
  unapplied_bytes_ += batch.bytes;
  unapplied_.push_back(batch);
  return out;
}

void Log::persisted_to(uint64_t number) {
  if (snapshot_ && snapshot_number_ != 0 && snapshot_number_ <= number && !snapshot_durable_) {
    MORTISE_CHECK(view_->term(snapshot_->index) == snapshot_->term,
                  pair_text("snapshot acknowledged but not in the log", snapshot_->index,
                            view_->first_index()));
    snapshot_durable_ = true;
    clear_snapshot_if_done();
  }
  uint64_t last_term_seen = 0;
  while (handed_ > 0 && tail_.front().number <= number) {
    last_term_seen = tail_.front().entry->term;
    tail_.pop_front();
    ++tail_first_;
    --handed_;
  }
  if (last_term_seen != 0) {
    MORTISE_CHECK(
        view_->term(durable_index()) == last_term_seen,
        pair_text("entry acknowledged but not in the log", durable_index(), view_->last_index()));
  }
}

void Log::applied_to(uint64_t index) {
  MORTISE_CHECK(index >= applied_ && index <= applying_,
                pair_text("applied index out of range", index, applying_));
  applied_ = index;
  while (!unapplied_.empty() && unapplied_.front().last_index <= index) {
    unapplied_bytes_ -= unapplied_.front().bytes;
    unapplied_.pop_front();
  }
  clear_snapshot_if_done();
}

void Log::clear_snapshot_if_done() {
  if (snapshot_ && snapshot_durable_ && applied_ >= snapshot_->index) snapshot_ = nullptr;
}

}  // namespace mortise::raft
