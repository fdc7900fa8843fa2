#include "host/server/read_rounds.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>

namespace mortise::server {

void ReadRounds::wait(Done done) {
  raft::ReadToken token = 0;
  {
    std::unique_lock lock(mutex_);
    if (stopped_ || readers_ >= kReadersWaitingMax) {
      const RpcStatus why = stopped_ ? rpc_errors::kStopped : rpc_errors::kTooManyRequests;
      lock.unlock();
      return done(why);
    }
    ++readers_;
    waiting_.push_back(std::move(done));
    token = start_round(Clock::now());
  }
  if (token != 0) options_.ask(token);
}

raft::ReadToken ReadRounds::start_round(Clock::time_point now) {
  if (!asking_.empty() || waiting_.empty()) return 0;
  asking_.swap(waiting_);
  started_ = asked_ = now;
  tokens_.assign(1, options_.new_token());
  return tokens_[0];
}

void ReadRounds::read_states(const std::vector<raft::ReadState>& states) {
  std::vector<Done> ready;
  raft::ReadToken token = 0;
  {
    std::lock_guard lock(mutex_);
    for (const raft::ReadState& state : states) {
      if (asking_.empty() || !std::ranges::count(tokens_, state.token)) continue;
      std::vector<Done> readers = std::exchange(asking_, {});
      if (state.index <= options_.applied_index()) {
        ready = std::move(readers);
        readers_ -= ready.size();
      } else {
        confirmed_.push_back({state.index, std::move(readers)});
      }
      token = start_round(Clock::now());
      break;  // The next round's answer cannot be here yet.
    }
  }
  if (token != 0) options_.ask(token);
  release(std::move(ready), RpcStatus());
}

void ReadRounds::applied(uint64_t index) {
  std::vector<Done> ready;
  {
    std::lock_guard lock(mutex_);
    if (confirmed_.empty()) return;
    for (Confirmed& round : confirmed_) {
      if (round.index > index) continue;
      std::ranges::move(round.readers, std::back_inserter(ready));
      round.readers.clear();
    }
    std::erase_if(confirmed_, [](const Confirmed& round) { return round.readers.empty(); });
    readers_ -= ready.size();
  }
  release(std::move(ready), RpcStatus());
}

void ReadRounds::leader_changed() {
  std::vector<Done> failed;
  raft::ReadToken token = 0;
  {
    std::lock_guard lock(mutex_);
    failed.swap(asking_);
    if (!failed.empty()) failed_rounds_.add();
    readers_ -= failed.size();
    token = start_round(Clock::now());
  }
  if (token != 0) options_.ask(token);
  release(std::move(failed), rpc_errors::kLeaderChanged);
}

void ReadRounds::check_time(Clock::time_point now) {
  std::vector<Done> failed;
  raft::ReadToken token = 0;
  {
    std::lock_guard lock(mutex_);
    if (asking_.empty()) return;
    if (now - started_ >= options_.time_limit) {
      failed.swap(asking_);
      slow_rounds_.add();
      readers_ -= failed.size();
      token = start_round(now);
    } else if (now - asked_ >= kReadIndexRetry) {
      if (options_.retrying) options_.retrying(tokens_.back());
      asked_ = now;
      token = options_.new_token();
      tokens_.push_back(token);
    }
  }
  if (token != 0) options_.ask(token);
  if (failed.empty()) return;
  if (options_.timed_out) options_.timed_out();
  release(std::move(failed), rpc_errors::kTimeout);
}

void ReadRounds::stop() {
  std::vector<Done> left;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    left.swap(asking_);
    std::ranges::move(waiting_, std::back_inserter(left));
    waiting_.clear();
    for (Confirmed& round : confirmed_) std::ranges::move(round.readers, std::back_inserter(left));
    confirmed_.clear();
    readers_ = 0;
  }
  for (Done& done : left) done(rpc_errors::kStopped);
}

void ReadRounds::release(std::vector<Done> readers, const RpcStatus& status) {
  for (size_t at = 0; at < readers.size(); at += kReadersAtOnce) {
    auto first = readers.begin() + static_cast<ptrdiff_t>(at);
    auto last =
        readers.begin() + static_cast<ptrdiff_t>(std::min(at + kReadersAtOnce, readers.size()));
    auto batch = std::make_shared<std::vector<Done>>(std::make_move_iterator(first),
                                                     std::make_move_iterator(last));
    Status posted = options_.run([batch, status] {
      for (Done& done : *batch) done(status);
    });
    if (posted.ok()) continue;
    const RpcStatus why =
        posted.code() == StatusCode::kDropped ? rpc_errors::kTooManyRequests : rpc_errors::kStopped;
    for (Done& done : *batch) done(why);
  }
}

}  // namespace mortise::server
