// Random appends, releases and reopens on a disk that loses power at any operation, the recovery's
// own included. What was acknowledged is there afterwards; what was not is there whole or not at
// all.
#include <gtest/gtest.h>

#include "host/wal/test_util.h"

namespace mortise::wal {
namespace {

class CrashRun {
 public:
  explicit CrashRun(uint64_t seed)
      : random_(seed), disk_(seed * 7919 + 1), options_(sim_options(disk_, 1024 << pick(4))) {}

  void run() {
    for (int round = 0; round < 8 && !testing::Test::HasFailure(); ++round) {
      if (pick(3) == 0) disk_.lose_power_after(1 + pick(12));
      Opened opened = open_log(options_);
      if (!disk_.powered()) {
        opened.wal.reset();
        disk_.power_loss();
        opened = open_log(options_);
      }
      ASSERT_TRUE(opened.status.ok()) << opened.status.message();
      check(opened);
      if (!opened.wal->recovered().torn_segment.empty()) ++torn_seen;
      use(*opened.wal);
      opened.wal.reset();
      if (pick(4) != 0 || !disk_.powered()) disk_.power_loss();
    }
  }

  static inline uint64_t torn_seen = 0;
  static inline uint64_t in_flight_kept = 0;
  static inline uint64_t in_flight_lost = 0;

 private:
  uint64_t pick(uint64_t limit) { return random_() % limit; }

  void use(Wal& wal) {
    in_flight_.reset();
    if (pick(4) != 0) disk_.lose_power_after(1 + pick(60));
    const uint64_t batches = pick(25);
    for (uint64_t i = 0; i < batches; ++i) {
      const Batch batch = random_batch();
      if (!append(wal, batch).ok()) {
        ASSERT_FALSE(disk_.powered());
        in_flight_ = batch;
        return;
      }
      acknowledged_.apply(batch);
      if (pick(3) == 0) wal.prepare_next();
      if (pick(6) == 0 && acknowledged_.last_index > released_) {
        released_ += pick(acknowledged_.last_index - released_ + 1);
        static_cast<void>(wal.release(released_));
      }
    }
  }

  Batch random_batch() {
    Batch batch;
    uint64_t last = acknowledged_.last_index;
    if (pick(12) == 0) {
      const bool replaces = pick(2) == 0;
      batch.mark = SnapshotMark{replaces ? last + 1 + pick(9) : last, term_, replaces};
      if (replaces) last = batch.mark->index;
    }
    const uint64_t floor = batch.mark ? last : released_;
    if (pick(6) == 0 && last > floor) last -= pick(last - floor);  // Overwrites.
    for (uint64_t n = pick(5); n > 0; --n) batch.entries.push_back(random_entry(++last));
    if (pick(3) == 0 || (batch.entries.empty() && !batch.mark)) {
      batch.state = HardState{++term_, pick(3), last};
    }
    return batch;
  }

  OwnedEntry random_entry(uint64_t index) {
    OwnedEntry e{term_, index, static_cast<uint8_t>(pick(3)),
                 pattern(pick(8) == 0 ? pick(4000) : pick(300), random_())};
    if (pick(4) == 0) e.data.assign(e.data.size() * 2, '\0');
    return e;
  }

  static bool holds(const Opened& opened, const Model& model, uint64_t released) {
    const auto& got = opened.sink.entries;
    const Recovered& recovered = opened.wal->recovered();
    if (recovered.hard_state != model.state) return false;
    if (recovered.snapshot.has_value() != model.mark.has_value()) return false;
    if (model.mark && (recovered.snapshot->index != model.mark->index ||
                       recovered.snapshot->term != model.mark->term)) {
      return false;
    }
    // Released entries may be gone from the front, no others.
    if (got.size() > model.entries.size()) return false;
    const size_t gone = model.entries.size() - got.size();
    if (gone > 0 && model.entries[gone - 1].index > released) return false;
    return std::equal(got.begin(), got.end(), model.entries.begin() + static_cast<ptrdiff_t>(gone));
  }

  // The recovered log becomes the one that is acknowledged.
  void check(const Opened& opened) {
    Model with_in_flight = acknowledged_;
    if (in_flight_) with_in_flight.apply(*in_flight_);
    const bool kept = in_flight_ && holds(opened, with_in_flight, released_);
    const bool lost = holds(opened, acknowledged_, released_);
    ASSERT_TRUE(kept || lost) << opened.sink.entries.size() << " entries recovered, "
                              << acknowledged_.entries.size() << " acknowledged";
    if (in_flight_) ++(kept ? in_flight_kept : in_flight_lost);
    if (kept) acknowledged_ = with_in_flight;
    in_flight_.reset();
  }

  std::mt19937_64 random_;
  SimDisk disk_;
  const Options options_;
  Model acknowledged_;
  std::optional<Batch> in_flight_;
  uint64_t released_ = 0;
  uint64_t term_ = 1;
};

TEST(CrashTest, AcknowledgedBatchesSurvive) {
  constexpr uint64_t kSeeds = 800;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    CrashRun(seed).run();
    if (HasFailure()) return;
  }
  // The runs must have met what they are for.
  EXPECT_GT(CrashRun::torn_seen, kSeeds / 20);
  EXPECT_GT(CrashRun::in_flight_kept, kSeeds / 20);
  EXPECT_GT(CrashRun::in_flight_lost, kSeeds / 20);
  RecordProperty("torn", static_cast<int>(CrashRun::torn_seen));
  RecordProperty("kept", static_cast<int>(CrashRun::in_flight_kept));
  RecordProperty("lost", static_cast<int>(CrashRun::in_flight_lost));
}

// The disk must lose what is not synced, or the other tests here say nothing.
TEST(CrashTest, WithoutSyncsTheDiskLosesBatches) {
  int lost = 0;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SimDisk disk(seed);
    Options options = sim_options(disk);
    ASSERT_TRUE(open_log(options).status.ok());
    options.unsafe_no_fsync = true;
    {
      const Opened opened = open_log(options);
      for (uint64_t i = 1; i <= 5; ++i) {
        ASSERT_TRUE(append(*opened.wal, {{}, {entry(i, 1, 500)}, {}}).ok());
      }
    }
    disk.power_loss();
    const Opened again = open_log(options);
    if (!again.status.ok() || again.sink.entries.size() < 5) ++lost;
  }
  EXPECT_GT(lost, 10);
}

// Power lost at each operation of one sequence with segment cuts, one after the other.
TEST(CrashTest, EveryOperationOfACut) {
  for (uint64_t stop = 1;; ++stop) {
    for (uint64_t seed = 0; seed < 8; ++seed) {
      SCOPED_TRACE("operation " + std::to_string(stop) + " seed " + std::to_string(seed));
      SimDisk disk(seed);
      const Options options = sim_options(disk, 1024);
      disk.lose_power_after(stop);
      uint64_t acknowledged = 0;
      {
        const Opened opened = open_log(options);
        while (opened.wal && acknowledged < 12) {
          if (!append(*opened.wal, {{}, {entry(acknowledged + 1, 1, 400)}, {}}).ok()) break;
          ++acknowledged;
          if (acknowledged % 2 == 0) opened.wal->prepare_next();
        }
      }
      if (disk.powered()) return;  // The whole sequence ran.
      disk.power_loss();
      const Opened again = open_log(options);
      ASSERT_TRUE(again.status.ok()) << again.status.message();
      ASSERT_GE(again.sink.entries.size(), acknowledged);
      ASSERT_LE(again.sink.entries.size(), acknowledged + 1);
      for (const OwnedEntry& e : again.sink.entries) ASSERT_EQ(e, entry(e.index, 1, 400));
    }
  }
}

}  // namespace
}  // namespace mortise::wal
