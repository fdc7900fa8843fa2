// Who waits for a compaction, while the store is replaced by others' snapshots.
#include "host/server/compaction.h"

#include <atomic>

#include "gtest/gtest.h"

namespace mortise::server {
namespace {

constexpr int64_t kRevisions = 2000;

// What the store has finished by then is known without a scan, so that neither store nor loop is
// asked.
class CompactionTest : public ::testing::Test {
 protected:
  void store_has(int64_t finished) { runner_.restart(finished, finished); }

  CompactionRunner runner_{nullptr, nullptr, {}};
};

TEST_F(CompactionTest, TellsWhatIsFinished) {
  std::string told;
  auto ask = [&](int64_t revision) {
    runner_.when_finished(revision, [&told, revision](bool finished) {
      told += std::to_string(revision) + (finished ? "+" : "-");
    });
  };
  ask(7);
  ask(5);
  EXPECT_EQ(told, "");
  store_has(6);
  EXPECT_EQ(told, "5+");
  ask(6);
  EXPECT_EQ(told, "5+6+");
  runner_.stop();
  EXPECT_EQ(told, "5+6+7-");
  ask(6);
  ask(8);
  EXPECT_EQ(told, "5+6+7-6+8-");
}

// Under the thread sanitizer, this also shows that nothing is read without the lock.
TEST_F(CompactionTest, AnswersEachOnceWhileTheStoreIsReplaced) {
  std::atomic<int64_t> yes{0}, no{0};
  std::thread replacing([&] {
    for (int64_t revision = 1; revision <= kRevisions; ++revision) store_has(revision);
  });
  for (int64_t revision = 1; revision <= kRevisions; ++revision) {
    runner_.when_finished(revision, [&](bool finished) { ++(finished ? yes : no); });
  }
  replacing.join();
  EXPECT_EQ(yes, kRevisions);
  EXPECT_EQ(no, 0);
}

}  // namespace
}  // namespace mortise::server
