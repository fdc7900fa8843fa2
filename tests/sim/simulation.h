// One simulation: a cluster, its clients and watchers, and what goes wrong, all from one seed.
//
// For `duration` faults come and go; then everything is well, and the cluster has to be well, too,
// within kRecoveryMax: one leader, each member answers, all have applied the same log and hold the
// same state, watchers have seen all of history, and leases that nobody renews are gone.
//
// Threads: one; several simulations of one process run one after the other.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/client.h"
#include "tests/sim/nemesis.h"
#include "tests/sim/operator.h"
#include "tests/sim/watcher.h"

namespace mortise::sim {

constexpr Micros kRecoveryMax = 60 * kSecond;

struct Report {
  std::string failure;  // Empty: all is as it must be.
  uint64_t trace_hash = 0;
  uint64_t events = 0;
  Micros simulated = 0;
  Micros recovery = 0;  // From the end of the faults until all was well.
  uint64_t entries = 0;
  int64_t revision = 0;
  uint64_t answered_writes = 0;
  uint64_t answered_reads = 0;
  uint64_t unknown = 0;
  uint64_t dropped = 0;
  uint64_t watched_events = 0;
  uint64_t membership_changes = 0;
  uint64_t snapshots = 0;  // Put in a store's place.
  uint64_t refused = 0;    // Members that did not start with a damaged log.
  std::map<std::string, uint64_t> faults;
};

class Simulation {
 public:
  explicit Simulation(const Options& options);
  ~Simulation();
  Report run();

 private:
  void add_founders();
  void add_clients();
  void add_watchers();
  void rewatch(size_t number);
  Machine* pick(Random* random);
  void check_completeness(raft::NodeId member);
  void check_revoked(int64_t lease);
  void run_until(Micros end);
  void recover();
  void probe_all();
  // What is not as it must be in the end; empty if all is.
  std::string unwell() const;
  std::string unwell(const Machine& machine, raft::NodeId leads) const;

  Options options_;
  Env env_;
  Random random_;
  Oracle oracle_;
  std::unique_ptr<Network> network_;
  Site site_;
  Machines machines_;
  std::unique_ptr<Operator> operator_;
  std::unique_ptr<Nemesis> nemesis_;
  History history_;
  std::vector<std::unique_ptr<Client>> clients_;
  struct Watch {
    std::shared_ptr<Watcher> watcher;
    raft::NodeId at = raft::kNoNode;
    uint64_t life = 0;
  };
  std::vector<Watch> watches_;
  std::map<raft::NodeId, bool> probed_;
  uint64_t complete_to_ = 0;  // Leader completeness is checked up to this index.
};

}  // namespace mortise::sim
