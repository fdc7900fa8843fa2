// The parts of the core that are functions of their own: the in-memory log, memberships and their
// encoding, windows; and the interface's refusals.
#include <gtest/gtest.h>

#include "host/raft/core.h"
#include "host/raft/membership.h"
#include "host/raft/membership_codec.h"
#include "host/raft/memory_log.h"
#include "host/raft/progress.h"

namespace mortise::raft {
namespace {

EntryRef entry(uint64_t term, uint64_t index, std::string data = "d") {
  return std::make_shared<const Entry>(Entry{term, index, EntryType::kNormal, std::move(data)});
}

TEST(MemoryLogTest, AppendReplacesAndCompactKeepsTheTerm) {
  MemoryLog log;
  ASSERT_TRUE(log.append({entry(1, 1), entry(1, 2), entry(2, 3)}).ok());
  EXPECT_EQ(log.first_index(), 1u);
  EXPECT_EQ(log.last_index(), 3u);
  EXPECT_EQ(log.bytes(), 3 * (1 + kEntryOverheadBytes));
  ASSERT_TRUE(log.append({entry(3, 2)}).ok());
  EXPECT_EQ(log.last_index(), 2u);
  EXPECT_EQ(log.term(2), 3u);
  EXPECT_EQ(log.term(3), std::nullopt);
  log.compact(2);
  EXPECT_EQ(log.first_index(), 3u);
  EXPECT_EQ(log.term(2), 3u);
  EXPECT_EQ(log.term(1), std::nullopt);
  EXPECT_EQ(log.bytes(), 0u);
  log.compact(1);
  EXPECT_EQ(log.first_index(), 3u);
  log.reset(10, 4);
  EXPECT_EQ(log.first_index(), 11u);
  EXPECT_EQ(log.last_index(), 10u);
  EXPECT_EQ(log.term(10), 4u);
}

TEST(MemoryLogTest, RefusesWhatDoesNotFollow) {
  MemoryLog log(5, 2);
  EXPECT_FALSE(log.append({entry(2, 7)}).ok());
  EXPECT_FALSE(log.append({entry(2, 5)}).ok());
  EXPECT_FALSE(log.append({entry(1, 6)}).ok());
  EXPECT_FALSE(log.append({entry(2, 6), entry(2, 8)}).ok());
  EXPECT_FALSE(log.append({entry(3, 6), entry(2, 7)}).ok());
  EXPECT_EQ(log.last_index(), 5u);
  EXPECT_TRUE(log.append({entry(2, 6), entry(3, 7)}).ok());
}

TEST(MemoryLogTest, EntriesAreBoundedByBytesButGiveOne) {
  MemoryLog log;
  ASSERT_TRUE(log.append({entry(1, 1), entry(1, 2), entry(1, 3)}).ok());
  const uint64_t one = 1 + kEntryOverheadBytes;
  for (const auto& [bytes, count] :
       std::vector<std::pair<uint64_t, size_t>>{{0, 1}, {one, 1}, {2 * one, 2}, {kNoLimit, 3}}) {
    std::vector<EntryRef> out;
    ASSERT_TRUE(log.entries(1, 4, bytes, &out));
    EXPECT_EQ(out.size(), count) << bytes;
  }
  std::vector<EntryRef> out;
  EXPECT_FALSE(log.entries(1, 5, kNoLimit, &out));
  log.compact(1);
  EXPECT_FALSE(log.entries(1, 3, kNoLimit, &out));
  EXPECT_TRUE(out.empty());
}

TEST(MembershipTest, QuorumNeedsBothHalves) {
  const std::map<NodeId, uint64_t> match{{1, 9}, {2, 5}, {3, 7}, {4, 1}, {5, 2}};
  const auto value_of = [&](NodeId id) { return match.at(id); };
  EXPECT_EQ(quorum_value({}, value_of), 0u);
  EXPECT_EQ(quorum_value({.voters = {1}}, value_of), 9u);
  EXPECT_EQ(quorum_value({.voters = {1, 2}}, value_of), 5u);
  EXPECT_EQ(quorum_value({.voters = {1, 2, 3}}, value_of), 7u);
  EXPECT_EQ(quorum_value({.voters = {1, 2, 3, 4}}, value_of), 5u);
  EXPECT_EQ(quorum_value({.voters = {1, 2, 3, 4, 5}}, value_of), 5u);
  EXPECT_EQ(quorum_value({.voters = {1, 2, 3}, .voters_outgoing = {3, 4, 5}}, value_of), 2u);
  const ConfState joint{.voters = {1, 2, 3}, .voters_outgoing = {3, 4, 5}};
  EXPECT_EQ(tally(joint, {{1, true}, {2, true}}), VoteResult::kPending);
  EXPECT_EQ(tally(joint, {{1, true}, {2, true}, {4, false}, {5, false}}), VoteResult::kLost);
  EXPECT_EQ(tally(joint, {{1, true}, {3, true}, {4, true}}), VoteResult::kWon);
  EXPECT_EQ(tally({.voters = {1, 2}}, {{1, true}, {2, false}}), VoteResult::kLost);
}

TEST(MembershipTest, Changes) {
  const auto v1 = [](ChangeType type, NodeId id) {
    MembershipChange change;
    change.changes.push_back({type, id});
    return change;
  };
  const ConfState start{.voters = {1, 2}, .learners = {3}};
  EXPECT_EQ(changed(start, v1(ChangeType::kAddNode, 3)).value(), (ConfState{.voters = {1, 2, 3}}));
  EXPECT_EQ(changed(start, v1(ChangeType::kAddLearner, 2)).value(),
            (ConfState{.voters = {1}, .learners = {2, 3}}));
  EXPECT_EQ(changed(start, v1(ChangeType::kRemoveNode, 3)).value(), (ConfState{.voters = {1, 2}}));
  EXPECT_EQ(changed(start, v1(ChangeType::kRemoveNode, 9)).value(), start);
  EXPECT_EQ(changed(start, v1(ChangeType::kUpdateNode, 1)).value(), start);
  EXPECT_EQ(changed(start, v1(ChangeType::kAddNode, kNoNode)).value(), start);
  EXPECT_FALSE(changed({.voters = {1}}, v1(ChangeType::kRemoveNode, 1)).ok());

  MembershipChange joint;
  joint.v2 = true;
  joint.changes = {{ChangeType::kAddNode, 3}, {ChangeType::kAddLearner, 1}};
  const ConfState in_joint = changed(start, joint).value();
  EXPECT_EQ(
      in_joint,
      (ConfState{
          .voters = {2, 3}, .voters_outgoing = {1, 2}, .learners_next = {1}, .auto_leave = true}));
  EXPECT_FALSE(changed(in_joint, joint).ok());
  EXPECT_FALSE(changed(in_joint, v1(ChangeType::kAddNode, 4)).ok());
  MembershipChange leave;
  leave.v2 = true;
  EXPECT_EQ(changed(in_joint, leave).value(), (ConfState{.voters = {2, 3}, .learners = {1}}));
  EXPECT_FALSE(changed(start, leave).ok());
}

TEST(MembershipCodecTest, BytesAndRoundTrip) {
  MembershipChange change;
  change.changes.push_back({ChangeType::kAddLearner, 0x8e9e05c52164694d});
  change.context = "ctx";
  const std::string bytes = encode_membership(change);
  EXPECT_EQ(bytes, std::string("\x10\x03\x18\xcd\xd2\x91\x8b\xd2\xb8\x81\xcf\x8e\x01\x22\x03"
                               "ctx"));
  change.id = 300;
  const MembershipChange back =
      decode_membership(EntryType::kConfChange, encode_membership(change)).value();
  EXPECT_EQ(back.id, 300u);
  EXPECT_EQ(back.context, "ctx");
  ASSERT_EQ(back.changes.size(), 1u);
  EXPECT_EQ(back.changes[0].node, change.changes[0].node);
  EXPECT_EQ(back.changes[0].type, ChangeType::kAddLearner);

  MembershipChange v2;
  v2.v2 = true;
  v2.transition = Transition::kJointExplicit;
  v2.changes = {{ChangeType::kAddNode, 1}, {ChangeType::kRemoveNode, 2}};
  const MembershipChange back2 =
      decode_membership(EntryType::kConfChangeV2, encode_membership(v2)).value();
  EXPECT_EQ(back2.transition, Transition::kJointExplicit);
  ASSERT_EQ(back2.changes.size(), 2u);
  EXPECT_EQ(back2.changes[1].type, ChangeType::kRemoveNode);
  EXPECT_TRUE(leaves_joint(decode_membership(EntryType::kConfChangeV2, "").value()));
}

TEST(MembershipCodecTest, RefusesMalformedBytes) {
  MembershipChange change;
  change.changes.push_back({ChangeType::kAddNode, 1234567});
  change.context = "context";
  const std::string bytes = encode_membership(change);
  for (size_t size = 0; size < bytes.size(); ++size) {
    // A cut between two fields is a valid, shorter message; none may crash or read beyond the end.
    (void)decode_membership(EntryType::kConfChange, bytes.substr(0, size)).ok();
    (void)decode_membership(EntryType::kConfChangeV2, bytes.substr(0, size)).ok();
  }
  for (const std::string& bad :
       {std::string("\x10"), std::string("\x10\x04"), std::string("\x22\x05z"), std::string("\x0b"),
        std::string("\xff\xff\xff\xff\xff\xff"), std::string("\0", 1)}) {
    EXPECT_FALSE(decode_membership(EntryType::kConfChange, bad).ok());
  }
  EXPECT_FALSE(decode_membership(EntryType::kNormal, bytes).ok());
  // Unknown fields are skipped.
  EXPECT_TRUE(decode_membership(EntryType::kConfChange, bytes + "\x78\x01\x7a\x01z").ok());
}

TEST(InflightsTest, WindowIsBoundedByMessagesAndBytes) {
  Inflights window(3, 100);
  window.add(5, 10);
  window.add(7, 20);
  EXPECT_FALSE(window.full());
  window.add(9, 1);
  EXPECT_TRUE(window.full());
  window.free_to(4);
  EXPECT_EQ(window.count(), 3u);
  window.free_to(8);
  EXPECT_EQ(window.count(), 1u);
  window.add(10, 99);
  EXPECT_TRUE(window.full());
  window.clear();
  EXPECT_FALSE(window.full());
}

TEST(CoreTest, RefusesBadConfigs) {
  const MemoryLog log;
  const auto refused = [&](Config config) {
    return Core::create(config, log, 1).status().code() == StatusCode::kInvalid;
  };
  EXPECT_TRUE(refused(Config{}));
  EXPECT_TRUE(refused(Config{.id = 1, .heartbeat_ticks = 0}));
  EXPECT_TRUE(refused(Config{.id = 1, .election_ticks = 1}));
  EXPECT_TRUE(refused(Config{.id = 1, .inflight_messages_max = 0}));
}

TEST(CoreTest, ADroppedProposalIsUntouchedAndAnEmptyOneIsRefused) {
  MemoryLog log;
  log.set_conf_state({.voters = {1}});
  Core core = Core::create(Config{.id = 1}, log, 1).value();
  std::string data = "data";
  EXPECT_EQ(core.propose(std::move(data)).code(), StatusCode::kDropped);
  EXPECT_EQ(data, "data");
  EXPECT_EQ(core.propose(std::string()).code(), StatusCode::kInvalid);
  EXPECT_TRUE(core.propose(std::span<std::string>()).ok());
}

TEST(CoreTest, ALoneVoterElectsItselfByTicks) {
  MemoryLog log;
  log.set_conf_state({.voters = {1}});
  const Config config{.id = 1};
  Core core = Core::create(config, log, 42).value();
  for (uint32_t i = 0; i < 2 * config.election_ticks && !core.has_ready(); ++i) core.tick();
  ASSERT_TRUE(core.has_ready());
  core.advance({.persisted = core.ready().number, .applied = {}});
  EXPECT_EQ(core.basic().role, Role::kLeader);
}

TEST(CoreDeathTest, WrongAcknowledgementsAreBugs) {
  MemoryLog log;
  log.set_conf_state({.voters = {1}});
  Core core = Core::create(Config{.id = 1}, log, 1).value();
  EXPECT_DEATH((void)core.ready(), "has_ready");
  EXPECT_DEATH(core.advance({.persisted = 1, .applied = {}}), "persisted Ready 1 outside");
  EXPECT_DEATH(core.advance({.persisted = {}, .applied = 1}), "applied index out of range");
  ASSERT_TRUE(core.campaign().ok());
  core.advance({.persisted = core.ready().number, .applied = {}});
  const Ready ready = core.ready();
  ASSERT_EQ(ready.entries.size(), 1u);
  // Acknowledged without being in the log.
  EXPECT_DEATH(core.advance({.persisted = ready.number, .applied = {}}), "not in the log");
}

}  // namespace
}  // namespace mortise::raft
