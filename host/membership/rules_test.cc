#include "host/membership/rules.h"

#include "gtest/gtest.h"

namespace mortise::membership {
namespace {

// Voters 1 to `started` that have started, then such that have not.
Roster voters(uint64_t started, uint64_t not_started = 0) {
  Roster roster;
  for (uint64_t id = 1; id <= started + not_started; ++id) {
    std::string url = "http://m" + std::to_string(id) + ":1";
    roster.members[id] = {id, id <= started ? "name" : "", {url}, {}, false};
  }
  return roster;
}

Member newcomer(uint64_t id, bool is_learner = false) {
  return {id, "", {"http://new:" + std::to_string(id)}, {}, is_learner};
}

std::string message(const RpcStatus& status) { return status.message(); }

TEST(Rules, WhatIsAddedMustBeNew) {
  Roster roster = voters(2);
  roster.removed.insert(9);
  EXPECT_TRUE(check_add(roster, newcomer(7), 1).ok());
  EXPECT_EQ(message(check_add(roster, newcomer(9), 1)), "etcdserver: member not found");
  EXPECT_EQ(message(check_add(roster, newcomer(2), 1)), "etcdserver: member ID already exist");
  Member twin = newcomer(7);
  twin.peer_urls.push_back("http://m2:1");
  EXPECT_EQ(message(check_add(roster, twin, 1)), "etcdserver: Peer URLs already exists");
}

TEST(Rules, LearnersAreFew) {
  Roster roster = voters(2);
  EXPECT_TRUE(check_add(roster, newcomer(7, true), 1).ok());
  EXPECT_FALSE(check_add(roster, newcomer(7, true), 0).ok());
  roster.members[7] = newcomer(7, true);
  EXPECT_EQ(message(check_add(roster, newcomer(8, true), 1)),
            "etcdserver: too many learner members in cluster");
  EXPECT_TRUE(check_add(roster, newcomer(8, true), 2).ok());
  EXPECT_TRUE(check_add(roster, newcomer(8), 1).ok()) << "a voter is no learner";
}

TEST(Rules, PromoteUpdateRemove) {
  Roster roster = voters(2);
  roster.members[7] = newcomer(7, true);
  roster.removed.insert(9);
  EXPECT_TRUE(check_promote(roster, 7).ok());
  EXPECT_EQ(message(check_promote(roster, 1)), "etcdserver: can only promote a learner member");
  for (uint64_t unknown : {8, 9}) {
    EXPECT_EQ(message(check_promote(roster, unknown)), "etcdserver: member not found");
    EXPECT_EQ(message(check_remove(roster, unknown)), "etcdserver: member not found");
    EXPECT_EQ(message(check_update(roster, newcomer(unknown))), "etcdserver: member not found");
  }
  Member moved = roster.members[1];
  EXPECT_TRUE(check_update(roster, moved).ok()) << "its own URLs are no obstacle";
  moved.peer_urls = {"http://m2:1"};
  EXPECT_EQ(message(check_update(roster, moved)), "etcdserver: Peer URLs already exists");
}

TEST(Rules, StartedVotersKeepTheMajority) {
  const struct {
    uint64_t started, not_started;
    bool add, remove_started, promote;
  } kTests[] = {
      {1, 0, true, false, true},  // Growing from one member is always allowed.
      {1, 1, false, false, true}, {2, 0, true, true, true},    {2, 1, false, false, true},
      {3, 0, true, true, true},   {3, 1, true, true, true},    {3, 2, false, false, true},
      {5, 0, true, true, true},   {1, 2, false, false, false},
  };
  for (const auto& test : kTests) {
    Roster roster = voters(test.started, test.not_started);
    SCOPED_TRACE(std::to_string(test.started) + "+" + std::to_string(test.not_started));
    EXPECT_EQ(can_add_voter(roster), test.add);
    EXPECT_EQ(can_remove_voter(roster, 1), test.remove_started);
    EXPECT_EQ(can_promote(roster), test.promote);
  }
  Roster with_learner = voters(1);
  with_learner.members[7] = newcomer(7, true);
  EXPECT_TRUE(can_add_voter(with_learner));
}

TEST(Rules, ConnectedVotersKeepTheMajority) {
  EXPECT_TRUE(is_safe_to_add(1, 1));
  EXPECT_TRUE(is_safe_to_add(2, 2));
  EXPECT_FALSE(is_safe_to_add(2, 1));
  EXPECT_TRUE(is_safe_to_add(3, 3));
  EXPECT_FALSE(is_safe_to_add(3, 2)) << "the fourth member could be down, too";
  EXPECT_TRUE(is_safe_to_add(4, 3));
  EXPECT_TRUE(is_safe_to_add(5, 4));
  EXPECT_FALSE(is_safe_to_add(5, 3));
  EXPECT_TRUE(is_safe_to_remove(3, 3));
  EXPECT_FALSE(is_safe_to_remove(3, 2));
  EXPECT_TRUE(is_safe_to_remove(5, 4));
  EXPECT_FALSE(is_safe_to_remove(5, 3));
  EXPECT_FALSE(is_safe_to_remove(0, 0));
}

}  // namespace
}  // namespace mortise::membership
