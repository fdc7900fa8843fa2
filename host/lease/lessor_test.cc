#include "host/lease/lessor.h"

#include "gtest/gtest.h"

namespace mortise::lease {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class LessorTest : public ::testing::Test {
 protected:
  Clock::time_point now_{seconds(1000)};
  Lessor lessor_{2, [this] { return now_; }};
};

TEST_F(LessorTest, RaisesShortTtlsAndRefusesBadGrants) {
  int64_t ttl = 0;
  EXPECT_TRUE(lessor_.check_grant(7, -5, &ttl).ok());
  EXPECT_EQ(ttl, 2);
  EXPECT_EQ(lessor_.check_grant(7, kTtlSecondsMax + 1, &ttl).message(),
            "etcdserver: too large lease TTL");
  lessor_.grant(7, 2);
  EXPECT_EQ(lessor_.check_grant(7, 5, &ttl).message(), "etcdserver: lease already exists");
  EXPECT_EQ(lessor_.check_grant(0, 5, &ttl).message(), "etcdserver: requested lease not found");
}

TEST_F(LessorTest, ExpiresOnlyOnThePrimaryAndNeverEarly) {
  lessor_.grant(1, 5);
  now_ += seconds(60);
  EXPECT_TRUE(lessor_.expired(10, milliseconds(500)).empty());
  lessor_.promote(milliseconds(1000));
  now_ += milliseconds(5999);
  EXPECT_TRUE(lessor_.expired(10, milliseconds(500)).empty());
  now_ += milliseconds(1);
  EXPECT_EQ(lessor_.expired(10, milliseconds(500)), std::vector<int64_t>{1});
  EXPECT_TRUE(lessor_.expired(10, milliseconds(500)).empty())
      << "reported again before the retry time";
  now_ += milliseconds(500);
  EXPECT_EQ(lessor_.expired(10, milliseconds(500)), std::vector<int64_t>{1});
}

TEST_F(LessorTest, RenewalStartsTheTtlAnewUntilItHasRunOut) {
  lessor_.promote(milliseconds(0));
  lessor_.grant(1, 10);
  now_ += seconds(9);
  int64_t ttl = 0;
  EXPECT_EQ(lessor_.renew(1, &ttl, [] {}), Lessor::Renewal::kRenewed);
  EXPECT_EQ(ttl, 10);
  now_ += milliseconds(2500);
  EXPECT_EQ(lessor_.info(1)->remaining_ttl, 7);
  EXPECT_EQ(lessor_.renew(2, &ttl, [] {}), Lessor::Renewal::kUnknown);
  now_ += seconds(10);
  bool told = false;
  EXPECT_EQ(lessor_.renew(1, &ttl, [&] { told = true; }), Lessor::Renewal::kExpired);
  EXPECT_FALSE(told);
  for (auto& waiter : lessor_.revoke(1)) waiter();
  EXPECT_TRUE(told);
  EXPECT_FALSE(lessor_.info(1).has_value());
}

TEST_F(LessorTest, ListsByRemainingTime) {
  lessor_.promote(milliseconds(0));
  lessor_.grant(1, 30);
  lessor_.grant(2, 10);
  lessor_.grant(3, 15);
  EXPECT_EQ(lessor_.by_remaining_time(), (std::vector<int64_t>{2, 3, 1}));
  int64_t ttl = 0;
  now_ += seconds(9);
  EXPECT_EQ(lessor_.renew(2, &ttl, [] {}), Lessor::Renewal::kRenewed);
  EXPECT_EQ(lessor_.by_remaining_time(), (std::vector<int64_t>{3, 2, 1}));
}

TEST(LeaseRow, RoundTrips) {
  int64_t id = 0, ttl = 0;
  EXPECT_TRUE(decode_lease(encode_lease(-3, 60), &id, &ttl));
  EXPECT_EQ(id, -3);
  EXPECT_EQ(ttl, 60);
}

}  // namespace
}  // namespace mortise::lease
