#include "plugins/transport_common/loop.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace mortise::transport_common {
namespace {

using std::chrono::milliseconds;

// Two timers whose time comes while the loop is busy, so that both are due when it looks.
class TimerTest : public ::testing::Test {
 protected:
  void run(std::function<void()> first, std::function<void()> second) {
    loop_.post([&] {
      first_->start(milliseconds(1), first);
      second_->start(milliseconds(2), second);
      std::this_thread::sleep_for(milliseconds(10));
      loop_.finish();
    });
    loop_.run();
  }

  Loop loop_;
  std::unique_ptr<Timer> first_ = std::make_unique<Timer>(loop_);
  std::unique_ptr<Timer> second_ = std::make_unique<Timer>(loop_);
  std::string ran_;
};

TEST_F(TimerTest, RunsInOrder) {
  run([&] { ran_ += "1"; }, [&] { ran_ += "2"; });
  EXPECT_EQ(ran_, "12");
}

TEST_F(TimerTest, WhoIsGoneIsNotCalledThoughItsTimeHasCome) {
  run([&] { second_.reset(); }, [&] { ran_ += "2"; });
  EXPECT_EQ(ran_, "");
}

TEST_F(TimerTest, CancelledThoughItsTimeHasCome) {
  run([&] { second_->cancel(); }, [&] { ran_ += "2"; });
  EXPECT_EQ(ran_, "");
}

TEST_F(TimerTest, StartedAnewThoughItsTimeHasCome) {
  run([&] { second_->start(milliseconds(1), [&] { ran_ += "anew"; }); }, [&] { ran_ += "2"; });
  EXPECT_EQ(ran_, "anew");
}

}  // namespace
}  // namespace mortise::transport_common
