// Who breaks things: crashes, power losses, partitions, bad networks, slow, stalled, full and
// lying disks, clocks that go wrong, processes that stand still, changes of the membership. Which
// of these a simulation has, and how often, its seed says.
//
// Threads: one.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/sim/machine.h"
#include "tests/sim/operator.h"

namespace mortise::sim {

class Nemesis {
 public:
  Nemesis(Site* site, Machines* machines, Operator* the_operator);

  void start();
  // Everything is well again, and stays so. A member that is down comes up.
  void stop();

  void voted(raft::NodeId id);
  void elected(raft::NodeId id);
  const std::map<std::string, uint64_t>& counts() const { return counts_; }

 private:
  struct Fault {
    std::string name;
    uint64_t weight;
    void (Nemesis::*act)();
  };
  void next();
  void heal();
  void later(Micros delay, std::function<void()> action);
  void cut_off(raft::NodeId id, Micros how_long);
  Machine* any_up();
  std::vector<Machine*> present() const;
  Machine* leader() const;
  void start_later(Machine* machine);

  void crash_one();
  void crash_many();
  void partition();
  void partition_one_way();
  void bad_network();
  void slow_disk();
  void stalled_disk();
  void full_disk();
  void flip_bit();
  void drift();
  void pause();
  void change_membership();
  void move_leader();
  // For a while, whoever votes or wins an election has bad luck soon after.
  void crash_voters();
  void fell_leaders();
  // One member is cut off from a cluster that is well otherwise, and comes back: nobody is to
  // notice.
  void isolate_calmly();
  void isolate_member(raft::NodeId leads, uint64_t term);
  void check_undisturbed(raft::NodeId leads, uint64_t term, raft::NodeId isolated);
  bool agree_on(raft::NodeId leads, uint64_t term) const;

  Site* const site_;
  Env* const env_;
  Machines* const machines_;
  Operator* const operator_;
  Random random_;
  std::vector<Fault> faults_;
  uint64_t weights_ = 0;
  Micros pause_max_ = 2 * kSecond;
  Micros voters_crash_until_ = 0;
  Micros leaders_fall_until_ = 0;
  bool calm_ = false;
  bool stopped_ = false;
  std::map<std::string, uint64_t> counts_;
};

}  // namespace mortise::sim
