// The stores of one simulated member: real stores of the example's memory backend, called through
// the C ABI, on a disk that loses commits in a crash as the ABI allows: a store comes back as it
// was after some commit, at least the newest one that a sync() covers, and never torn.
//
// Between the host's store::Store and the plugin stands a table of this file, which keeps a copy of
// each commit since the last sync. Nothing is ever synced in the plugin, so nothing is written to
// files; the plugin gets a directory since it asks for one.
//
// Threads: one. Ownership: a BackendDisk outlives the stores that it has opened.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "host/loader/host_services.h"
#include "host/store/store.h"
#include "tests/sim/env.h"

namespace mortise::sim {

class BackendDisk {
 public:
  explicit BackendDisk(Random random);
  ~BackendDisk();
  BackendDisk(const BackendDisk&) = delete;
  BackendDisk& operator=(const BackendDisk&) = delete;

  // Opens the store of that name, made if missing.
  std::unique_ptr<store::Store> open(const std::string& name);
  bool exists(const std::string& name) const { return images_.contains(name); }
  void remove(const std::string& name);
  std::vector<std::string> names() const;
  // All stores are closed; each comes back as after a commit of chance's choice.
  void crash();

  // A bug to be found: after a crash the store says a position that is one commit too old.
  void lose_applied_index(bool lose) { lose_applied_index_ = lose; }

  struct Image;

 private:
  Random random_;
  bool lose_applied_index_ = false;
  std::map<std::string, std::unique_ptr<Image>> images_;
};

}  // namespace mortise::sim
