// The network between members: messages in their wire form that are delayed, reordered, lost,
// doubled, or cannot pass at all in one direction or both.
//
// A forwarded proposal is never doubled, since no transport does that: it would be two proposals.
// A snapshot is a transfer with a result, which its sender hears.
//
// Threads: one.
#pragma once

#include <functional>
#include <map>
#include <set>

#include "host/raft/types.h"
#include "tests/sim/env.h"

namespace mortise::sim {

struct NetworkQuality {
  Micros delay_min = 100;
  Micros delay_max = 2 * kMillisecond;
  uint64_t lost_permille = 0;
  uint64_t doubled_permille = 0;
  uint64_t late_permille = 0;  // Delayed by up to late_max.
  Micros late_max = 300 * kMillisecond;
};

class Network {
 public:
  struct Hooks {
    std::function<void(raft::NodeId to, raft::Message)> deliver;
    // The transport of `from` has news of its peer.
    std::function<void(raft::NodeId from, raft::NodeId to)> unreachable;
    std::function<void(raft::NodeId from, raft::NodeId to, bool ok)> snapshot_sent;
  };
  Network(Env* env, Hooks hooks) : env_(env), random_(env->fork()), hooks_(std::move(hooks)) {}

  NetworkQuality& quality() { return quality_; }
  void send(raft::NodeId from, raft::Message message);
  // The receiver's answer to a snapshot: raft has it, or it came to nothing.
  void answer_snapshot(raft::NodeId from, raft::NodeId to, bool ok);
  // Nothing passes from `from` to `to`.
  void cut(raft::NodeId from, raft::NodeId to) { cuts_.insert({from, to}); }
  void heal() { cuts_.clear(); }
  // Everything passes from and to `id`.
  void heal(raft::NodeId id) {
    std::erase_if(cuts_, [id](const auto& cut) { return cut.first == id || cut.second == id; });
  }
  bool passes(raft::NodeId from, raft::NodeId to) const { return !cuts_.contains({from, to}); }

 private:
  raft::Message transmitted(const raft::Message& message);
  void lose(raft::NodeId from, const raft::Message& message);
  void arrive(raft::NodeId from, raft::Message message, Micros delay);

  Env* const env_;
  Random random_;
  const Hooks hooks_;
  NetworkQuality quality_;
  std::set<std::pair<raft::NodeId, raft::NodeId>> cuts_;
};

std::string describe(const raft::Message& message);

}  // namespace mortise::sim
