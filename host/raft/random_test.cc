// Random schedules: ticks, proposals, reads, membership changes, late writes and applies, lost,
// doubled and reordered messages, crashes that lose what is not written. Env compares every applied
// entry with all others; here reads are held against what had been applied before they were asked,
// and at the end, with all faults healed, every member must agree and nothing applied may be
// missing.
#include <gtest/gtest.h>

#include <algorithm>

#include "host/raft/membership.h"
#include "host/raft/random.h"
#include "host/raft/test_env.h"

namespace mortise::raft::testing {
namespace {

class Schedule {
 public:
  Schedule(uint64_t seed, const std::vector<NodeId>& voters, NodeId spare)
      : random_(seed), spare_(spare) {
    Env::Options o;
    o.config.election_ticks = 4;
    o.config.pre_vote = random_.below(4) != 0;
    o.config.check_quorum = random_.below(4) != 0;
    o.config.message_entries_bytes_max = 1 + random_.below(400);
    o.config.inflight_messages_max = 1 + static_cast<uint32_t>(random_.below(4));
    o.config.unapplied_bytes_max = 1 + random_.below(500);
    o.config.uncommitted_bytes_max = random_.below(2) == 0 ? 200 : kNoLimit;
    o.early_view = random_.below(2) == 0;
    o.bootstrap = voters;
    for (const NodeId id : voters) add(o, id);
    o.bootstrap.clear();
    if (spare != kNoNode) add(o, spare);
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      const NodeId id = ids_[random_.below(ids_.size())];
      if (env_.alive(id)) {
        act(id);
      } else if (random_.below(8) == 0) {
        restart(id);
      }
    }
  }

  // No more faults; everybody catches up.
  void settle() {
    for (const NodeId id : ids_) {
      env_.cut(id, false);
      if (!env_.alive(id)) restart(id);
    }
    // The transport knows which snapshots did not arrive.
    for (const NodeId id : ids_) {
      for (const NodeId peer : ids_) env_.core(id).report_snapshot(peer, false);
    }
    const uint64_t applied_before = env_.max_applied();
    bool proposed = false;
    for (int round = 0; round < 3000; ++round) {
      for (const NodeId id : ids_) {
        env_.core(id).tick();
        work(id);
        // A fresh snapshot, as the older one may not know of the spare member.
        if (round % 16 == 0 && env_.core(id).basic().applied > 0) env_.compact(id, 0);
      }
      std::deque<Message> now;
      now.swap(env_.network());
      for (const Message& m : now) deliver(m);
      const NodeId leader = settled_leader();
      if (leader == kNoNode) continue;
      if (proposed) {
        EXPECT_GE(env_.core(leader).basic().applied, applied_before);
        return;
      }
      std::string data = "last";
      proposed = env_.core(leader).propose(std::move(data)).ok();
    }
    std::string states;
    for (const NodeId id : ids_) states += describe(env_.core(id).inspect());
    FAIL() << "no agreement after healing\n" << states;
  }

  uint64_t applied() const { return env_.max_applied(); }
  uint64_t reads_answered() const { return reads_answered_; }
  uint64_t crashes() const { return crashes_; }
  const Env& env() const { return env_; }

 private:
  void add(Env::Options o, NodeId id) {
    o.config.id = id;
    o.seed = random_.next();
    ASSERT_TRUE(env_.add(o).ok());
    ids_.push_back(id);
  }

  void act(NodeId id) {
    Core& core = env_.core(id);
    const uint64_t dice = random_.below(1000);
    if (dice < 120) {
      core.tick();
    } else if (dice < 260) {
      std::string data = "p" + std::to_string(++proposals_);
      (void)core.propose(std::move(data)).ok();
    } else if (dice < 300) {
      reads_[{id, ++read_token_}] = env_.max_applied();
      (void)core.read_index(read_token_).ok();
    } else if (dice < 500) {
      take_ready(id);
    } else if (dice < 620) {
      env_.persist(id, 1 + random_.below(3));
    } else if (dice < 720) {
      env_.apply(id, 1 + random_.below(3));
    } else if (dice < 960) {
      move_message();
    } else {
      act_rarely(id, dice - 960);
    }
  }

  void act_rarely(NodeId id, uint64_t dice) {
    Core& core = env_.core(id);
    const BasicState basic = core.basic();
    if (dice < 4) {
      ++crashes_;
      env_.crash(id, basic.applied - random_.below(std::min<uint64_t>(basic.applied, 5) + 1));
    } else if (dice < 7) {
      if (basic.applied > 0) {
        env_.compact(id, basic.applied - random_.below(std::min<uint64_t>(basic.applied, 3)));
      }
    } else if (dice < 10) {
      (void)core.campaign().ok();
    } else if (dice < 12) {
      (void)core.transfer_leadership(ids_[random_.below(ids_.size())]).ok();
    } else if (dice < 18) {
      env_.cut(id, !env_.is_cut(id));
    } else if (dice < 24 && spare_ != kNoNode) {
      change_membership(core);
    } else if (dice < 28) {
      core.report_unreachable(ids_[random_.below(ids_.size())]);
    } else if (dice < 32) {
      core.report_snapshot(ids_[random_.below(ids_.size())], random_.below(2) == 0);
    }
  }

  void change_membership(Core& core) {
    static constexpr ChangeType kTypes[] = {ChangeType::kAddNode, ChangeType::kAddLearner,
                                            ChangeType::kRemoveNode, ChangeType::kUpdateNode};
    MembershipChange change;
    change.v2 = random_.below(2) == 0;
    if (change.v2) change.transition = static_cast<Transition>(random_.below(3));
    if (!change.v2 || random_.below(4) != 0) {
      change.changes.push_back({kTypes[random_.below(4)], spare_});
    }
    (void)core.propose_membership(change).ok();
  }

  void take_ready(NodeId id) {
    const std::optional<Ready> ready = env_.take_ready(id);
    if (!ready) return;
    for (const ReadState& read : ready->read_states) {
      const auto asked = reads_.find({id, read.token});
      ASSERT_NE(asked, reads_.end());
      ASSERT_GE(read.index, asked->second) << "stale read";
      ++reads_answered_;
    }
  }

  void move_message() {
    std::deque<Message>& network = env_.network();
    if (network.empty()) return;
    const size_t at = random_.below(std::min<size_t>(network.size(), 6));
    const Message message = network[at];
    const uint64_t fate = random_.below(20);
    if (fate != 0) network.erase(network.begin() + static_cast<ptrdiff_t>(at));
    if (fate != 1) deliver(message);
  }

  void deliver(const Message& message) {
    const Status status = env_.deliver(message);
    ASSERT_TRUE(status.ok() || status.code() == StatusCode::kDropped)
        << status.message() << ": " << describe(message);
  }

  void work(NodeId id) {
    while (env_.core(id).has_ready()) {
      take_ready(id);
      env_.persist(id, 1000);
      env_.apply(id, 1000);
    }
    env_.persist(id, 1000);
    env_.apply(id, 1000);
    ASSERT_TRUE(env_.apply_error().ok()) << env_.apply_error().message();
  }

  void restart(NodeId id) {
    const Status status = env_.restart(id);
    ASSERT_TRUE(status.ok()) << status.message();
  }

  // A leader with whom all members of its membership agree, at the end of its log.
  NodeId settled_leader() {
    for (const NodeId id : ids_) {
      const BasicState leader = env_.core(id).basic();
      if (leader.role != Role::kLeader || leader.applied != leader.last_index) continue;
      const std::vector<NodeId> members = all_members(env_.conf(id));
      const bool settled = std::all_of(members.begin(), members.end(), [&](NodeId member) {
        const BasicState other = env_.core(member).basic();
        return other.leader == id && other.applied == leader.applied;
      });
      if (settled) return id;
    }
    return kNoNode;
  }

  Random random_;
  NodeId spare_;
  Env env_;
  std::vector<NodeId> ids_;
  std::map<std::pair<NodeId, ReadToken>, uint64_t> reads_;
  ReadToken read_token_ = 0;
  uint64_t proposals_ = 0;
  uint64_t reads_answered_ = 0;
  uint64_t crashes_ = 0;
};

void run_seeds(uint64_t seeds, int steps, const std::vector<NodeId>& voters, NodeId spare) {
  uint64_t applied = 0;
  uint64_t reads = 0;
  uint64_t crashes = 0;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Schedule schedule(seed, voters, spare);
    schedule.run(steps);
    schedule.settle();
    if (::testing::Test::HasFatalFailure() || ::testing::Test::HasNonfatalFailure()) return;
    applied += schedule.applied();
    reads += schedule.reads_answered();
    crashes += schedule.crashes();
  }
  ::testing::Test::RecordProperty("applied", static_cast<int>(applied));
  // The schedules must not be so hostile that nothing happens in them.
  EXPECT_GT(applied, seeds * 20);
  EXPECT_GT(reads, seeds);
  EXPECT_GT(crashes, seeds);
}

TEST(RaftRandomTest, OneVoter) { run_seeds(300, 2000, {1}, kNoNode); }
TEST(RaftRandomTest, ThreeVoters) { run_seeds(200, 4000, {1, 2, 3}, kNoNode); }
TEST(RaftRandomTest, FiveVoters) { run_seeds(80, 6000, {1, 2, 3, 4, 5}, kNoNode); }
TEST(RaftRandomTest, ChangingMembership) { run_seeds(200, 4000, {1, 2, 3}, 4); }

TEST(RaftRandomTest, EqualSeedsGiveEqualHistories) {
  Schedule a(7, {1, 2, 3}, 4);
  Schedule b(7, {1, 2, 3}, 4);
  a.run(20000);
  b.run(20000);
  ASSERT_GT(a.applied(), 5u);
  ASSERT_EQ(a.applied(), b.applied());
  for (const auto& [index, entry] : a.env().applied()) {
    EXPECT_EQ(describe(entry), describe(b.env().applied().at(index)));
  }
}

}  // namespace
}  // namespace mortise::raft::testing
