#include "tests/sim/simulation.h"

#include <gtest/gtest.h>

namespace mortise::sim {
namespace {

Report run(uint64_t seed, Micros duration, Bug bug = Bug::kNone) {
  Options options;
  options.seed = seed;
  options.duration = duration;
  options.bug = bug;
  return Simulation(options).run();
}

TEST(Simulation, SameSeedSameTrace) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    const Report first = run(seed, 15 * kSecond);
    const Report second = run(seed, 15 * kSecond);
    EXPECT_EQ(first.failure, "");
    EXPECT_GT(first.entries, 10u);
    EXPECT_EQ(first.trace_hash, second.trace_hash) << "seed " << seed;
    EXPECT_EQ(first.events, second.events);
    EXPECT_NE(first.trace_hash, run(seed + 100, 15 * kSecond).trace_hash);
  }
}

// A founder is up here, and has not applied the entries that all founders begin with, when the
// operator first looks for machines that were removed.
TEST(Simulation, NobodyIsRemovedBeforeTheFirstEntriesAreApplied) {
  EXPECT_EQ(run(302101, 30 * kSecond).failure, "");
}

// One voter is removed, the log of another one is damaged, and a loss of power makes a third forget
// that the first is not needed any more.
TEST(Simulation, DamageWaitsUntilARemovalIsNotForgotten) {
  EXPECT_EQ(run(401166, 30 * kSecond).failure, "");
}

// A simulation proves nothing about what it does not meet.
TEST(Simulation, MeetsWhatItIsFor) {
  Report all;
  for (uint64_t seed = 1000; seed < 1030; ++seed) {
    const Report report = run(seed, 20 * kSecond);
    ASSERT_EQ(report.failure, "") << "mortise-sim --seed " << seed << " --seconds 20 --trace";
    all.answered_writes += report.answered_writes;
    all.answered_reads += report.answered_reads;
    all.unknown += report.unknown;
    all.watched_events += report.watched_events;
    all.membership_changes += report.membership_changes;
    all.snapshots += report.snapshots;
    all.refused += report.refused;
    for (const auto& [name, count] : report.faults) all.faults[name] += count;
  }
  EXPECT_GT(all.answered_writes, 1000u);
  EXPECT_GT(all.answered_reads, 500u);
  EXPECT_GT(all.unknown, 10u);
  EXPECT_GT(all.watched_events, 1000u);
  EXPECT_GT(all.membership_changes, 10u);
  EXPECT_EQ(all.faults.size(), 16u);
  EXPECT_GT(all.snapshots, 5u);
  EXPECT_GT(all.refused, 0u);
}

}  // namespace
}  // namespace mortise::sim
