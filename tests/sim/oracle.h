// What must be true of a cluster, checked while it runs. Members report what they do; the oracle
// compares it with what the others did, and with a model of etcd's store that carries out each
// entry of the log once, when the first member applies it.
//
//   one leader a term, one vote a term   leads(), votes()
//   log matching                         appended(): an entry's place names its content and the one
//                                        before it, and by induction the whole log before it
//   committed entries never change       applying()
//   nothing is applied that the log may
//   still lose                           applying()
//   equal state at equal index           state_hash()
//   results and events as the model's    result(), events(), Feed
//
// Whatever does not hold ends the simulation (Env::fail).
//
// Threads: one. Ownership: the simulation's; outlives members, clients and watchers.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "host/apply/result.h"
#include "host/mvcc/events.h"
#include "host/mvcc/test_model.h"
#include "host/raft/types.h"
#include "host/wire/raft_request.h"
#include "tests/sim/env.h"

namespace mortise::sim {

// What a request's entry did.
struct Outcome {
  uint64_t index = 0;  // Of the log.
  RpcStatus rpc;
  int64_t revision = 0;
  bool changed = false;  // It made its revision.
  std::string body;      // The response without its header.
};

class Oracle {
 public:
  explicit Oracle(Env* env) : env_(env) {}

  void leads(raft::NodeId member, uint64_t term);
  void votes(raft::NodeId voter, uint64_t term, raft::NodeId candidate);
  void appended(raft::NodeId member, const raft::Entry& entry, std::optional<uint64_t> term_before);
  // `durable`: the index to which the member's log is on its disk, if that matters.
  void applying(raft::NodeId member, const raft::Entry& entry, std::optional<uint64_t> durable);
  void events(raft::NodeId member, const mvcc::EventBatch& batch);
  void state_hash(raft::NodeId member, uint64_t index, uint64_t hash);
  // What a client was told about its request.
  void result(raft::NodeId member, uint64_t request_id, const apply::ApplyResult& result);

  // Called for each lease as it is revoked.
  void on_revoked(std::function<void(int64_t lease)> hook) { on_revoked_ = std::move(hook); }

  // Null while no member has applied the request.
  const Outcome* outcome(uint64_t request_id) const;
  // The pairs of [key, end) at a revision, in the model.
  std::vector<testing::KeyValue> range(const std::string& key, const std::string& end,
                                       int64_t revision) const;
  const testing::Model& model() const { return model_; }
  uint64_t last_index() const { return entries_.size(); }
  // Is the change at this place of the model's history what the event says?
  bool matches(size_t place, const mvcc::Event& event, std::string* difference) const;
  // The first change at or above the revision.
  size_t place_of(int64_t revision) const;

 private:
  struct Place {
    uint64_t term_before = 0;
    uint64_t content = 0;
  };
  void carry_out(const raft::Entry& entry);
  RpcStatus carry_out(const wire::RaftRequest& request, Outcome* outcome);

  Env* const env_;
  std::map<uint64_t, raft::NodeId> leaders_;
  std::map<std::pair<raft::NodeId, uint64_t>, raft::NodeId> votes_;
  std::unordered_map<uint64_t, std::map<uint64_t, Place>> log_;  // By index, then term.
  struct Applied {
    uint64_t term;
    uint64_t content;
  };
  std::vector<Applied> entries_;  // From index 1.
  std::map<uint64_t, std::pair<uint64_t, raft::NodeId>> hashes_;
  testing::Model model_;
  std::function<void(int64_t)> on_revoked_;
  std::unordered_map<uint64_t, Outcome> outcomes_;
};

}  // namespace mortise::sim
