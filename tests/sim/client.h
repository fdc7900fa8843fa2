// A client of the cluster: one request at a time, to a member of its choice. What it is told must
// fit one order of all requests that respects time.
//
// That order is the log's: a write's answer names its revision, and the oracle knows its index; a
// read shows the state at the revision that it names. So a history is linearizable if every request
// comes, in that order, after all those that were answered before it was made, and every read shows
// the model's state. A request without an answer may have happened or not.
//
// Threads: one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "proto/rpc.pb.h"
#include "tests/sim/machine.h"
#include "tests/sim/process.h"

namespace mortise::sim {

// What all clients together have been told.
struct History {
  int64_t revision = 1;
  uint64_t index = 0;
  uint64_t answered_writes = 0;
  uint64_t answered_reads = 0;
  uint64_t unknown = 0;
  uint64_t dropped = 0;
  // Of leases that clients hold: the TTL, and when the last renewal that was answered was sent.
  struct Lease {
    Micros ttl = 0;
    Micros renewed = 0;
  };
  std::map<int64_t, Lease> leases;
};

class Client {
 public:
  // `pick` chooses a member to talk to, null if none is up.
  Client(Site* site, History* history, uint64_t id, std::function<Machine*(Random*)> pick);

  void start() { rest(); }
  void stop() { stopped_ = true; }
  // Puts one key now, whatever it is at; `done` says whether it was answered.
  void probe(Machine* machine, std::function<void(bool)> done);

 private:
  // What had been answered when the request was made.
  struct Asked {
    Micros at;
    int64_t revision;
    uint64_t index;
  };
  void rest();
  void act();
  Asked ask() const { return {env_->now(), history_->revision, history_->index}; }
  // Ends the request; false if it has been given up.
  bool end(uint64_t number);

  void write(Machine* machine, uint32_t field, const std::string& bytes,
             std::function<void(const apply::ApplyResult&)> then = {});
  void answered(const Asked& asked, uint64_t request_id);
  void put(Machine* machine);
  void remove(Machine* machine);
  void txn(Machine* machine);
  void compact(Machine* machine);
  void read(Machine* machine);
  void check(const Asked& asked, const etcdserverpb::RangeRequest& request,
             const Process::ReadAnswer& answer);
  void use_lease(Machine* machine);
  std::string key();
  std::string value();

  Site* const site_;
  Env* const env_;
  Oracle* const oracle_;
  History* const history_;
  const uint64_t id_;
  Random random_;
  const std::function<Machine*(Random*)> pick_;
  bool stopped_ = false;
  uint64_t number_ = 0;  // Of the request under way.
  bool busy_ = false;
  uint64_t next_value_ = 0;
  int64_t lease_ = 0;
  Micros lease_until_ = 0;
};

}  // namespace mortise::sim
