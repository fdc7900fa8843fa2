#include "plugins/transport_common/loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>

#include "plugins/transport_common/poller.h"

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

// Two ends of a connection, of which a poller has one.
class Peer : public Pollable {
 public:
  Peer(std::string name, size_t waiting, Poller& poller, std::string& told)
      : name_(std::move(name)), waiting_(waiting), poller_(poller), told_(told) {
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends_.data()), 0);
    EXPECT_TRUE(poller_.add(ends_[0], this, true, false));
  }
  ~Peer() {
    poller_.remove(ends_[0], this);
    for (const int end : ends_) ::close(end);
  }
  void send() { EXPECT_EQ(::write(ends_[1], "x", 1), 1); }
  void on_ready(bool, bool, bool) override {
    char byte;
    EXPECT_EQ(::read(ends_[0], &byte, 1), 1);
    for (size_t i = 0; i < waiting_; ++i) poller_.count_waiting();
    told_ += name_;
    if (then) then();
  }

  std::function<void()> then;

 private:
  const std::string name_;
  const size_t waiting_;
  Poller& poller_;
  std::string& told_;
  std::array<int, 2> ends_;
};

// Three peers of which each sends when the one before has been read; "g" is where the poller
// gathers.
std::string told_with(size_t waiting) {
  Loop loop;
  std::string told;
  Poller poller(loop, [&] { told += "g"; });
  Peer a("a", waiting, poller, told);
  Peer b("b", 1, poller, told);
  Peer c("c", 1, poller, told);
  a.then = [&] { b.send(); };
  b.then = [&] { c.send(); };
  c.then = [&] {
    poller.stop();
    loop.finish();
  };
  poller.start();
  a.send();
  loop.run();
  return told;
}

TEST(Poller, GathersAfterALookAtSomeThatWait) {
  EXPECT_EQ(told_with(Poller::kGatherWaitingMin - 1), "abc");
  EXPECT_EQ(told_with(Poller::kGatherWaitingMin), "agbc");
  EXPECT_EQ(told_with(Poller::kGatherWaitingMax), "agbc");
  EXPECT_EQ(told_with(Poller::kGatherWaitingMax + 1), "abc");
}

}  // namespace
}  // namespace mortise::transport_common
