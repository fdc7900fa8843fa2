// Authentication on three members: what one decides all do, tokens count everywhere, and members
// that come late or anew know the users.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/e2e/auth_env.h"
#include "tests/lib/cluster.h"

namespace mortise::testing {
namespace {

namespace pb = ::etcdserverpb;

class AuthClusterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ClusterOptions options;
    options.flags = kAuthFlags;
    options.flags.insert(options.flags.end(), {"--snapshot-catchup-entries=10"});
    options.in_memory = true;
    cluster_ = std::make_unique<Cluster>(cluster_targets("rocksdb,lmdb,rocksdb"), options);
    Status status = cluster_->start();
    ASSERT_TRUE(status.ok()) << status.message();
    for (size_t i = 0; i < 3; ++i) {
      clients_.push_back(std::make_unique<AuthClient>(cluster_->endpoint(i)));
    }
    clients_[0]->enable_with_root();
    clients_[0]->add_user_with_range("alice", "a", "b");
  }

  size_t find_leader() {
    std::optional<size_t> found;
    bool there = Cluster::wait_for([&] {
      for (size_t i = 0; i < 3 && !found; ++i) {
        AuthClient root(cluster_->endpoint(i));
        if (root.login("root", "rootpw") != "OK") continue;
        pb::StatusResponse status;
        root.call(root.plain().maintenance(), &pb::Maintenance::Stub::Status, pb::StatusRequest(),
                  &status);
        bool leads = status.leader() != 0 && status.leader() == status.header().member_id();
        if (leads) found = i;
      }
      return found.has_value();
    });
    EXPECT_TRUE(there);
    return found.value_or(0);
  }

  std::unique_ptr<Cluster> cluster_;
  std::vector<std::unique_ptr<AuthClient>> clients_;
};

// A token is of use at once at a member that may not have applied the login yet.
TEST_F(AuthClusterTest, TokensCountAtEveryMemberAtOnce) {
  AuthClient alice(cluster_->endpoint(1));
  for (int round = 0; round < 20; ++round) {
    ASSERT_EQ(alice.login("alice", "pw"), "OK");
    for (auto& client : clients_) {
      client->set_token(alice.token());
      ASSERT_EQ(client->put("a" + std::to_string(round)), "OK");
      ASSERT_EQ(client->put("b"), kDenied);
      ASSERT_EQ(client->range("a1"), "OK");
      AuthWatch watch(client.get());
      ASSERT_EQ(watch.create("a", "b"), "created");
    }
  }
}

// Who has seen a grant acknowledged by one member is not refused by another one.
TEST_F(AuthClusterTest, AGrantCountsAtEveryMemberAtOnce) {
  AuthClient root(cluster_->endpoint(0));
  ASSERT_EQ(root.login("root", "rootpw"), "OK");
  AuthClient alice(cluster_->endpoint(2));
  for (int round = 0; round < 20; ++round) {
    ASSERT_EQ(root.grant("alice", authpb::Permission::READWRITE, "x"), "OK");
    ASSERT_EQ(alice.login("alice", "pw"), "OK");
    for (auto& client : clients_) {
      client->set_token(alice.token());
      std::string status = client->put("x");
      ASSERT_TRUE(status == "OK") << status;
    }
    ASSERT_EQ(root.revoke("alice", "x"), "OK");
    for (auto& client : clients_) {
      std::string status = client->put("x");
      ASSERT_TRUE(status == kDenied || status == "3 etcdserver: revision of auth store is old")
          << status;
    }
  }
}

TEST_F(AuthClusterTest, UsersOutliveALeaderAndARestart) {
  size_t leader = find_leader();
  cluster_->kill(leader);
  size_t other = (leader + 1) % 3;
  AuthClient alice(cluster_->endpoint(other));
  ASSERT_TRUE(Cluster::wait_for([&] { return alice.login("alice", "pw") == "OK"; }));
  EXPECT_EQ(alice.put("a1"), "OK");
  EXPECT_EQ(alice.put("b1"), kDenied);
  ASSERT_TRUE(cluster_->start(leader).ok());
  AuthClient again(cluster_->endpoint(leader));
  again.set_token(alice.token());
  // It may have the login from its log, or not need to: who knows the users gives either answer.
  std::string status = again.put("a2");
  EXPECT_TRUE(status == "OK" || status == kBadToken) << status;
  ASSERT_TRUE(Cluster::wait_for([&] { return again.login("alice", "pw") == "OK"; }));
  EXPECT_EQ(again.put("a2"), "OK");
  EXPECT_EQ(again.put("b2"), kDenied);
}

// A member that gets a snapshot has the users of the snapshot.
TEST_F(AuthClusterTest, UsersComeWithASnapshot) {
  size_t leader = find_leader();
  size_t behind = (leader + 1) % 3;
  cluster_->kill(behind);
  AuthClient root(cluster_->endpoint(leader));
  ASSERT_EQ(root.login("root", "rootpw"), "OK");
  root.add_user_with_range("bob", "b", "c");
  ASSERT_EQ(root.delete_user("alice"), "OK");
  // A leader keeps entries for members that were there a moment ago.
  std::this_thread::sleep_for(std::chrono::seconds(3));
  for (int i = 0; i < 200; ++i) ASSERT_EQ(root.put("k" + std::to_string(i)), "OK");
  ASSERT_TRUE(cluster_->start(behind).ok());
  AuthClient client(cluster_->endpoint(behind));
  ASSERT_TRUE(Cluster::wait_for([&] { return client.login("bob", "pw") == "OK"; }));
  EXPECT_NE(cluster_->node(behind).log().find("\"applied snapshot\""), std::string::npos);
  EXPECT_EQ(client.put("b1"), "OK");
  EXPECT_EQ(client.put("c1"), kDenied);
  EXPECT_EQ(client.login("alice", "pw"),
            "3 etcdserver: authentication failed, invalid user ID or password");
}

}  // namespace
}  // namespace mortise::testing
