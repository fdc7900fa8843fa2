#include "host/raft/memory_log.h"

#include "host/base/check.h"

namespace mortise::raft {

Status MemoryLog::append(const std::vector<EntryRef>& entries) {
  if (entries.empty()) return Status();
  const uint64_t first = entries.front()->index;
  if (first <= base_index_ || first > last_index() + 1) {
    return invalid("append at index " + std::to_string(first) + " to a log of [" +
                   std::to_string(first_index()) + ", " + std::to_string(last_index()) + "]");
  }
  uint64_t previous_term = *term(first - 1);
  for (size_t i = 0; i < entries.size(); ++i) {
    const Entry& entry = *entries[i];
    if (entry.index != first + i || entry.term < previous_term) {
      return invalid("entry " + std::to_string(entry.index) + " of term " +
                     std::to_string(entry.term) + " does not follow the one before it");
    }
    previous_term = entry.term;
  }
  truncate(first);
  for (const EntryRef& entry : entries) {
    entries_.push_back(entry);
    bytes_ += entry_bytes(*entry);
  }
  return Status();
}

void MemoryLog::truncate(uint64_t index) {
  MORTISE_CHECK(index > base_index_, "truncate at " + std::to_string(index) +
                                         " below the compacted index " +
                                         std::to_string(base_index_));
  while (last_index() >= index) {
    bytes_ -= entry_bytes(*entries_.back());
    entries_.pop_back();
  }
}

void MemoryLog::compact(uint64_t index) {
  if (index <= base_index_) return;
  MORTISE_CHECK(index <= last_index(), "compact at " + std::to_string(index) +
                                           " above the last index " + std::to_string(last_index()));
  while (base_index_ < index) {
    bytes_ -= entry_bytes(*entries_.front());
    base_term_ = entries_.front()->term;
    ++base_index_;
    entries_.pop_front();
  }
}

void MemoryLog::reset(uint64_t snapshot_index, uint64_t snapshot_term) {
  entries_.clear();
  bytes_ = 0;
  base_index_ = snapshot_index;
  base_term_ = snapshot_term;
}

std::optional<uint64_t> MemoryLog::term(uint64_t index) const {
  if (index == base_index_) return base_term_;
  if (index < base_index_ || index > last_index()) return std::nullopt;
  return entries_[index - base_index_ - 1]->term;
}

SnapshotRef MemoryLog::snapshot() const {
  if (snapshot_ || offered_index_ == 0) return snapshot_;
  const std::optional<uint64_t> offered_term = term(offered_index_);
  if (!offered_term) return nullptr;
  return std::make_shared<const Snapshot>(
      Snapshot{offered_index_, *offered_term, conf_state_, std::string()});
}

bool MemoryLog::entries(uint64_t lo, uint64_t hi, uint64_t max_bytes,
                        std::vector<EntryRef>* out) const {
  if (lo <= base_index_ || hi > last_index() + 1) return false;
  uint64_t bytes = 0;
  for (uint64_t index = lo; index < hi; ++index) {
    const EntryRef& entry = entries_[index - base_index_ - 1];
    bytes += entry_bytes(*entry);
    if (bytes > max_bytes && index > lo) break;
    out->push_back(entry);
  }
  return true;
}

}  // namespace mortise::raft
