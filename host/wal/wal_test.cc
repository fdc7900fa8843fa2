#include "host/wal/wal.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "host/wal/test_util.h"

namespace mortise::wal {
namespace {

namespace fs = std::filesystem;

class TempDir {
 public:
  TempDir() {
    std::string name = (fs::temp_directory_path() / "mortise-wal-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TempDir() { fs::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(FormatTest, SegmentNames) {
  EXPECT_EQ(segment_file_name(1, 0x2a), "0000000000000001-000000000000002a.wal");
  const auto parsed = parse_segment_file_name("00000000000000ff-fedcba9876543210.wal");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->sequence, 0xffu);
  EXPECT_EQ(parsed->first_batch, 0xfedcba9876543210u);
  for (const char* bad :
       {"", "x.wal", "00000000000000FF-0000000000000001.wal",
        "0000000000000001_0000000000000001.wal", "0000000000000001-0000000000000001.wall",
        "000000000000001-00000000000000001.wal"}) {
    EXPECT_FALSE(parse_segment_file_name(bad)) << bad;
  }
}

TEST(FormatTest, CountsZeroSectorsByFilePosition) {
  std::string bytes(2048, '\0');
  EXPECT_EQ(count_zero_sectors(bytes, 0), 4u);
  EXPECT_EQ(count_zero_sectors(bytes, 32), 5u);
  bytes[480] = 1;  // At file offset 512 if the bytes begin at 32.
  EXPECT_EQ(count_zero_sectors(bytes, 0), 3u);
  EXPECT_EQ(count_zero_sectors(bytes, 32), 4u);
  bytes[479] = 1;
  EXPECT_EQ(count_zero_sectors(bytes, 32), 3u);
}

TEST(FormatTest, BatchHeaderIsBoundToItsPlace) {
  std::string batch(batch_extent(100), 'x');
  BatchHeader header;
  header.payload_bytes = 100;
  header.number = 7;
  seal_batch(header, 1, 2, 64, batch.data());
  BatchHeader decoded;
  EXPECT_TRUE(decode_batch_header(batch.data(), 2, 64, &decoded));
  EXPECT_EQ(decoded.number, 7u);
  EXPECT_EQ(decoded.chain, header.chain);
  EXPECT_FALSE(decode_batch_header(batch.data(), 2, 96, &decoded));
  EXPECT_FALSE(decode_batch_header(batch.data(), 3, 64, &decoded));
}

TEST(LatencyCounterTest, Buckets) {
  LatencyCounter counter;
  for (const uint64_t ns : {uint64_t{0}, uint64_t{1'000'000}, uint64_t{1'000'001},
                            uint64_t{2'000'000}, uint64_t{1} << 50}) {
    counter.add(ns);
  }
  EXPECT_EQ(counter.count, 5u);
  EXPECT_EQ(counter.buckets[0], 2u);
  EXPECT_EQ(counter.buckets[1], 2u);
  EXPECT_EQ(counter.buckets[LatencyCounter::kBuckets - 1], 1u);
}

TEST(WalTest, NewLogIsEmpty) {
  SimDisk disk(1);
  const Opened opened = open_log(sim_options(disk));
  ASSERT_TRUE(opened.status.ok()) << opened.status.message();
  EXPECT_TRUE(opened.wal->recovered().created);
  const Opened again = open_log(sim_options(disk));
  ASSERT_TRUE(again.status.ok()) << again.status.message();
  EXPECT_FALSE(again.wal->recovered().created);
  EXPECT_FALSE(again.wal->recovered().hard_state);
  EXPECT_FALSE(again.wal->recovered().snapshot);
  EXPECT_EQ(again.wal->recovered().first_index, 1u);
  EXPECT_EQ(again.wal->recovered().last_index, 0u);
  EXPECT_TRUE(again.sink.entries.empty());
}

TEST(WalTest, RoundTrip) {
  SimDisk disk(1);
  Model model;
  {
    const Opened opened = open_log(sim_options(disk));
    ASSERT_TRUE(opened.status.ok());
    const Batch batches[] = {
        {{}, {entry(1, 1), entry(2, 1, 0)}, HardState{1, 0x3e, 0}},
        {{}, {}, HardState{1, 0x3e, 2}},
        {SnapshotMark{2, 1}, {entry(3, 1, 900)}, {}},
    };
    for (const Batch& batch : batches) {
      ASSERT_TRUE(append(*opened.wal, batch).ok());
      model.apply(batch);
    }
    EXPECT_EQ(opened.wal->counters().batches, 4u);  // One more begins the segment.
    EXPECT_EQ(opened.wal->counters().sync.count, 4u);
  }
  const Opened again = open_log(sim_options(disk));
  ASSERT_TRUE(again.status.ok());
  EXPECT_EQ(again.sink.entries, model.entries);
  EXPECT_EQ(again.wal->recovered().hard_state, model.state);
  expect_same_mark(again.wal->recovered().snapshot, model.mark);
  EXPECT_EQ(again.wal->recovered().last_index, 3u);
  EXPECT_TRUE(again.wal->recovered().torn_segment.empty());
}

TEST(WalTest, EmptyBatchIsNotWritten) {
  SimDisk disk(1);
  const Opened opened = open_log(sim_options(disk));
  BatchBuffer nothing;
  ASSERT_TRUE(opened.wal->append(nothing).ok());
  EXPECT_EQ(opened.wal->counters().batches, 1u);
}

TEST(WalTest, DeliversFromTheWantedIndexOn) {
  SimDisk disk(1);
  {
    const Opened opened = open_log(sim_options(disk));
    for (uint64_t i = 1; i <= 6; ++i) {
      ASSERT_TRUE(append(*opened.wal, {{}, {entry(i, 1)}, {}}).ok());
    }
    ASSERT_TRUE(append(*opened.wal, {{}, {entry(4, 2), entry(5, 2)}, {}}).ok());
  }
  Options options = sim_options(disk);
  options.first_index = 5;
  const Opened again = open_log(options);
  ASSERT_TRUE(again.status.ok());
  EXPECT_EQ(again.sink.entries, (std::vector<OwnedEntry>{entry(5, 2)}));
  EXPECT_EQ(again.wal->recovered().first_index, 1u);
  EXPECT_EQ(again.wal->recovered().last_index, 5u);
}

TEST(WalTest, OverwritingDropsTheOldTail) {
  SimDisk disk(1);
  {
    const Opened opened = open_log(sim_options(disk));
    Batch first;
    for (uint64_t i = 1; i <= 5; ++i) first.entries.push_back(entry(i, 1));
    ASSERT_TRUE(append(*opened.wal, first).ok());
    ASSERT_TRUE(append(*opened.wal, {{}, {entry(3, 2)}, {}}).ok());
  }
  {
    const Opened again = open_log(sim_options(disk));
    ASSERT_TRUE(again.status.ok());
    EXPECT_EQ(again.sink.entries, (std::vector<OwnedEntry>{entry(1, 1), entry(2, 1), entry(3, 2)}));
    ASSERT_TRUE(append(*again.wal, {{}, {entry(4, 3), entry(2, 4)}, {}}).ok());
  }
  const Opened last = open_log(sim_options(disk));
  EXPECT_EQ(last.sink.entries, (std::vector<OwnedEntry>{entry(1, 1), entry(2, 4)}));
}

TEST(WalTest, InstalledSnapshotReplacesTheLog) {
  SimDisk disk(1);
  {
    const Opened opened = open_log(sim_options(disk));
    ASSERT_TRUE(append(*opened.wal, {{}, {entry(1, 1), entry(2, 1), entry(3, 1)}, {}}).ok());
    ASSERT_TRUE(append(*opened.wal, {SnapshotMark{2, 5, true}, {}, {}}).ok());
  }
  {
    const Opened again = open_log(sim_options(disk));
    ASSERT_TRUE(again.status.ok());
    EXPECT_TRUE(again.sink.entries.empty());
    EXPECT_EQ(again.wal->recovered().first_index, 3u);
    EXPECT_EQ(again.wal->recovered().last_index, 2u);
    ASSERT_TRUE(append(*again.wal, {{}, {entry(3, 5)}, {}}).ok());
    // The mark that the next segment repeats must not replace anything again.
    ASSERT_TRUE(append(*again.wal, {{}, {entry(4, 5, 5000)}, {}}).ok());
  }
  const Opened last = open_log(sim_options(disk));
  ASSERT_TRUE(last.status.ok());
  EXPECT_EQ(last.sink.entries, (std::vector<OwnedEntry>{entry(3, 5), entry(4, 5, 5000)}));
  expect_same_mark(last.wal->recovered().snapshot, SnapshotMark{2, 5});
}

TEST(WalTest, CutsSegmentsAndContinuesAfterReopen) {
  SimDisk disk(1);
  Model model;
  uint64_t index = 0;
  for (int round = 0; round < 4; ++round) {
    const Opened opened = open_log(sim_options(disk, 1024));
    ASSERT_TRUE(opened.status.ok()) << opened.status.message();
    EXPECT_EQ(opened.sink.entries, model.entries);
    for (int i = 0; i < 10; ++i) {
      ++index;
      const Batch batch{{}, {entry(index, 1, 100 + i)}, HardState{1, 1, index}};
      ASSERT_TRUE(append(*opened.wal, batch).ok());
      model.apply(batch);
      if (i % 2 == 0) opened.wal->prepare_next();
    }
  }
  const Opened last = open_log(sim_options(disk, 1024));
  ASSERT_TRUE(last.status.ok());
  EXPECT_EQ(last.sink.entries, model.entries);
  EXPECT_GT(last.wal->counters().segments, 5u);
  EXPECT_EQ(last.wal->recovered().hard_state, model.state);
}

TEST(WalTest, HugeBatchGetsASegmentOfItsSize) {
  SimDisk disk(1);
  const OwnedEntry huge = entry(2, 1, 100'000);
  {
    const Opened opened = open_log(sim_options(disk));
    ASSERT_TRUE(append(*opened.wal, {{}, {entry(1, 1)}, HardState{1, 2, 0}}).ok());
    ASSERT_TRUE(append(*opened.wal, {{}, {huge}, {}}).ok());
    ASSERT_TRUE(append(*opened.wal, {{}, {entry(3, 1, 1000)}, {}}).ok());
  }
  EXPECT_EQ(disk.paths().size(), 3u);
  const Opened again = open_log(sim_options(disk));
  ASSERT_TRUE(again.status.ok());
  EXPECT_EQ(again.sink.entries, (std::vector<OwnedEntry>{entry(1, 1), huge, entry(3, 1, 1000)}));
  EXPECT_EQ(again.wal->recovered().hard_state, (HardState{1, 2, 0}));
}

TEST(WalTest, ReleaseKeepsWhatIsNeeded) {
  SimDisk disk(1);
  {
    const Opened opened = open_log(sim_options(disk, 1024));
    ASSERT_TRUE(append(*opened.wal, {SnapshotMark{0, 0}, {}, HardState{7, 3, 0}}).ok());
    for (uint64_t i = 1; i <= 30; ++i) {
      ASSERT_TRUE(append(*opened.wal, {{}, {entry(i, 7, 200)}, {}}).ok());
    }
    const uint64_t before = opened.wal->counters().segments;
    ASSERT_TRUE(opened.wal->release(15).ok());
    EXPECT_LT(opened.wal->counters().segments, before);
    EXPECT_EQ(opened.wal->counters().segments, disk.paths().size());
  }
  {
    const Opened again = open_log(sim_options(disk, 1024));
    ASSERT_TRUE(again.status.ok()) << again.status.message();
    EXPECT_LE(again.wal->recovered().first_index, 16u);
    EXPECT_GT(again.wal->recovered().first_index, 1u);
    ASSERT_FALSE(again.sink.entries.empty());
    for (const OwnedEntry& e : again.sink.entries) EXPECT_EQ(e, entry(e.index, 7, 200));
    EXPECT_EQ(again.sink.entries.back().index, 30u);
    EXPECT_EQ(again.wal->recovered().hard_state, (HardState{7, 3, 0}));
    ASSERT_TRUE(again.wal->release(1000).ok());
    EXPECT_EQ(disk.paths().size(), 1u);  // The newest stays.
    ASSERT_TRUE(append(*again.wal, {{}, {entry(31, 7)}, {}}).ok());
  }
  const Opened last = open_log(sim_options(disk, 1024));
  ASSERT_TRUE(last.status.ok());
  EXPECT_EQ(last.sink.entries.back(), entry(31, 7));
  EXPECT_EQ(last.wal->recovered().hard_state, (HardState{7, 3, 0}));
}

// Elections without writes can fill the newest segment; all entries may then be released.
TEST(WalTest, WhatIsLeftNeedNotTellAnIndex) {
  SimDisk disk(1);
  {
    const Opened opened = open_log(sim_options(disk, 1024));
    for (uint64_t i = 1; i <= 5; ++i) {
      ASSERT_TRUE(append(*opened.wal, {{}, {entry(i, 7, 200)}, HardState{7, 3, i}}).ok());
    }
    for (uint64_t term = 8; disk.paths().size() > 1 || term < 20; ++term) {
      ASSERT_TRUE(append(*opened.wal, {{}, {}, HardState{term, 3, 5}}).ok());
      ASSERT_TRUE(opened.wal->release(5).ok());
      ASSERT_LT(term, 100u);
    }
    EXPECT_FALSE(opened.wal->recovered().has_no_index());
  }
  {
    const Opened again = open_log(sim_options(disk, 1024));
    ASSERT_TRUE(again.status.ok()) << again.status.message();
    EXPECT_TRUE(again.wal->recovered().has_no_index());
    EXPECT_EQ(again.wal->recovered().hard_state->commit, 5u);
    ASSERT_TRUE(append(*again.wal, {{}, {entry(6, 20)}, {}}).ok());
  }
  const Opened last = open_log(sim_options(disk, 1024));
  ASSERT_TRUE(last.status.ok()) << last.status.message();
  EXPECT_FALSE(last.wal->recovered().has_no_index());
  EXPECT_EQ(last.sink.entries.back(), entry(6, 20));
}

TEST(WalTest, ReleaseGoesOnAfterAFailure) {
  SimDisk disk(1);
  const Opened opened = open_log(sim_options(disk, 1024));
  for (uint64_t i = 1; i <= 10; ++i) {
    ASSERT_TRUE(append(*opened.wal, {{}, {entry(i, 7, 500)}, {}}).ok());
  }
  disk.fail_removes(true);
  EXPECT_EQ(opened.wal->release(10).code(), StatusCode::kIo);
  disk.fail_removes(false);
  disk.fail_syncs(true);
  EXPECT_EQ(opened.wal->release(10).code(), StatusCode::kIo);
  disk.fail_syncs(false);
  EXPECT_TRUE(opened.wal->release(10).ok());
  EXPECT_EQ(disk.paths().size(), 1u);
  EXPECT_TRUE(append(*opened.wal, {{}, {entry(11, 7)}, {}}).ok());
}

TEST(WalTest, MissingLogIsNotMadeUnlessAsked) {
  SimDisk disk(1);
  Options options = sim_options(disk);
  options.create_if_missing = false;
  EXPECT_EQ(open_log(options).status.code(), StatusCode::kNotFound);
  EXPECT_EQ(Wal::inspect("wal", &disk).status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(disk.create_dir("wal").ok());
  EXPECT_EQ(open_log(options).status.code(), StatusCode::kNotFound);
  EXPECT_TRUE(disk.paths().empty());
}

TEST(WalTest, InspectTellsWhoseLogItIs) {
  SimDisk disk(1);
  ASSERT_TRUE(open_log(sim_options(disk)).status.ok());
  auto identity = Wal::inspect("wal", &disk);
  ASSERT_TRUE(identity.ok());
  EXPECT_EQ(identity->cluster_id, 0xc1u);
  EXPECT_EQ(identity->member_id, 0x3eu);
  EXPECT_EQ(identity->segments, 1u);
}

TEST(WalTest, FailureIsFinal) {
  for (const bool sync : {true, false}) {
    SimDisk disk(1);
    {
      const Opened opened = open_log(sim_options(disk));
      ASSERT_TRUE(append(*opened.wal, {{}, {entry(1, 1)}, {}}).ok());
      if (sync) disk.fail_syncs(true);
      if (!sync) disk.limit_space(100);
      const Status failure = append(*opened.wal, {{}, {entry(2, 1, 300)}, {}});
      EXPECT_EQ(failure.code(), sync ? StatusCode::kIo : StatusCode::kNoSpace);
      disk.fail_syncs(false);
      disk.limit_space(UINT64_MAX);
      EXPECT_EQ(append(*opened.wal, {{}, {entry(2, 1)}, {}}).message(), failure.message());
    }
    disk.power_loss();
    const Opened again = open_log(sim_options(disk));
    ASSERT_TRUE(again.status.ok()) << again.status.message();
    ASSERT_FALSE(again.sink.entries.empty());
    EXPECT_EQ(again.sink.entries[0], entry(1, 1));
  }
}

// The sync failed, the system took the pages for clean, and the process started again without a
// power loss: what the log then reports must be on the disk before anything is built on it.
TEST(WalTest, WhatReopenReportsIsDurable) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SimDisk disk(seed);
    {
      const Opened opened = open_log(sim_options(disk));
      disk.fail_syncs(true);
      EXPECT_FALSE(append(*opened.wal, {{}, {entry(1, 1, 2000)}, {}}).ok());
      disk.fail_syncs(false);
    }
    {
      const Opened again = open_log(sim_options(disk));
      ASSERT_TRUE(again.status.ok());
      ASSERT_EQ(again.sink.entries.size(), 1u);
    }
    disk.power_loss();
    const Opened last = open_log(sim_options(disk));
    ASSERT_TRUE(last.status.ok());
    EXPECT_EQ(last.sink.entries, (std::vector<OwnedEntry>{entry(1, 1, 2000)}));
  }
}

TEST(WalTest, SegmentSizeHasAMinimum) {
  SimDisk disk(1);
  EXPECT_EQ(open_log(sim_options(disk, 1023)).status.code(), StatusCode::kInvalid);
}

TEST(WalDeathTest, GapIsABug) {
  SimDisk disk(1);
  const Opened opened = open_log(sim_options(disk));
  ASSERT_TRUE(append(*opened.wal, {{}, {entry(1, 1)}, {}}).ok());
  EXPECT_DEATH(static_cast<void>(append(*opened.wal, {{}, {entry(3, 1)}, {}})), "gap in the log");
  BatchBuffer buffer;
  buffer.add_entry({1, 5, 0, ""});
  EXPECT_DEATH(buffer.add_entry({1, 7, 0, ""}), "gap in the log");
}

TEST(PosixTest, RoundTripWithRealFiles) {
  TempDir temp;
  Options options;
  options.dir = temp.path() + "/wal";
  options.segment_bytes = 64 << 10;
  std::vector<OwnedEntry> entries;
  for (const bool no_fsync : {false, true}) {
    options.unsafe_no_fsync = no_fsync;
    const Opened opened = open_log(options);
    ASSERT_TRUE(opened.status.ok()) << opened.status.message();
    EXPECT_EQ(opened.sink.entries, entries);
    for (int i = 0; i < 40; ++i) {
      entries.push_back(entry(entries.size() + 1, 1, 3000));
      ASSERT_TRUE(append(*opened.wal, {{}, {entries.back()}, {}}).ok());
      opened.wal->prepare_next();
    }
    EXPECT_EQ(opened.wal->counters().sync.count == 0, no_fsync);
  }
  const Opened again = open_log(options);
  ASSERT_TRUE(again.status.ok());
  EXPECT_EQ(again.sink.entries, entries);
  ASSERT_TRUE(again.wal->release(30).ok());
  struct stat info;
  ASSERT_EQ(::stat(options.dir.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  for (const auto& file : fs::directory_iterator(options.dir)) {
    ASSERT_EQ(::stat(file.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
    EXPECT_EQ(info.st_size, 64 << 10);
  }
}

TEST(PosixTest, ErrorsNameThePath) {
  TempDir temp;
  Options options;
  options.dir = temp.path() + "/no/wal";
  const Opened no_parent = open_log(options);
  EXPECT_EQ(no_parent.status.code(), StatusCode::kNotFound);
  EXPECT_NE(no_parent.status.message().find(options.dir), std::string::npos);
  options.dir = temp.path() + "/file";
  std::ofstream(options.dir) << "x";
  const Opened not_a_dir = open_log(options);
  EXPECT_EQ(not_a_dir.status.code(), StatusCode::kIo);
  EXPECT_NE(not_a_dir.status.message().find(options.dir), std::string::npos);
}

// Two segments; docs/formats/wal.md walks through the first one.
void write_golden(const std::string& dir) {
  Options options;
  options.dir = dir;
  options.cluster_id = 0x0123456789abcdef;
  options.member_id = 0xfedcba9876543210;
  options.segment_bytes = 1024;
  const Opened opened = open_log(options);
  ASSERT_TRUE(opened.status.ok()) << opened.status.message();
  const Batch batches[] = {
      {{}, {{1, 1, 0, "hello"}}, HardState{1, options.member_id, 0}},
      {{}, {{1, 2, 1, std::string(1000, '\0')}}, HardState{1, options.member_id, 1}},
      {SnapshotMark{1, 1}, {{2, 2, 0, "replaced"}, {2, 3, 0, ""}}, HardState{2, 0, 2}},
  };
  for (const Batch& batch : batches) ASSERT_TRUE(append(*opened.wal, batch).ok());
}

constexpr char kGolden[] = "testdata/wal-v1.golden";

TEST(GoldenTest, VersionOneOpens) {
  if (::getenv("MORTISE_REWRITE_GOLDEN") != nullptr) {
    fs::remove_all(kGolden);
    write_golden(kGolden);
  }
  TempDir temp;
  Options options;
  options.dir = temp.path() + "/wal";
  fs::copy(kGolden, options.dir);
  for (const auto& file : fs::directory_iterator(options.dir)) {
    fs::permissions(file.path(), fs::perms::owner_read | fs::perms::owner_write);
  }
  auto identity = Wal::inspect(options.dir);
  ASSERT_TRUE(identity.ok()) << identity.status().message();
  EXPECT_EQ(identity->segments, 2u);
  options.cluster_id = identity->cluster_id;
  options.member_id = identity->member_id;
  options.segment_bytes = 1024;
  const Opened opened = open_log(options);
  ASSERT_TRUE(opened.status.ok()) << opened.status.message();
  EXPECT_EQ(options.cluster_id, 0x0123456789abcdefu);
  EXPECT_EQ(options.member_id, 0xfedcba9876543210u);
  EXPECT_EQ(opened.sink.entries,
            (std::vector<OwnedEntry>{{1, 1, 0, "hello"}, {2, 2, 0, "replaced"}, {2, 3, 0, ""}}));
  EXPECT_EQ(opened.wal->recovered().hard_state, (HardState{2, 0, 2}));
  expect_same_mark(opened.wal->recovered().snapshot, SnapshotMark{1, 1});
  EXPECT_TRUE(append(*opened.wal, {{}, {entry(4, 2)}, {}}).ok());
}

// This program writes version 1 byte for byte.
TEST(GoldenTest, VersionOneIsWrittenAlike) {
  TempDir temp;
  const std::string dir = temp.path() + "/wal";
  write_golden(dir);
  size_t files = 0;
  for (const auto& file : fs::directory_iterator(dir)) {
    ++files;
    EXPECT_TRUE(read_file(file.path()) == read_file(kGolden / file.path().filename()))
        << file.path().filename();
  }
  EXPECT_EQ(files, 2u);
}

}  // namespace
}  // namespace mortise::wal
