// The machine of one simulated member: its disks, its clock, and the process that runs on it, if
// one does.
//
// Threads: one. Ownership: the simulation's; outlives its processes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "host/lease/lessor.h"
#include "host/wal/sim_file.h"
#include "tests/sim/backend.h"
#include "tests/sim/log_writer.h"
#include "tests/sim/network.h"
#include "tests/sim/options.h"
#include "tests/sim/oracle.h"

namespace mortise::sim {

class Process;

// What all machines share.
struct Site {
  Env* env;
  Oracle* oracle;
  Network* network;
  Options options;
  std::vector<raft::NodeId> founders;
  uint64_t catchup_entries = 100;
  uint64_t release_every = 200;  // Entries.
  uint64_t message_bytes_max = 1 << 20;
  uint64_t next_request_id = 1;
  uint64_t snapshots = 0;
  uint64_t refused = 0;
  // The commit index of a member has moved; it has given its vote; it has become leader.
  std::function<void(raft::NodeId)> committed;
  std::function<void(raft::NodeId)> voted;
  std::function<void(raft::NodeId)> elected;
};

enum class Health : uint8_t {
  kUp,
  kDown,
  kRefused,  // Its log was damaged, and the member does not start any more.
  kRemoved,  // The cluster has removed it.
};

class Machine {
 public:
  Machine(Site* site, raft::NodeId id, bool founder);
  ~Machine();

  raft::NodeId id() const { return id_; }
  Site& site() { return *site_; }
  bool founder() const { return founder_; }
  wal::SimDisk& disk() { return disk_; }
  BackendDisk& stores() { return stores_; }
  DiskSpeed& speed() { return speed_; }
  Random& random() { return random_; }
  std::string& store_name() { return store_name_; }
  uint64_t life() const { return life_; }

  // The member's own clock.
  lease::Clock::time_point local_now() const;
  // How long `micros` of its clock take.
  Micros real(Micros micros) const;
  void set_drift(int64_t permille);

  Process* process() { return process_.get(); }
  Health health() const { return health_; }
  bool up() const { return health_ == Health::kUp; }
  bool paused() const { return paused_; }
  // Has it ever been started?
  bool started() const { return life_ > 0; }

  void start();
  void crash(bool power_loss);
  // The process ends, and does not come back.
  void remove();
  void pause() { paused_ = true; }
  void resume();

  // Damages the log of a member that is down; false if there is nothing that must be noticed.
  bool flip_bit();
  bool damaged() const { return damaged_; }

  // Where its log on the disk ends, at least.
  struct LogEnd {
    uint64_t index = 0;
    uint64_t term = 0;
  };
  LogEnd durable_end() const;

  // Carries out an event of the process, unless it has ended meanwhile; later, if it is paused.
  void run(uint64_t life, std::function<void()> action);

 private:
  Site* const site_;
  const raft::NodeId id_;
  const bool founder_;
  Random random_;
  wal::SimDisk disk_;
  BackendDisk stores_;
  DiskSpeed speed_;
  std::string store_name_ = "store-0";
  int64_t drift_permille_ = 0;
  // When the drift changed last, by both clocks.
  Micros drift_since_ = 0;
  Micros drift_local_ = 0;
  Health health_ = Health::kDown;
  bool paused_ = false;
  bool damaged_ = false;
  LogEnd end_before_;  // When the process before ended.
  uint64_t life_ = 0;
  std::vector<std::function<void()>> deferred_;
  std::unique_ptr<Process> process_;
  std::vector<std::unique_ptr<Process>> ended_;  // Until their last event is over.
};

}  // namespace mortise::sim
