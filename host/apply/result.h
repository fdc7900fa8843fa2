// What applying an entry answers to the call that proposed it, and how the two find each other.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "host/base/byte_buffer.h"
#include "host/base/rpc_error.h"

namespace mortise::apply {

struct ApplyResult {
  RpcStatus rpc;
  int64_t revision = 0;  // For the response's header.
  ByteBuffer body;       // The response without its header field.
};

// A proposal that waits for its entry. complete() is called exactly once, on the apply thread or,
// if the proposal fails before, on another; it must not block.
class Waiter {
 public:
  using Clock = std::chrono::steady_clock;
  virtual ~Waiter() = default;
  virtual void complete(ApplyResult result) = 0;
  // For metrics: set before anything else.
  void note_proposal(uint32_t field, Clock::time_point at) {
    field_ = field;
    proposed_at_ = at;
  }
  uint32_t field() const { return field_; }  // 0: unknown.
  Clock::time_point proposed_at() const { return proposed_at_; }

 private:
  uint32_t field_ = 0;
  Clock::time_point proposed_at_{};
};

// Proposals under way, by request id. Thread-safe.
class WaitList {
 public:
  using Clock = std::chrono::steady_clock;

  void add(uint64_t id, std::unique_ptr<Waiter> waiter, Clock::time_point deadline);
  // Null if nobody waits (any more) for this id here.
  std::unique_ptr<Waiter> take(uint64_t id);
  struct Expired {
    std::unique_ptr<Waiter> waiter;
    Clock::time_point deadline;
  };
  // Removes and returns those whose deadline has passed.
  std::vector<Expired> take_expired(Clock::time_point now);
  std::vector<std::unique_ptr<Waiter>> take_all();
  size_t size() const;

 private:
  struct Entry {
    std::unique_ptr<Waiter> waiter;
    Clock::time_point deadline;
  };
  static constexpr size_t kShards = 16;
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<uint64_t, Entry> entries;
  };
  // Request ids of one member count up.
  Shard& shard(uint64_t id) { return shards_[id % kShards]; }
  Shard shards_[kShards];
};

}  // namespace mortise::apply
