// What a leader tracks for one member: how far its log agrees, what to send next, and how much may
// be under way. Owned by the Machine, in a map by id.
//
// A member starts in kProbe (one message at a time until its log's end is found), goes on in
// kReplicate (a window of messages, optimistic), and is in kSnapshot while it needs entries that
// are compacted. Invariant: match < next.
#pragma once

#include <cstdint>
#include <deque>

#include "host/raft/core.h"

namespace mortise::raft {

// The window of messages with entries that are sent and not acknowledged.
class Inflights {
 public:
  Inflights(uint32_t messages_max, uint64_t bytes_max)
      : messages_max_(messages_max), bytes_max_(bytes_max) {}

  // `index` is the last one in the message. REQUIRES: not full().
  void add(uint64_t index, uint64_t bytes);
  // All messages that end at or below index have arrived.
  void free_to(uint64_t index);
  void clear();
  bool full() const { return window_.size() >= messages_max_ || bytes_ >= bytes_max_; }
  uint32_t count() const { return static_cast<uint32_t>(window_.size()); }

 private:
  struct Sent {
    uint64_t index;
    uint64_t bytes;
  };
  uint32_t messages_max_;
  uint64_t bytes_max_;
  uint64_t bytes_ = 0;
  std::deque<Sent> window_;
};

struct PeerProgress {
  PeerProgress(uint64_t next_index, const Config& config)
      : next(next_index), inflights(config.inflight_messages_max, config.inflight_bytes_max) {}

  void become_probe();
  void become_replicate();
  void become_snapshot(uint64_t index);
  // After a message with `count` entries of `bytes`.
  void sent_entries(uint64_t count, uint64_t bytes);
  // Whether a message that only tells `committed` would be news to the member.
  bool can_bump_commit(uint64_t committed) const {
    return committed > sent_commit && sent_commit < next - 1;
  }
  // The member has acknowledged `index`; false if that is old.
  bool update(uint64_t index);
  // The member has refused a message after `rejected`; `hint` is where its log may agree. False if
  // the refusal is old.
  bool decrease(uint64_t rejected, uint64_t hint);
  bool paused() const { return state == ProgressState::kSnapshot || flow_paused; }

  uint64_t match = 0;
  uint64_t next = 1;
  uint64_t sent_commit = 0;
  ProgressState state = ProgressState::kProbe;
  uint64_t pending_snapshot = 0;
  bool recent_active = false;
  bool flow_paused = false;
  Inflights inflights;

 private:
  void reset(ProgressState new_state);
};

}  // namespace mortise::raft
