#include "host/membership/member.h"

#include "gtest/gtest.h"
#include "host/membership/cluster.h"

namespace mortise::membership {
namespace {

TEST(MemberId, IsThatOfEtcdForTheSameFlags) {
  uint64_t member = bootstrap_member_id({"http://localhost:2380"}, "etcd-cluster");
  EXPECT_EQ(hex_id(member), "8e9e05c52164694d");
  EXPECT_EQ(hex_id(bootstrap_cluster_id({member})), "cdf818194e3a8c32");
}

TEST(MemberId, DoesNotDependOnTheOrderOfUrls) {
  EXPECT_EQ(bootstrap_member_id({"http://a:1", "http://b:1"}, "t"),
            bootstrap_member_id({"http://b:1", "http://a:1"}, "t"));
}

TEST(Member, EncodingsRoundTrip) {
  Member member{0xffffffffffffffff, "m\xc3\xa4", {"http://a:1"}, {"http://b:2", "unix:c"}, true};
  Member back;
  ASSERT_TRUE(decode_member(encode_member(member), &back));
  EXPECT_EQ(back.id, member.id);
  EXPECT_EQ(back.client_urls, member.client_urls);
  auto context = decode_change_context(encode_change_context({member, true}));
  ASSERT_TRUE(context.ok());
  EXPECT_EQ(context->member.id, member.id) << "ids beyond 2^53 must survive JSON";
  EXPECT_EQ(context->member.name, member.name);
  EXPECT_TRUE(context->is_promote && context->member.is_learner);
  EXPECT_FALSE(decode_change_context("{\"id\":\"x\"}").ok());
}

TEST(MemberId, OfAnAddedMemberDependsOnTheTime) {
  EXPECT_NE(added_member_id({"http://a:1"}, 1), added_member_id({"http://a:1"}, 2));
  EXPECT_EQ(added_member_id({"http://a:1"}, 1), bootstrap_member_id({"http://a:1"}, "1"));
}

TEST(MemberJson, IsThatOfEtcd) {
  Member member{0xffffffffffffffff, "<m>", {"http://a:1"}, {"http://b:2"}, true};
  EXPECT_EQ(member_json(member),
            R"({"id":18446744073709551615,"peerURLs":["http://a:1"],"isLearner":true,)"
            R"("name":"\u003cm\u003e","clientURLs":["http://b:2"]})");
  EXPECT_EQ(encode_change_context({{5, "", {}, {}, false}, true}),
            R"({"id":5,"peerURLs":null,"isPromote":true})");
}

TEST(MemberJson, ListsRoundTrip) {
  std::vector<Member> members{{1, "a", {"http://a:1"}, {}, false}, {2, "", {}, {"u"}, true}};
  auto back = parse_members_json(members_json(members));
  ASSERT_TRUE(back.ok());
  ASSERT_EQ(back->size(), 2u);
  EXPECT_EQ((*back)[0].name, "a");
  EXPECT_TRUE((*back)[1].is_learner && (*back)[1].peer_urls.empty());
  EXPECT_EQ(members_json({}), "[]\n");
  for (const char* bad : {"", "{}", "[1]", R"([{"id":"1"}])", R"([{"id":1,"peerURLs":[1]}])"}) {
    EXPECT_FALSE(parse_members_json(bad).ok()) << bad;
  }
}

TEST(MemberJson, TextThatIsNotUtf8DoesNotThrow) {
  EXPECT_NE(member_json({1, "\xff", {}, {}, false}), "");
}

TEST(Cluster, StorageVersionIsNeverBelowWhatEtcdWrites) {
  Cluster cluster(1, 2);
  EXPECT_EQ(cluster.storage_version(), "");
  cluster.set_version("3.0.0");
  EXPECT_EQ(cluster.storage_version(), "3.5.0");
  cluster.set_version("3.6.0");
  EXPECT_EQ(cluster.storage_version(), "3.6.0");
}

}  // namespace
}  // namespace mortise::membership
