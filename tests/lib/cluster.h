// A cluster of several servers of a test, ours on some backend or etcd, also mixed: started,
// stopped, killed, paused, cut off, added and removed one by one. Peers reach each other through
// proxies (network.h), so that links can be cut.
//
// Members are counted from 0 in the order in which they came; a removed one keeps its number. Used
// by one thread, the main one (process.h says why); clients of other threads use endpoint().
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/lib/client.h"
#include "tests/lib/network.h"
#include "tests/lib/node.h"

namespace mortise::testing {

struct ClusterOptions {
  std::vector<std::string> flags;  // Of every member.
  bool in_memory = false;
};

// The members that a name stands for: "mixed" (both backends), "etcd" (Debian's), or a list of
// backends and of an etcd's paths, "lmdb,lmdb,/opt/etcd".
std::vector<Target> cluster_targets(const std::string& names);

// How long a cluster may take to do what it must do at last.
constexpr std::chrono::seconds kClusterBound{60};

class Cluster {
 public:
  explicit Cluster(const std::vector<Target>& targets, ClusterOptions options = {});

  // Starts all members and waits until each of them serves.
  Status start();
  // One member: its process, or until it serves, too.
  Status launch(size_t member);
  Status start(size_t member);
  std::optional<Exit> stop(size_t member) { return nodes_[member]->stop(); }
  // kill -9.
  void kill(size_t member) { nodes_[member]->kill(); }
  // SIGSTOP and SIGCONT.
  void pause(size_t member);
  void resume(size_t member);
  // Empties the data directory of a member that does not run.
  void wipe(size_t member);
  Network& network() { return network_; }

  // Asks a member that serves to add one, and launches it. Its number.
  Result<size_t> add(const Target& target, bool learner = false);
  // Asks another member to remove it; its process is left as it is.
  Status remove(size_t member);

  // The member that says of itself that it leads, in the highest term that anybody knows.
  std::optional<size_t> leader();
  // One that is not `than` (a member that still believes to lead, say), within the bound.
  Result<size_t> wait_leader(std::optional<size_t> than = std::nullopt);
  // Until each member that runs answers a linearizable read.
  Status wait_serving();
  Status wait_serving(size_t member);
  // All members that run have the same HashKV at the newest revision; also under load.
  Status check_equal();
  // Until the condition holds.
  static bool wait_for(const std::function<bool()>& condition);

  size_t size() const { return nodes_.size(); }
  bool runs(size_t member) { return !paused_[member] && nodes_[member]->running(); }
  Node& node(size_t member) { return *nodes_[member]; }
  Client& client(size_t member) { return *clients_[member]; }
  std::string endpoint(size_t member) const { return nodes_[member]->endpoint(); }
  // Of all, with commas.
  std::string endpoints() const;
  // The member id; 0 while the member never answered.
  uint64_t id(size_t member);
  // The ends of all logs, for a failure's text.
  std::string logs() const;

 private:
  void make_node(const Target& target);
  std::string initial_cluster() const;

  ClusterOptions options_;
  Network network_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<bool> paused_, removed_;
  std::vector<uint64_t> ids_;
};

}  // namespace mortise::testing
