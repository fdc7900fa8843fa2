#include "host/lease/lessor.h"

#include "gtest/gtest.h"

namespace mortise::lease {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class LessorTest : public ::testing::Test {
 protected:
  Clock::time_point now_{seconds(1000)};
  Lessor lessor_{{2, false, [this] { return now_; }}};
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
  lessor_.revoke(1);
  EXPECT_FALSE(told);
  lessor_.show_revocations();
  EXPECT_TRUE(told);
  EXPECT_FALSE(lessor_.info(1).has_value());
}

// Whoever sees that a lease is gone must not find its keys.
TEST_F(LessorTest, ARevocationShowsOnlyWhenItsKeysAreGone) {
  lessor_.promote(milliseconds(0));
  lessor_.grant(1, 10);
  lessor_.grant(2, 10);
  lessor_.revoke(1);
  lessor_.revoke(2);
  EXPECT_FALSE(lessor_.exists(1));
  EXPECT_FALSE(lessor_.checkpoint(1, 5).has_value());
  EXPECT_TRUE(lessor_.info(1).has_value());
  EXPECT_EQ(lessor_.count(), 2u);
  lessor_.demote();
  lessor_.promote(milliseconds(0));
  bool told = false;
  int64_t ttl = 0;
  EXPECT_EQ(lessor_.renew(1, &ttl, [&] { told = true; }), Lessor::Renewal::kExpired);
  lessor_.grant(2, 20);  // The log goes on before the commit.
  now_ += seconds(15);
  EXPECT_TRUE(lessor_.expired(10, seconds(7)).empty());
  lessor_.show_revocations();
  EXPECT_TRUE(told);
  EXPECT_FALSE(lessor_.info(1).has_value());
  EXPECT_EQ(lessor_.info(2)->granted_ttl, 20);
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

TEST_F(LessorTest, WithoutPrimaryNothingIsRenewed) {
  lessor_.grant(1, 10);
  int64_t ttl = 0;
  EXPECT_EQ(lessor_.renew(1, &ttl, [] {}), Lessor::Renewal::kNotPrimary);
  EXPECT_EQ(lessor_.renew(9, &ttl, [] {}), Lessor::Renewal::kNotPrimary);
  EXPECT_FALSE(lessor_.info(1)->is_primary);
  lessor_.promote(milliseconds(0));
  EXPECT_TRUE(lessor_.info(1)->is_primary);
  EXPECT_EQ(lessor_.renew(1, &ttl, [] {}), Lessor::Renewal::kRenewed);
}

TEST_F(LessorTest, ADemotionReleasesThoseWhoWaitForARevocation) {
  lessor_.promote(milliseconds(0));
  lessor_.grant(1, 10);
  now_ += seconds(10);
  int64_t ttl = 0, told = 0;
  EXPECT_EQ(lessor_.renew(1, &ttl, [&] { ++told; }), Lessor::Renewal::kExpired);
  EXPECT_EQ(lessor_.renew(1, &ttl, [&] { ++told; }), Lessor::Renewal::kExpired);
  lessor_.demote();
  EXPECT_EQ(told, 2);
  EXPECT_TRUE(lessor_.exists(1));
  lessor_.revoke(1);
  lessor_.show_revocations();
  EXPECT_EQ(told, 2);
}

TEST_F(LessorTest, ReportsTheExpiredInTheirOrderAndAtMostSoMany) {
  lessor_.promote(milliseconds(0));
  for (int64_t id = 1; id <= 10; ++id) lessor_.grant(id, 20 - id);
  now_ += seconds(15);
  EXPECT_EQ(lessor_.expired(3, seconds(7)), (std::vector<int64_t>{10, 9, 8}));
  EXPECT_EQ(lessor_.expired(3, seconds(7)), (std::vector<int64_t>{7, 6, 5}));
  EXPECT_TRUE(lessor_.expired(3, seconds(7)).empty());
  lessor_.revoke(9);
  lessor_.revoke(5);
  now_ += seconds(7);
  EXPECT_EQ(lessor_.expired(20, seconds(7)), (std::vector<int64_t>{4, 3, 2, 1, 6, 7, 8, 10}));
}

TEST_F(LessorTest, ManyLeasesOfOneTtlDoNotRunOutInOneSecondAfterAPromotion) {
  constexpr int64_t kLeases = 5000;
  for (int64_t id = 1; id <= kLeases; ++id) lessor_.grant(id, 60);
  lessor_.promote(milliseconds(1000));
  now_ += milliseconds(60'999);
  EXPECT_TRUE(lessor_.expired(kLeases, seconds(100)).empty()) << "early";
  size_t seen = 0;
  now_ += milliseconds(1);
  while (seen < kLeases) {
    size_t count = lessor_.expired(kLeases, seconds(1000)).size();
    EXPECT_LE(count, kExpiriesPerSecond + 1u);
    seen += count;
    now_ += seconds(1);
    ASSERT_LT(now_.time_since_epoch(), seconds(1080));
  }
}

class CheckpointTest : public ::testing::Test {
 protected:
  using Ids = std::vector<std::pair<int64_t, int64_t>>;
  // Takes due checkpoints and applies them.
  Ids take(size_t limit = 1000) {
    Ids taken;
    for (const LeaseRecord& c : lessor_.due_checkpoints(limit)) {
      taken.emplace_back(c.id, c.remaining_ttl);
      lessor_.checkpoint(c.id, c.remaining_ttl);
    }
    return taken;
  }
  Clock::time_point now_{seconds(1000)};
  Lessor lessor_{{2, true, [this] { return now_; }}};
};

TEST_F(CheckpointTest, OfLongLeasesAreMadeInEachInterval) {
  lessor_.promote(milliseconds(0));
  lessor_.grant(1, 1000);
  lessor_.grant(2, 300);
  EXPECT_TRUE(take().empty());
  now_ += seconds(299);
  EXPECT_TRUE(take().empty());
  now_ += milliseconds(1500);
  EXPECT_EQ(take(), (Ids{{1, 700}})) << "rounded up";
  EXPECT_TRUE(take().empty());
  now_ += seconds(300);
  EXPECT_EQ(take(), (Ids{{1, 400}}));
  now_ += seconds(300);
  EXPECT_EQ(take(), (Ids{{1, 100}}));
  now_ += seconds(90);
  EXPECT_TRUE(take().empty());
}

TEST_F(CheckpointTest, GiveALeaseItsRemainingTimeAfterAPromotion) {
  lessor_.promote(milliseconds(0));
  lessor_.grant(1, 1000);
  lessor_.grant(2, 1000);
  EXPECT_EQ(lessor_.checkpoint(1, 40)->ttl, 1000);
  EXPECT_FALSE(lessor_.checkpoint(3, 40).has_value());
  EXPECT_EQ(lessor_.info(1)->remaining_ttl, 1000) << "this primary knows better";
  lessor_.demote();
  lessor_.promote(milliseconds(2000));
  EXPECT_EQ(lessor_.info(1)->remaining_ttl, 42);
  EXPECT_EQ(lessor_.info(1)->granted_ttl, 1000);
  EXPECT_EQ(lessor_.info(2)->remaining_ttl, 1002);
}

TEST_F(CheckpointTest, MustBeForgottenBeforeARenewal) {
  lessor_.promote(milliseconds(0));
  lessor_.grant(1, 1000);
  now_ += seconds(300);
  EXPECT_EQ(take(), (Ids{{1, 700}}));
  int64_t ttl = 0;
  EXPECT_EQ(lessor_.renew(1, &ttl, [] {}), Lessor::Renewal::kCheckpointed);
  EXPECT_EQ(lessor_.info(1)->remaining_ttl, 700);
  lessor_.checkpoint(1, 0);
  EXPECT_EQ(lessor_.renew(1, &ttl, [] {}), Lessor::Renewal::kRenewed);
  EXPECT_EQ(lessor_.info(1)->remaining_ttl, 1000);
  now_ += seconds(300);
  EXPECT_EQ(take(), (Ids{{1, 700}}));
}

TEST_F(CheckpointTest, OfALeaseThatWasJustRenewedWaits) {
  lessor_.promote(milliseconds(0));
  lessor_.grant(1, 1000);
  now_ += seconds(300);
  int64_t ttl = 0;
  EXPECT_EQ(lessor_.renew(1, &ttl, [] {}), Lessor::Renewal::kRenewed);
  EXPECT_TRUE(take().empty());
  now_ += seconds(300);
  EXPECT_EQ(take(), (Ids{{1, 700}}));
}

TEST_F(CheckpointTest, BeginAgainWhenALeaseThatHadLittleLeftIsRenewed) {
  lessor_.promote(milliseconds(0));
  lessor_.grant(1, 400);
  now_ += seconds(300);
  EXPECT_EQ(take(), (Ids{{1, 100}}));
  lessor_.checkpoint(1, 0);
  int64_t ttl = 0;
  EXPECT_EQ(lessor_.renew(1, &ttl, [] {}), Lessor::Renewal::kRenewed);
  now_ += seconds(300);
  EXPECT_EQ(take(), (Ids{{1, 100}}));
}

TEST_F(CheckpointTest, AreTakenInPieces) {
  lessor_.promote(milliseconds(0));
  for (int64_t id = 1; id <= 25; ++id) lessor_.grant(id, 1000);
  now_ += seconds(300);
  EXPECT_EQ(take(10).size(), 10u);
  EXPECT_EQ(take(10).size(), 10u);
  EXPECT_EQ(take(10).size(), 5u);
  for (int64_t id = 1; id <= 25; ++id) lessor_.revoke(id);
  now_ += seconds(300);
  EXPECT_TRUE(take().empty());
}

TEST_F(CheckpointTest, AreNotMadeUnlessAskedFor) {
  Lessor plain{{2, false, [this] { return now_; }}};
  plain.promote(milliseconds(0));
  plain.grant(1, 1000);
  now_ += seconds(400);
  EXPECT_TRUE(plain.due_checkpoints(10).empty());
}

TEST(LeaseCodec, RoundTrips) {
  LeaseRecord lease;
  EXPECT_TRUE(decode_lease(encode_lease({-3, 60}), &lease));
  EXPECT_EQ(lease.id, -3);
  EXPECT_EQ(lease.ttl, 60);
  EXPECT_EQ(lease.remaining_ttl, 0);
  EXPECT_TRUE(decode_lease(encode_lease({7, 600, 41}), &lease));
  EXPECT_EQ(lease.remaining_ttl, 41);

  std::vector<LeaseRecord> decoded;
  EXPECT_TRUE(decode_checkpoints(encode_checkpoints({{1, 600, 41}, {-2, 600, 0}}), &decoded));
  ASSERT_EQ(decoded.size(), 2u);
  EXPECT_EQ(decoded[0].remaining_ttl, 41);
  EXPECT_EQ(decoded[1].id, -2);
  EXPECT_FALSE(decode_checkpoints("\x0a\x05\x08", &decoded));
}

}  // namespace
}  // namespace mortise::lease
