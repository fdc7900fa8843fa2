#include "host/raft/progress.h"

#include <algorithm>

#include "host/base/check.h"

namespace mortise::raft {

void Inflights::add(uint64_t index, uint64_t bytes) {
  MORTISE_CHECK(!full(), "message sent over the window's limit");
  MORTISE_CHECK(window_.empty() || window_.back().index < index, "window out of order");
  window_.push_back({index, bytes});
  bytes_ += bytes;
}

void Inflights::free_to(uint64_t index) {
  while (!window_.empty() && window_.front().index <= index) {
    bytes_ -= window_.front().bytes;
    window_.pop_front();
  }
}

void Inflights::clear() {
  window_.clear();
  bytes_ = 0;
}

void PeerProgress::reset(ProgressState new_state) {
  flow_paused = false;
  pending_snapshot = 0;
  state = new_state;
  inflights.clear();
}

void PeerProgress::become_probe() {
  // If a snapshot was sent and installed, the member's log ends with it.
  const uint64_t floor = state == ProgressState::kSnapshot ? pending_snapshot : 0;
  reset(ProgressState::kProbe);
  next = std::max(match, floor) + 1;
  sent_commit = std::min(sent_commit, next - 1);
}

void PeerProgress::become_replicate() {
  reset(ProgressState::kReplicate);
  next = match + 1;
}

void PeerProgress::become_snapshot(uint64_t index) {
  reset(ProgressState::kSnapshot);
  pending_snapshot = index;
  next = index + 1;
  sent_commit = index;
}

void PeerProgress::sent_entries(uint64_t count, uint64_t bytes) {
  if (state == ProgressState::kReplicate) {
    if (count > 0) {
      next += count;
      inflights.add(next - 1, bytes);
    }
    // A full window still lets an empty message out from time to time (see replication.cc), so that
    // a window whose messages were all lost is noticed.
    flow_paused = inflights.full();
  } else if (count > 0) {
    flow_paused = true;
  }
}

bool PeerProgress::update(uint64_t index) {
  if (index <= match) return false;
  match = index;
  next = std::max(next, index + 1);
  flow_paused = false;
  return true;
}

bool PeerProgress::decrease(uint64_t rejected, uint64_t hint) {
  if (state == ProgressState::kReplicate) {
    if (rejected <= match) return false;
    next = match + 1;
  } else {
    // While probing one message is under way; a refusal of another one is a late arrival.
    if (next - 1 != rejected) return false;
    next = std::max(std::min(rejected, hint + 1), match + 1);
    flow_paused = false;
  }
  sent_commit = std::min(sent_commit, next - 1);
  return true;
}

}  // namespace mortise::raft
