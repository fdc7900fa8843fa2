// Members of a cluster with simulated disks and a simulated network, for the tests of the core: the
// host's side of the Ready protocol, cut into single steps that a test puts in any order.
//
// Each member has a disk (what survives a crash), a view (the LogView given to its Core), a queue
// of Readys being written and one being applied. Every applied entry is compared with what any
// member applied at that index before, and every leader with those of its term; a difference
// aborts.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/raft/core.h"
#include "host/raft/memory_log.h"

namespace mortise::raft::testing {

std::string describe(const Entry& entry);
std::string describe(const Message& message);
std::string describe(const Ready& ready);
std::string describe(const ConfState& conf);
std::string describe(const Inspection& inspection);

class Env {
 public:
  struct Options {
    Config config;
    ConfState conf;
    std::vector<NodeId> bootstrap;    // If set: membership entries at 1..n, term 1, committed.
    std::vector<uint64_t> log_terms;  // Else: entries 1..n of these terms.
    HardState hard;
    uint64_t seed = 1;
    bool early_view = false;  // The view gets entries when they are handed out, not when written.
  };

  // `kCorruption` and the like come from Core::create.
  Status add(const Options& options);
  Core& core(NodeId id) { return *nodes_.at(id).core; }
  bool alive(NodeId id) const {
    const auto at = nodes_.find(id);
    return at != nodes_.end() && at->second.core != nullptr;
  }
  std::vector<NodeId> ids() const;

  // Takes a Ready; `messages` go on the network. Nothing if there is none.
  std::optional<Ready> take_ready(NodeId id);
  // Writes the oldest `count` Readys and acknowledges the last; returns its number, 0 if none.
  uint64_t persist(NodeId id, size_t count);
  size_t unwritten(NodeId id) const { return nodes_.at(id).writing.size(); }
  // Applies the oldest `count` Readys' entries and acknowledges; returns the applied index.
  uint64_t apply(NodeId id, size_t count);
  size_t unapplied(NodeId id) const { return nodes_.at(id).applying.size(); }
  // Loses what is not written; of what is applied, what is above durable_applied.
  void crash(NodeId id, uint64_t durable_applied);
  Status restart(NodeId id);
  // Cuts the log below the applied index and offers a snapshot there.
  void compact(NodeId id, uint64_t index);

  std::deque<Message>& network() { return network_; }
  void cut(NodeId id, bool is_cut) { nodes_.at(id).cut = is_cut; }
  bool is_cut(NodeId id) const {
    const auto at = nodes_.find(id);
    return at != nodes_.end() && at->second.cut;
  }
  Status deliver(const Message& message);

  const std::string& data_at(uint64_t index) const { return applied_.at(index).data; }
  uint64_t max_applied() const { return applied_.empty() ? 0 : applied_.rbegin()->first; }
  const std::map<uint64_t, Entry>& applied() const { return applied_; }
  const ConfState& conf(NodeId id) const {
    const Node& node = nodes_.at(id);
    return std::prev(node.confs.upper_bound(node.applied))->second;
  }
  // What apply_membership() refused last.
  const Status& apply_error() const { return apply_error_; }

 private:
  struct Node {
    Options options;
    MemoryLog disk;
    HardState disk_hard;
    std::unique_ptr<MemoryLog> view;
    std::optional<Core> slot;
    Core* core = nullptr;
    std::deque<Ready> writing;
    struct ToApply {
      uint64_t number;
      SnapshotRef snapshot;
      std::vector<EntryRef> entries;
    };
    std::deque<ToApply> applying;
    uint64_t persisted = 0;
    uint64_t applied = 0;
    uint64_t applied_floor = 0;           // A snapshot on the disk holds at least this.
    std::map<uint64_t, ConfState> confs;  // By the index from which it holds.
    SnapshotRef snapshot;
    bool cut = false;
    uint64_t lives = 0;
  };
  void write(Node& node, MemoryLog& log, const Ready& ready);
  void check_applied(const Entry& entry);
  void send(std::vector<Message> messages);

  std::map<NodeId, Node> nodes_;
  std::deque<Message> network_;
  std::map<uint64_t, Entry> applied_;
  std::map<uint64_t, NodeId> leaders_;
  Status apply_error_;
};

}  // namespace mortise::raft::testing
