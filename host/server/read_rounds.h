// Proof that reads of the local store are linearizable: asks the leader, through the raft core's
// ReadIndex, for an index such that a store that has applied it knows every write that was
// acknowledged before the question.
//
// All reads that come while a question is under way share the next one. One without an answer is
// asked again every kReadIndexRetry, and given up after the time limit. When a new leader is there,
// those who wait are told so, as in etcd: their question may be lost.
//
// wait() is for any thread; the other functions are called by the raft node, the apply thread and
// whoever has the time. Readers go on in batches of kReadersAtOnce through Options::run, never on
// the thread that brought the news; after stop() on the thread that calls it.
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <vector>

#include "host/base/metrics.h"
#include "host/base/rpc_error.h"
#include "host/base/status.h"
#include "host/raft/types.h"

namespace mortise::server {

constexpr std::chrono::milliseconds kReadIndexRetry{500};
constexpr size_t kReadersWaitingMax = 200'000;
constexpr size_t kReadersAtOnce = 64;

struct ReadRoundsOptions {
  std::chrono::milliseconds time_limit{7000};
  // Starts a question; the answer comes to read_states(), or never. May be called within it.
  std::function<void(raft::ReadToken)> ask;
  // A number that nobody else uses.
  std::function<raft::ReadToken()> new_token;
  // What readers see now.
  std::function<uint64_t()> applied_index;
  // Runs a task elsewhere; not ok if it never will.
  std::function<Status(std::function<void()>)> run;
  // For the log.
  std::function<void(raft::ReadToken)> retrying;
  std::function<void()> timed_out;
};

class ReadRounds {
 public:
  using Clock = std::chrono::steady_clock;
  using Done = std::function<void(const RpcStatus&)>;

  explicit ReadRounds(ReadRoundsOptions options) : options_(std::move(options)) {}

  void wait(Done done);
  void read_states(const std::vector<raft::ReadState>& states);
  // Readers see this index now.
  void applied(uint64_t index);
  void leader_changed();
  // Asks again, and gives up, what has waited too long.
  void check_time(Clock::time_point now);
  void stop();

  // Rounds that had no answer in time, and that a change of leaders ended.
  uint64_t slow_rounds() const { return slow_rounds_.value(); }
  uint64_t failed_rounds() const { return failed_rounds_.value(); }

 private:
  struct Confirmed {
    uint64_t index;
    std::vector<Done> readers;
  };
  // With the lock; 0 if there is nothing to ask.
  raft::ReadToken start_round(Clock::time_point now);
  void release(std::vector<Done> readers, const RpcStatus& status);

  const ReadRoundsOptions options_;
  std::mutex mutex_;           // Guards what follows.
  std::vector<Done> waiting_;  // For the next round.
  std::vector<Done> asking_;   // Of this round; empty if none is under way.
  std::vector<raft::ReadToken> tokens_;
  Clock::time_point started_;
  Clock::time_point asked_;
  std::vector<Confirmed> confirmed_;  // Until their index is applied.
  size_t readers_ = 0;
  bool stopped_ = false;
  Counter slow_rounds_, failed_rounds_;
};

}  // namespace mortise::server
