#include "host/server/leadership.h"

#include <utility>

namespace mortise::server {

bool Leadership::note(raft::NodeId leader, Clock::time_point now) {
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(leader_, leader) == leader || leader == raft::kNoNode) return false;
    elected_at_ = now;
  }
  for (Done& done : take([&](const Waiting& w) { return w.to == leader; })) done(RpcStatus());
  return true;
}

Leadership::Clock::time_point Leadership::elected_at() const {
  std::lock_guard lock(mutex_);
  return elected_at_;
}

void Leadership::await(raft::NodeId to, Clock::time_point deadline, Done done) {
  {
    std::lock_guard lock(mutex_);
    if (leader_ != to) {
      waiting_.push_back({to, deadline, std::move(done)});
      return;
    }
  }
  done(RpcStatus());
}

void Leadership::check_time(Clock::time_point now) {
  for (Done& done : take([&](const Waiting& w) { return w.deadline <= now; })) {
    done(rpc_errors::kLeaderTransferTimeout);
  }
}

void Leadership::stop() {
  for (Done& done : take([](const Waiting&) { return true; })) done(rpc_errors::kStopped);
}

std::vector<Leadership::Done> Leadership::take(const std::function<bool(const Waiting&)>& chosen) {
  std::vector<Done> out;
  std::lock_guard lock(mutex_);
  std::erase_if(waiting_, [&](Waiting& waiting) {
    if (!chosen(waiting)) return false;
    out.push_back(std::move(waiting.done));
    return true;
  });
  return out;
}

}  // namespace mortise::server
