// Who leads, since when, and who waits for somebody to lead.
//
// note() is called by the raft node whenever its leader or role changes; the other functions by any
// thread. Those who wait are told on the thread that brings the news, and must not block it.
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <vector>

#include "host/base/rpc_error.h"
#include "host/raft/types.h"

namespace mortise::server {

class Leadership {
 public:
  using Clock = std::chrono::steady_clock;
  using Done = std::function<void(const RpcStatus&)>;

  // True if there is a leader and it was another one, or none, before.
  bool note(raft::NodeId leader, Clock::time_point now);
  // When the last leader was found; the clock's beginning if none was.
  Clock::time_point elected_at() const;

  // Calls done() once `to` leads, or with kLeaderTransferTimeout at the deadline.
  void await(raft::NodeId to, Clock::time_point deadline, Done done);
  void check_time(Clock::time_point now);
  void stop();

 private:
  struct Waiting {
    raft::NodeId to;
    Clock::time_point deadline;
    Done done;
  };
  std::vector<Done> take(const std::function<bool(const Waiting&)>& chosen);

  mutable std::mutex mutex_;  // Guards what follows.
  raft::NodeId leader_ = raft::kNoNode;
  Clock::time_point elected_at_;
  std::vector<Waiting> waiting_;
};

}  // namespace mortise::server
