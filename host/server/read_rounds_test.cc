// Rounds of ReadIndex with answers given by hand.
#include "host/server/read_rounds.h"

#include "gtest/gtest.h"

namespace mortise::server {
namespace {

class ReadRoundsTest : public ::testing::Test {
 protected:
  ReadRoundsTest() : rounds_(options()) {}

  ReadRoundsOptions options() {
    ReadRoundsOptions o;
    o.time_limit = std::chrono::seconds(7);
    o.ask = [this](raft::ReadToken token) { asked_.push_back(token); };
    o.new_token = [this] { return ++last_token_; };
    o.applied_index = [this] { return applied_; };
    o.run = [](const std::function<void()>& task) {
      task();
      return Status();
    };
    return o;
  }
  void read(const std::string& name) {
    rounds_.wait([this, name](const RpcStatus& status) {
      done_ += name + (status.ok() ? "" : "!" + std::string(status.message())) + ";";
    });
  }
  void answer(raft::ReadToken token, uint64_t index) { rounds_.read_states({{index, token}}); }
  // What came since the last call.
  std::string done() { return std::exchange(done_, {}); }

  std::vector<raft::ReadToken> asked_;
  raft::ReadToken last_token_ = 0;
  uint64_t applied_ = 10;
  std::string done_;
  ReadRounds rounds_;
};

TEST_F(ReadRoundsTest, WhoComesDuringARoundSharesTheNextOne) {
  read("a");
  read("b");
  read("c");
  EXPECT_EQ(asked_.size(), 1u);
  answer(1, 10);
  EXPECT_EQ(done(), "a;");
  ASSERT_EQ(asked_.size(), 2u);
  answer(1, 10);
  EXPECT_EQ(done(), "") << "an old answer proves nothing for those who came later";
  answer(2, 10);
  EXPECT_EQ(done(), "b;c;");
  EXPECT_EQ(asked_.size(), 2u);
}

TEST_F(ReadRoundsTest, ReadersWaitForTheirIndexWhileTheNextRoundGoesOn) {
  read("a");
  answer(1, 12);
  read("b");
  answer(2, 15);
  EXPECT_EQ(done(), "");
  applied_ = 12;
  rounds_.applied(12);
  EXPECT_EQ(done(), "a;");
  rounds_.applied(20);
  EXPECT_EQ(done(), "b;");
}

TEST_F(ReadRoundsTest, AsksAgainAndGivesUp) {
  auto now = ReadRounds::Clock::now();
  read("a");
  rounds_.check_time(now + std::chrono::milliseconds(400));
  EXPECT_EQ(asked_.size(), 1u);
  rounds_.check_time(now + std::chrono::milliseconds(600));
  EXPECT_EQ(asked_.size(), 2u);
  read("b");
  rounds_.check_time(now + std::chrono::seconds(8));
  EXPECT_EQ(done(), "a!etcdserver: request timed out;");
  ASSERT_EQ(asked_.size(), 3u);
  answer(2, 10);
  EXPECT_EQ(done(), "");
  answer(3, 10);
  EXPECT_EQ(done(), "b;");
}

TEST_F(ReadRoundsTest, AnyAnswerOfTheRoundCounts) {
  read("a");
  rounds_.check_time(ReadRounds::Clock::now() + std::chrono::milliseconds(600));
  answer(1, 9);
  EXPECT_EQ(done(), "a;");
}

TEST_F(ReadRoundsTest, ANewLeaderEndsTheRoundAndAStopEndsAll) {
  read("a");
  read("b");
  rounds_.leader_changed();
  EXPECT_EQ(done(), "a!etcdserver: leader changed;");
  answer(2, 11);
  read("c");
  rounds_.stop();
  EXPECT_EQ(done(), "c!etcdserver: server stopped;b!etcdserver: server stopped;");
  read("d");
  EXPECT_EQ(done(), "d!etcdserver: server stopped;");
}

}  // namespace
}  // namespace mortise::server
