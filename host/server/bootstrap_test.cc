#include "host/server/bootstrap.h"

#include <gtest/gtest.h>

#include "host/raft/membership_codec.h"
#include "host/server/force_new_cluster.h"
#include "host/server/version_monitor.h"

namespace mortise::server {
namespace {

using membership::Version;

config::InitialMember initial(const std::string& name, const std::string& url) {
  return {name, config::parse_urls({url}).value()};
}

Result<std::string> no_names(const std::string& host) {
  return invalid("lookup " + host + ": no such host");
}

TEST(Bootstrap, FoundersAgree) {
  config::Config config;
  config.initial_cluster = "b=http://127.0.0.1:2,a=http://127.0.0.1:1,c=http://127.0.0.1:3";
  config.initial_cluster_token = "t";
  uint64_t cluster_id = 0;
  for (const char* name : {"a", "b", "c"}) {
    config.name = name;
    std::string url = "http://127.0.0.1:" + std::to_string(name[0] - 'a' + 1);
    config.initial_advertise_peer_urls = config::parse_urls({url}).value();
    auto beginning = found_cluster(config, no_names);
    ASSERT_TRUE(beginning.ok()) << beginning.status().message();
    ASSERT_EQ(beginning->founders.size(), 3u);
    EXPECT_LT(beginning->founders[0].id, beginning->founders[1].id);
    EXPECT_LT(beginning->founders[1].id, beginning->founders[2].id);
    EXPECT_EQ(beginning->member_id, membership::bootstrap_member_id({url}, "t"));
    if (cluster_id == 0) cluster_id = beginning->cluster_id;
    EXPECT_EQ(beginning->cluster_id, cluster_id);
  }
}

TEST(Bootstrap, JoiningTakesTheIdsThatAreThere) {
  FoundCluster found{
      7,
      {{10, "a", {"http://127.0.0.1:1"}, {}, false}, {11, "", {"http://127.0.0.1:2"}, {}, false}}};
  auto matched =
      match_members({initial("b", "http://127.0.0.1:2"), initial("a", "http://127.0.0.1:1")}, found,
                    "t", no_names);
  ASSERT_TRUE(matched.ok()) << matched.status().message();
  EXPECT_EQ((*matched)[0].id, 10u);
  EXPECT_EQ((*matched)[0].name, "a");
  EXPECT_EQ((*matched)[1].id, 11u);
  EXPECT_EQ((*matched)[1].name, "b");
}

TEST(Bootstrap, JoiningNeedsTheSameMembers) {
  FoundCluster found{
      7,
      {{10, "a", {"http://127.0.0.1:1"}, {}, false}, {11, "", {"http://127.0.0.1:2"}, {}, false}}};
  EXPECT_EQ(
      match_members({initial("a", "http://127.0.0.1:1")}, found, "t", no_names).status().message(),
      "member count is unequal");
  auto other =
      match_members({initial("a", "http://127.0.0.1:1"), initial("b", "http://127.0.0.1:9")}, found,
                    "t", no_names);
  EXPECT_NE(other.status().message().find(
                "PeerURLs: no match found for existing member (b, [http://127.0.0.1:2]), last "
                "resolver error (resolved urls: \"http://127.0.0.1:2\" != "),
            std::string::npos)
      << other.status().message();
}

raft::EntryRef change_entry(uint64_t index, raft::ChangeType type, uint64_t node) {
  raft::MembershipChange change;
  change.changes = {{type, node}};
  auto entry = std::make_shared<raft::Entry>();
  *entry = {1, index, raft::EntryType::kConfChange, raft::encode_membership(change)};
  return entry;
}

// "+5" and "-6", with the index in front.
std::string text(const std::vector<raft::Entry>& entries) {
  std::string out;
  for (const raft::Entry& entry : entries) {
    auto change = raft::decode_membership(entry.type, entry.data).value();
    out += " " + std::to_string(entry.index) +
           (change.changes[0].type == raft::ChangeType::kRemoveNode ? "-" : "+") +
           std::to_string(change.changes[0].node);
  }
  return out;
}

TEST(ForceNewCluster, AllOthersAreRemoved) {
  EXPECT_EQ(text(entries_to_stand_alone(5, {{4, 5, 6}, {7}, {}, {}, false}, {}, 9, 3)),
            " 10-4 11-6 12-7");
  EXPECT_EQ(text(entries_to_stand_alone(5, {{5}, {}, {}, {}, false}, {}, 9, 3)), "");
  EXPECT_EQ(text(entries_to_stand_alone(7, {{4}, {7}, {}, {}, false}, {}, 9, 3)), " 10+7 11-4")
      << "a learner begins to vote";
}

TEST(ForceNewCluster, WhatIsNotAppliedCounts) {
  std::vector<raft::EntryRef> unapplied = {
      change_entry(1, raft::ChangeType::kAddNode, 4),
      change_entry(2, raft::ChangeType::kAddNode, 5),
      change_entry(3, raft::ChangeType::kAddNode, 6),
      change_entry(4, raft::ChangeType::kRemoveNode, 4),
      change_entry(5, raft::ChangeType::kAddNode, raft::kNoNode)};
  EXPECT_EQ(text(entries_to_stand_alone(5, {}, unapplied, 5, 3)), " 6-6");
}

TEST(VersionMonitor, OnlyTheLeaderActs) {
  bool leads = false;
  std::optional<Version> cluster, target;
  std::vector<std::optional<Version>> servers = {membership::kOwnVersion, std::nullopt};
  int ended = 0;
  VersionMonitorHooks hooks;
  hooks.leads = [&] { return leads; };
  hooks.servers = [&] { return servers; };
  hooks.cluster_version = [&] { return cluster; };
  hooks.downgrade_target = [&] { return target; };
  hooks.set_cluster_version = [&](Version version) { cluster = version; };
  hooks.end_downgrade = [&] { ++ended; };
  VersionMonitor monitor(hooks, std::chrono::seconds(5));
  monitor.update_cluster_version();
  EXPECT_FALSE(cluster);
  leads = true;
  monitor.update_cluster_version();
  EXPECT_EQ(cluster, membership::kOldestVersion);
  servers[1] = membership::kOwnVersion;
  monitor.update_cluster_version();
  EXPECT_EQ(cluster, membership::kOwnVersion);
  target = Version{3, 6};
  monitor.update_cluster_version();
  EXPECT_EQ(cluster, target);
  monitor.end_downgrade_if_reached();
  EXPECT_EQ(ended, 0);
  servers = {target, target};
  monitor.end_downgrade_if_reached();
  EXPECT_EQ(ended, 1);
}

}  // namespace
}  // namespace mortise::server
