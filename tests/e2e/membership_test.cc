// Members come, go, move and are replaced, while the cluster runs.
//
// By hand: MORTISE_CLUSTER_TARGETS names other members, such as "/opt/etcd,/opt/etcd,/opt/etcd".
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/lib/cluster.h"

namespace mortise::testing {
namespace {

namespace pb = ::etcdserverpb;
using ::testing::HasSubstr;
using ::testing::Not;
using ClusterStub = pb::Cluster::Stub;

size_t count_of(const std::string& what, const std::string& text) {
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

class MembershipTest : public ::testing::Test {
 protected:
  void start() {
    const char* wanted = std::getenv("MORTISE_CLUSTER_TARGETS");
    targets_ = cluster_targets(wanted == nullptr ? "mixed" : wanted);
    cluster_ = std::make_unique<Cluster>(targets_, ClusterOptions{.flags = {}, .in_memory = true});
    ASSERT_EQ(cluster_->start().message(), "");
  }

  // Members must have been connected for five seconds before a change is admitted.
  template <typename Request, typename Response>
  std::string change(grpc::Status (ClusterStub::*method)(grpc::ClientContext*, const Request&,
                                                         Response*),
                     const Request& request, Response* response, size_t at = 0) {
    std::string text;
    Cluster::wait_for([&] {
      Client& client = cluster_->client(at);
      text = status_text(client.call(client.cluster(), method, request, response));
      return text.find("unhealthy cluster") == std::string::npos;
    });
    return text;
  }
  std::string add(const std::string& url, bool learner = false, size_t at = 0) {
    pb::MemberAddRequest request;
    request.add_peerurls(url);
    request.set_islearner(learner);
    pb::MemberAddResponse response;
    std::string text = change(&ClusterStub::MemberAdd, request, &response, at);
    added_ = response;
    return text;
  }
  std::string remove(uint64_t id) {
    pb::MemberRemoveRequest request;
    request.set_id(id);
    pb::MemberRemoveResponse response;
    return change(&ClusterStub::MemberRemove, request, &response);
  }
  std::string update(uint64_t id, const std::string& url) {
    pb::MemberUpdateRequest request;
    request.set_id(id);
    request.add_peerurls(url);
    pb::MemberUpdateResponse response;
    return change(&ClusterStub::MemberUpdate, request, &response);
  }
  std::string promote(uint64_t id, size_t at = 0) {
    pb::MemberPromoteRequest request;
    request.set_id(id);
    pb::MemberPromoteResponse response;
    return change(&ClusterStub::MemberPromote, request, &response, at);
  }
  std::vector<pb::Member> members(size_t at = 0) {
    pb::MemberListRequest request;
    request.set_linearizable(true);
    pb::MemberListResponse response;
    Client& client = cluster_->client(at);
    grpc::Status status =
        client.call(client.cluster(), &ClusterStub::MemberList, request, &response);
    EXPECT_TRUE(status.ok()) << status_text(status);
    return {response.members().begin(), response.members().end()};
  }

  std::vector<Target> targets_;
  std::unique_ptr<Cluster> cluster_;
  pb::MemberAddResponse added_;
};

TEST_F(MembershipTest, ChangesAgainstTheRulesAreRefused) {
  start();
  const std::string taken = cluster_->node(1).advertised_peer_url();
  const uint64_t id = cluster_->id(0);
  EXPECT_EQ(add("ftp://127.0.0.1:1"), "3 etcdserver: given member URLs are invalid");
  EXPECT_EQ(add("http://127.0.0.1"), "3 etcdserver: given member URLs are invalid");
  EXPECT_EQ(add(taken), "9 etcdserver: Peer URLs already exists");
  EXPECT_EQ(remove(4711), "5 etcdserver: member not found");
  EXPECT_EQ(update(4711, "http://127.0.0.1:1"), "5 etcdserver: member not found");
  EXPECT_EQ(update(id, taken), "9 etcdserver: Peer URLs already exists");
  for (size_t at = 0; at < cluster_->size(); ++at) {
    EXPECT_EQ(promote(4711, at), "5 etcdserver: member not found") << at;
    EXPECT_EQ(promote(id, at), "9 etcdserver: can only promote a learner member") << at;
  }
  EXPECT_EQ(members().size(), 3u);
}

TEST_F(MembershipTest, AMemberComesAndGoes) {
  start();
  ASSERT_TRUE(cluster_->client(0).put("k", "v").ok());
  auto added = cluster_->add(targets_[1]);
  ASSERT_TRUE(added.ok()) << added.status().message();
  ASSERT_EQ(cluster_->wait_serving(*added).message(), "") << cluster_->logs();
  EXPECT_EQ(members(*added).size(), 4u);
  EXPECT_EQ(cluster_->check_equal().message(), "");
  // It had streams with all others from the start, before the log told it who they are.
  EXPECT_THAT(cluster_->node(*added).log(), Not(HasSubstr("failed to find remote peer")));
  EXPECT_THAT(cluster_->node(*added).log(), Not(HasSubstr("added new remote peer")));
  ASSERT_EQ(cluster_->remove(*added).message(), "");
  auto exit = cluster_->node(*added).wait(kStopBound);
  ASSERT_TRUE(exit.has_value()) << "it leaves by itself";
  EXPECT_EQ(exit->code, 0);
  EXPECT_THAT(cluster_->node(*added).log(),
              HasSubstr("data-dir used by this member must be removed"));
  EXPECT_EQ(members().size(), 3u);
  EXPECT_TRUE(cluster_->client(1).put("k", "w").ok());
}

// Without a majority nobody sends it a log, so it can know the others by its flags only.
TEST_F(MembershipTest, AMemberThatHasNotHeardOfOthersYetIsStartedAgain) {
  start();
  auto added = cluster_->add(targets_[0], /*learner=*/true);
  ASSERT_TRUE(added.ok()) << added.status().message();
  for (size_t member : {size_t{0}, size_t{1}, *added}) cluster_->kill(member);
  cluster_->wipe(*added);
  auto knows_all = [&] {
    ASSERT_TRUE(cluster_->launch(*added).ok());
    EXPECT_TRUE(Cluster::wait_for([&] {
      const std::string log = cluster_->node(*added).log();
      return count_of("\"msg\":\"added remote peer\"", log) == 3;
    })) << cluster_->logs();
    EXPECT_THAT(cluster_->node(*added).log(), Not(HasSubstr("added new remote peer")));
  };
  knows_all();
  cluster_->kill(*added);
  knows_all();
}

TEST_F(MembershipTest, ALearnerIsPromotedOnceItHasTheLog) {
  start();
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(cluster_->client(0).put("k", "v").ok());
  auto added = cluster_->add(targets_[0], /*learner=*/true);
  ASSERT_TRUE(added.ok()) << added.status().message();
  EXPECT_EQ(add("http://127.0.0.1:1", /*learner=*/true),
            "9 etcdserver: too many learner members in cluster");
  uint64_t id = cluster_->id(*added);
  // By each member in turn, so that followers ask the leader.
  std::string text;
  size_t at = 0;
  Cluster::wait_for([&] {
    text = promote(id, at++ % 3);
    return text == "OK";
  });
  EXPECT_EQ(text, "OK") << cluster_->logs();
  ASSERT_EQ(cluster_->wait_serving(*added).message(), "");
  for (const pb::Member& member : members()) EXPECT_FALSE(member.islearner());
  EXPECT_EQ(cluster_->check_equal().message(), "");
}

TEST_F(MembershipTest, AMemberWithoutItsDiskIsReplaced) {
  start();
  ASSERT_TRUE(cluster_->client(0).put("k", "v").ok());
  cluster_->id(2);
  cluster_->kill(2);
  cluster_->wipe(2);
  ASSERT_TRUE(cluster_->launch(2).ok());
  auto exit = cluster_->node(2).wait(kStopBound);
  ASSERT_TRUE(exit.has_value()) << "it could vote twice";
  EXPECT_EQ(exit->code, 1);
  EXPECT_THAT(cluster_->node(2).log(), HasSubstr("has already been bootstrapped"));
  ASSERT_EQ(cluster_->remove(2).message(), "");
  auto added = cluster_->add(targets_[2]);
  ASSERT_TRUE(added.ok()) << added.status().message();
  ASSERT_EQ(cluster_->wait_serving(*added).message(), "") << cluster_->logs();
  EXPECT_EQ(members(*added).size(), 3u);
  EXPECT_EQ(cluster_->check_equal().message(), "");
}

TEST_F(MembershipTest, OneOfALostClusterGoesOnAlone) {
  start();
  ASSERT_TRUE(cluster_->client(0).put("k", "v").ok());
  for (size_t i = 0; i < 3; ++i) cluster_->kill(i);
  auto& flags = cluster_->node(1).options().flags;
  flags.push_back("--force-new-cluster");
  ASSERT_EQ(cluster_->start(1).message(), "") << cluster_->logs();
  EXPECT_EQ(members(1).size(), 1u);
  EXPECT_TRUE(cluster_->client(1).put("k", "w").ok());
  cluster_->kill(1);
  flags.pop_back();
  ASSERT_EQ(cluster_->start(1).message(), "");
  EXPECT_EQ(members(1).size(), 1u);
  pb::RangeRequest get;
  get.set_key("k");
  pb::RangeResponse found;
  ASSERT_TRUE(cluster_->client(1).range(get, &found).ok());
  ASSERT_EQ(found.kvs_size(), 1);
  EXPECT_EQ(found.kvs(0).value(), "w");
}

}  // namespace
}  // namespace mortise::testing
