#include "host/server/auto_compaction.h"

#include <gtest/gtest.h>

#include <vector>

namespace mortise::server {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;

// Plays intervals on a clock of its own; the revision grows by `growth` in each.
class Play {
 public:
  explicit Play(const AutoCompactionOptions& options) : plan_(options, now_) {}

  // Where it compacts in the next `count` intervals; 0 where it does not.
  std::vector<int64_t> run(int count, int64_t growth, bool succeeds = true) {
    std::vector<int64_t> at;
    for (int i = 0; i < count; ++i) {
      plan_.note(revision_);
      now_ += plan_.interval();
      revision_ += growth;
      auto due = plan_.due(now_, revision_);
      if (due && succeeds) plan_.compacted(*due, now_);
      at.push_back(due.value_or(0));
    }
    return at;
  }
  AutoCompactionPlan plan() const { return plan_; }

 private:
  AutoCompactionPlan::Clock::time_point now_{seconds(1000)};
  int64_t revision_ = 1;
  AutoCompactionPlan plan_;
};

AutoCompactionOptions periodic(nanoseconds period) { return {false, period.count()}; }
using Revisions = std::vector<int64_t>;

TEST(AutoCompactionPlan, PeriodicBeginsAfterTheRetentionAndGoesOnHourly) {
  Play play(periodic(hours(2)));
  EXPECT_EQ(play.plan().interval(), minutes(6));
  Revisions expected(19, 0);
  expected.push_back(1);
  EXPECT_EQ(play.run(20, 1), expected) << "nothing before two hours have passed";
  for (int64_t hour = 1; hour <= 3; ++hour) {
    Revisions next(9, 0);
    next.push_back(hour * 10);
    EXPECT_EQ(play.run(10, 1), next) << "hour " << hour;
  }
}

TEST(AutoCompactionPlan, PeriodicOfLessThanAnHourGoesOnInItsOwnPace) {
  Play play(periodic(seconds(5)));
  EXPECT_EQ(play.plan().interval(), std::chrono::milliseconds(500));
  EXPECT_EQ(play.run(10, 100), (Revisions{0, 0, 0, 0, 0, 0, 0, 0, 0, 1}));
  EXPECT_EQ(play.run(10, 100), (Revisions{0, 0, 0, 0, 0, 0, 0, 0, 0, 901}));
}

TEST(AutoCompactionPlan, PeriodicSkipsWhereNothingWasWritten) {
  Play play(periodic(minutes(10)));
  EXPECT_EQ(play.run(10, 0).back(), 1);
  EXPECT_EQ(play.run(30, 0), Revisions(30, 0));
  // Written at last: the revision of ten minutes ago is still the old one, until it is not.
  Revisions then = play.run(13, 1);
  EXPECT_EQ(then[10], 0);
  EXPECT_EQ(then[11], 2);
  EXPECT_EQ(then[12], 0);
}

TEST(AutoCompactionPlan, PeriodicTriesAgainAfterAFailure) {
  Play play(periodic(minutes(10)));
  play.run(9, 1);
  EXPECT_EQ(play.run(3, 1, /*succeeds=*/false), (Revisions{1, 1, 2}));
  EXPECT_EQ(play.run(2, 1), (Revisions{3, 0}));
}

TEST(AutoCompactionPlan, ByRevisionKeepsTheNewest) {
  Play play({true, 10});
  EXPECT_EQ(play.plan().interval(), minutes(5));
  EXPECT_EQ(play.run(3, 4), (Revisions{0, 0, 3}));
  EXPECT_EQ(play.run(2, 0), (Revisions{0, 0})) << "nothing new";
  EXPECT_EQ(play.run(1, 100), (Revisions{103}));
}

TEST(AutoCompactionPlan, AnyShortRetentionHasAnInterval) {
  Play play(periodic(nanoseconds(1)));
  EXPECT_EQ(play.plan().interval(), std::chrono::milliseconds(1));
  EXPECT_EQ(play.run(2, 1), (Revisions{1, 2}));
}

}  // namespace
}  // namespace mortise::server
