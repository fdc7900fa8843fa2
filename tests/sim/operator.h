// Who runs the cluster: adds members, first as learners, promotes and removes them, one change at a
// time; replaces a member whose log was damaged.
//
// Threads: one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "tests/sim/machine.h"

namespace mortise::sim {

using Machines = std::map<raft::NodeId, std::unique_ptr<Machine>>;

class Operator {
 public:
  Operator(Site* site, Machines* machines);

  void start();
  // Begins a change of the membership, if none is under way.
  void change();
  // The member will not come back.
  void replace(raft::NodeId id) { to_replace_ = id; }
  bool idle() const { return !to_replace_ && !removing_ && !adding_; }
  // Nothing has been done so far: the voters are the founders.
  bool untouched() const { return idle() && changes_ == 0; }
  // No new changes; what was begun is brought to an end.
  void pause(bool paused) { paused_ = paused; }

  // The member that knows the newest membership; null if none is up.
  Machine* newest() const;
  uint64_t changes() const { return changes_; }

 private:
  void act();
  void propose(raft::ChangeType type, raft::NodeId id, bool promote);
  void stop_removed(const raft::ConfState& conf);
  void go_on_adding(Machine* at, const raft::ConfState& conf);

  Site* const site_;
  Env* const env_;
  Machines* const machines_;
  Random random_;
  raft::NodeId next_id_;
  std::optional<raft::NodeId> to_replace_;
  std::optional<raft::NodeId> removing_;
  std::optional<raft::NodeId> adding_;
  bool add_afterwards_ = false;
  bool as_voter_ = false;
  bool paused_ = false;
  uint64_t seen_applied_ = 0;  // By the newest member so far: an older one does not know all.
  uint64_t changes_ = 0;
};

}  // namespace mortise::sim
