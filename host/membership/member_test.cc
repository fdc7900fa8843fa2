#include "host/membership/member.h"

#include "gtest/gtest.h"

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

}  // namespace
}  // namespace mortise::membership
