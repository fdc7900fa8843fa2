// Replicas over a network and disks in memory, driven by hand: what goes out before a write is
// durable, what waits for it, and what a leader does whose disk stands still.
#include "host/replica/replica.h"

#include <functional>
#include <map>

#include "gtest/gtest.h"

namespace mortise::replica {
namespace {

using raft::Message;
using raft::MessageType;
using raft::NodeId;

struct Write {
  uint64_t number = 0;
  std::optional<wal::SnapshotMark> mark;
  uint64_t first = 0, last = 0;  // Of the entries.
};

class Member : public Surroundings {
 public:
  Member(NodeId id, const std::vector<NodeId>& voters, std::unique_ptr<raft::MemoryLog> log = {},
         uint64_t applied = 0)
      : id_(id) {
    if (log == nullptr) {
      log = std::make_unique<raft::MemoryLog>();
      raft::ConfState conf;
      conf.voters = voters;
      log->set_conf_state(conf);
    }
    applied_ = applied;
    Options options;
    options.core.id = id;
    options.core.applied = applied;
    options.seed = id;
    options.catchup_entries = 10;
    replica = std::move(Replica::create(options, std::move(log), this)).value();
  }

  Status submit(const wal::WriteRequest& request) override {
    Write write{request.number, request.snapshot};
    if (!request.entries.empty()) {
      write.first = request.entries.front().index;
      write.last = request.entries.back().index;
    }
    writes.push_back(write);
    return Status();
  }
  void defer_hard_state(const wal::HardState&) override {}
  void send(std::vector<Message> messages) override {
    for (Message& message : messages) sent.push_back(std::move(message));
  }
  void committed(std::vector<raft::EntryRef> entries) override {
    for (const raft::EntryRef& entry : entries) {
      EXPECT_EQ(entry->index, applied_ + 1);
      applied_ = entry->index;
      if (!entry->data.empty()) state += entry->data;
    }
  }
  void install(raft::SnapshotRef snapshot) override {
    applied_ = snapshot->index;
    state = snapshot->data;
    ++installed;
  }
  void read_states(const std::vector<raft::ReadState>& states) override {
    for (const raft::ReadState& read : states) reads.push_back(read);
  }
  void soft_state(const raft::SoftState&, uint64_t) override {}
  void disk_stalled(NodeId to) override { handed_to.push_back(to); }

  void work() {
    ASSERT_TRUE(replica->work().ok());
    if (!stalled && !writes.empty()) {
      persisted.insert(persisted.end(), writes.begin(), writes.end());
      replica->persisted(writes.back().number);
      writes.clear();
    }
    if (applied_ > replica->basic().applied) replica->applied(applied_);
  }
  bool leads() const { return replica->basic().role == raft::Role::kLeader; }
  size_t count_sent(MessageType type) const {
    return static_cast<size_t>(
        std::ranges::count_if(sent, [&](const Message& m) { return m.type == type; }));
  }

  std::unique_ptr<Replica> replica;
  bool stalled = false;
  std::vector<Write> writes;     // On their way to the disk.
  std::vector<Write> persisted;  // There.
  std::vector<Message> sent;     // Not delivered yet.
  std::vector<raft::ReadState> reads;
  std::vector<NodeId> handed_to;
  std::string state;
  int installed = 0;

 private:
  const NodeId id_;
  uint64_t applied_ = 0;
};

class ReplicaTest : public ::testing::Test {
 protected:
  ReplicaTest() {
    for (NodeId id : {1, 2, 3}) members_.emplace(id, std::make_unique<Member>(id, kVoters));
  }
  Member& at(NodeId id) { return *members_.at(id); }

  // Until nothing moves any more.
  void settle() {
    for (bool moved = true; moved;) {
      moved = false;
      for (auto& [id, member] : members_) {
        while (member->replica->has_work() || (!member->stalled && !member->writes.empty())) {
          member->work();
          moved = true;
        }
        for (Message& message : std::exchange(member->sent, {})) {
          moved = true;
          deliver(id, std::move(message));
        }
      }
    }
  }
  void deliver(NodeId from, Message message) {
    auto to = members_.find(message.to);
    if (to == members_.end() || cut_.contains(from) || cut_.contains(message.to)) return;
    if (message.type == MessageType::kSnap) {
      auto snapshot = std::make_shared<raft::Snapshot>(*message.snapshot);
      snapshot->data = at(from).state;
      message.snapshot = snapshot;
    }
    ASSERT_TRUE(to->second->replica->step(std::move(message)).ok());
  }
  void elect(NodeId id) {
    ASSERT_TRUE(at(id).replica->campaign().ok());
    settle();
    ASSERT_TRUE(at(id).leads());
  }
  void tick(int count) {
    for (int i = 0; i < count; ++i) {
      for (auto& [id, member] : members_) member->replica->tick();
      settle();
    }
  }

  const std::vector<NodeId> kVoters{1, 2, 3};
  std::map<NodeId, std::unique_ptr<Member>> members_;
  std::set<NodeId> cut_;
};

TEST_F(ReplicaTest, FollowersGetEntriesWhileTheLeadersDiskIsBusy) {
  elect(1);
  at(1).stalled = true;
  ASSERT_TRUE(at(1).replica->propose("a").ok());
  settle();
  EXPECT_EQ(at(2).state, "a");
  EXPECT_EQ(at(3).state, "a");
  EXPECT_EQ(at(1).state, "") << "applied before it was durable here";
  at(1).stalled = false;
  settle();
  EXPECT_EQ(at(1).state, "a");
}

TEST_F(ReplicaTest, AcknowledgementsWaitForTheDisk) {
  elect(1);
  at(2).stalled = at(3).stalled = true;
  ASSERT_TRUE(at(1).replica->propose("a").ok());
  settle();
  EXPECT_EQ(at(1).state, "");
  EXPECT_EQ(at(2).writes.size(), 1u);
  at(2).stalled = false;
  settle();
  EXPECT_EQ(at(1).state, "a");
}

TEST_F(ReplicaTest, OneAcknowledgementCoversAllThatOneWriteMadeDurable) {
  elect(1);
  at(2).stalled = at(3).stalled = true;
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(at(1).replica->propose("a").ok());
    settle();
  }
  ASSERT_EQ(at(2).writes.size(), 5u);
  at(2).stalled = false;
  at(2).work();
  EXPECT_EQ(at(2).count_sent(MessageType::kAppResp), 1u);
  settle();
  EXPECT_EQ(at(1).state, "aaaaa");
}

TEST_F(ReplicaTest, VotesAndRequestsForThemWaitForTheDisk) {
  at(1).stalled = true;
  ASSERT_TRUE(at(1).replica->campaign().ok());
  settle();
  EXPECT_EQ(at(1).replica->basic().role, raft::Role::kCandidate);
  EXPECT_EQ(at(2).replica->basic().vote, raft::kNoNode);
  at(1).stalled = false;
  at(2).stalled = at(3).stalled = true;
  settle();
  EXPECT_FALSE(at(1).leads());
  EXPECT_EQ(at(2).replica->basic().vote, 1u);
  at(2).stalled = false;
  settle();
  EXPECT_TRUE(at(1).leads());
}

TEST_F(ReplicaTest, ALeaderWithAStalledDiskHandsOver) {
  elect(1);
  at(1).stalled = true;
  ASSERT_TRUE(at(1).replica->propose("a").ok());
  settle();
  tick(10);
  EXPECT_TRUE(at(1).leads());
  tick(1);
  EXPECT_FALSE(at(1).leads());
  ASSERT_EQ(at(1).handed_to.size(), 1u);
  NodeId next = at(1).handed_to[0];
  EXPECT_TRUE(at(next).leads());
  ASSERT_TRUE(at(next).replica->propose("b").ok());
  settle();
  EXPECT_EQ(at(next).state, "ab");
  EXPECT_EQ(at(1).state, "");
  at(1).stalled = false;
  settle();
  tick(1);
  EXPECT_EQ(at(1).state, "ab");
}

TEST_F(ReplicaTest, ASnapshotIsInstalledOnceItsMarkIsDurable) {
  elect(1);
  cut_ = {3};
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(at(1).replica->propose("x").ok());
    settle();
  }
  tick(25);  // Until the leader has taken the member for gone, and keeps nothing for it.
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(at(1).replica->propose("x").ok());
    settle();
  }
  ASSERT_GT(at(1).replica->log().first_index(), 100u);
  cut_.clear();
  at(3).stalled = true;
  tick(3);
  ASSERT_EQ(at(3).writes.size(), 1u);
  ASSERT_TRUE(at(3).writes[0].mark);
  EXPECT_TRUE(at(3).writes[0].mark->replaces_log);
  EXPECT_EQ(at(3).installed, 0);
  at(3).stalled = false;
  settle();
  EXPECT_EQ(at(3).installed, 1);
  ASSERT_TRUE(at(1).replica->propose("y").ok());
  settle();
  EXPECT_EQ(at(3).state, at(1).state);
  EXPECT_EQ(at(3).state.back(), 'y');
}

TEST_F(ReplicaTest, EntriesOfALostLeaderAreReplacedAfterARestart) {
  elect(1);
  cut_ = {1};
  ASSERT_TRUE(at(1).replica->propose("lost").ok());
  settle();
  // Started anew from what its log holds: the entry is there, above the commit index.
  const raft::MemoryLog& old = at(1).replica->log();
  auto log = std::make_unique<raft::MemoryLog>();
  std::vector<raft::EntryRef> entries;
  ASSERT_TRUE(old.entries(1, old.last_index() + 1, raft::kNoLimit, &entries));
  ASSERT_TRUE(log->append(entries).ok());
  log->set_hard_state(old.initial_hard_state());
  log->set_conf_state(old.initial_conf_state());
  members_[1] = std::make_unique<Member>(1, kVoters, std::move(log));
  tick(15);
  ASSERT_TRUE(at(2).replica->campaign().ok());
  settle();
  NodeId next = at(2).leads() ? 2 : 3;
  ASSERT_TRUE(at(next).replica->propose("kept").ok());
  settle();
  cut_.clear();
  tick(3);
  EXPECT_EQ(at(next).state, "kept");
  EXPECT_EQ(at(1).state, "kept");
}

TEST_F(ReplicaTest, ReadsOfAFollowerAreAnsweredThroughTheLeader) {
  elect(1);
  ASSERT_TRUE(at(1).replica->propose("a").ok());
  settle();
  ASSERT_TRUE(at(2).replica->read_index(77).ok());
  settle();
  ASSERT_EQ(at(2).reads.size(), 1u);
  EXPECT_EQ(at(2).reads[0].token, 77u);
  EXPECT_EQ(at(2).reads[0].index, at(1).replica->basic().committed);
}

TEST_F(ReplicaTest, AFollowersProposalsGoToTheLeaderTogether) {
  elect(1);
  std::vector<std::string> batch{"a", "b", "c"};
  ASSERT_TRUE(at(2).replica->propose(std::span<std::string>(batch)).ok());
  at(2).work();
  EXPECT_EQ(at(2).count_sent(MessageType::kProp), 1u);
  settle();
  EXPECT_EQ(at(3).state, "abc");
}

}  // namespace
}  // namespace mortise::replica
