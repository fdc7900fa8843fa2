// Damage of every kind to the files of a log, and what open() makes of it.
#include <gtest/gtest.h>

#include <map>

#include "host/wal/test_util.h"

namespace mortise::wal {
namespace {

using Snapshot = std::map<std::string, std::string>;

Snapshot files_of(SimDisk& disk) {
  Snapshot files;
  for (const std::string& path : disk.paths()) files[path] = disk.contents(path);
  return files;
}

// A log of three segments with entries 1..; the last batch of the newest spans several sectors.
class RecoveryTest : public testing::Test {
 protected:
  void SetUp() override {
    const Opened opened = open_log(sim_options(disk_));
    ASSERT_TRUE(opened.status.ok());
    for (uint64_t i = 1; i <= 12; ++i) write(*opened.wal, entry(i, 1, 700));
    OwnedEntry last = entry(13, 1, 1500);
    last.data.replace(200, 1100, 1100, '\0');  // At least one sector that is zero by nature.
    write(*opened.wal, last);
    disk_.settle();
    good_ = files_of(disk_);
    ASSERT_EQ(good_.size(), 3u);
    newest_ = good_.rbegin()->first;
    middle_ = std::next(good_.begin())->first;
    bounds_ = batch_bounds(disk_, newest_);
    ASSERT_GE(bounds_.size(), 3u);
    ASSERT_GT(count_zero_sectors(last_batch(), bounds_.back().begin), 0u);
  }

  void write(Wal& wal, const OwnedEntry& entry) {
    const Batch batch{{}, {entry}, HardState{1, 1, entry.index}};
    ASSERT_TRUE(append(wal, batch).ok());
    if (entry.index < 13) before_last_.apply(batch);
    complete_.apply(batch);
  }

  std::string_view last_batch() {
    const Bounds last = bounds_.back();
    return std::string_view(good_[newest_]).substr(last.begin, last.end - last.begin);
  }

  void restore() {
    for (const auto& [path, data] : good_) disk_.contents(path) = data;
    disk_.settle();
  }

  // The write after a recovery may have cut a segment.
  void remove_new_segments() {
    for (const std::string& path : disk_.paths()) {
      if (!good_.contains(path)) {
        ASSERT_TRUE(disk_.remove(path).ok());
      }
    }
  }

  // Opens the damaged log and expects it refused, named and untouched.
  void expect_refused(const std::string& path, uint64_t offset, const std::string& what = "") {
    disk_.settle();
    const Snapshot before = files_of(disk_);
    const Opened opened = open_log(sim_options(disk_));
    ASSERT_FALSE(opened.status.ok()) << what;
    const std::string& message = opened.status.message();
    EXPECT_EQ(opened.status.code(), StatusCode::kCorruption) << message;
    const std::string place = path + ": offset " + std::to_string(offset) + ":";
    EXPECT_NE(message.find(place), std::string::npos) << message << " lacks " << place << what;
    EXPECT_EQ(files_of(disk_), before);
  }

  // Opens the damaged log, expects the model, and that the tail is clean and the log writable.
  void expect_recovered(const Model& model, bool torn, const std::string& what = "") {
    disk_.settle();
    {
      const Opened opened = open_log(sim_options(disk_));
      ASSERT_TRUE(opened.status.ok()) << opened.status.message() << what;
      EXPECT_EQ(opened.sink.entries, model.entries) << what;
      EXPECT_EQ(opened.wal->recovered().hard_state, model.state) << what;
      EXPECT_EQ(!opened.wal->recovered().torn_segment.empty(), torn) << what;
      if (torn) {
        EXPECT_EQ(opened.wal->recovered().torn_segment, newest_);
        EXPECT_EQ(opened.wal->recovered().torn_offset, bounds_.back().begin);
        const std::string& now = disk_.contents(newest_);
        EXPECT_TRUE(all_zero(std::string_view(now).substr(bounds_.back().begin))) << what;
      }
      EXPECT_GE(disk_.contents(newest_).size(), 4096u);
      const uint64_t next = model.last_index + 1;
      ASSERT_TRUE(append(*opened.wal, {{}, {entry(next, 2)}, {}}).ok());
    }
    disk_.power_loss();
    const Opened again = open_log(sim_options(disk_));
    ASSERT_TRUE(again.status.ok()) << again.status.message() << what;
    EXPECT_TRUE(again.wal->recovered().torn_segment.empty());
    EXPECT_EQ(again.sink.entries.size(), model.entries.size() + 1);
  }

  SimDisk disk_{1};
  Snapshot good_;
  std::string newest_;
  std::string middle_;
  std::vector<Bounds> bounds_;  // Of the batches in the newest segment.
  Model before_last_;
  Model complete_;
};

TEST_F(RecoveryTest, CompleteLogOpens) { expect_recovered(complete_, false); }

TEST_F(RecoveryTest, FileCutAtEveryByteOfTheLastBatch) {
  const Bounds last = bounds_.back();
  for (uint64_t end = last.begin; end < last.end; ++end) {
    restore();
    disk_.contents(newest_).resize(end);
    const std::string head = disk_.contents(newest_).substr(last.begin);
    expect_recovered(before_last_, !all_zero(head), " cut at " + std::to_string(end));
    if (HasFailure()) return;
    remove_new_segments();
  }
}

TEST_F(RecoveryTest, EverySetOfLostSectorsOfTheLastBatch) {
  const Bounds last = bounds_.back();
  const uint64_t first_sector = last.begin / kSectorBytes;
  const uint64_t sectors = (last.end - 1) / kSectorBytes - first_sector + 1;
  ASSERT_GE(sectors, 4u);
  for (uint64_t lost = 1; lost < (1u << sectors); ++lost) {
    restore();
    std::string& data = disk_.contents(newest_);
    for (uint64_t i = 0; i < sectors; ++i) {
      if ((lost >> i & 1) == 0) continue;
      const uint64_t begin = std::max(last.begin, (first_sector + i) * kSectorBytes);
      const uint64_t end = std::min(last.end, (first_sector + i + 1) * kSectorBytes);
      data.replace(begin, end - begin, end - begin, '\0');
    }
    const std::string what = " lost " + std::to_string(lost);
    if (data == good_[newest_]) {
      expect_recovered(complete_, false, what);  // Zero by nature: nothing was lost.
    } else {
      const bool anything = !all_zero(std::string_view(data).substr(last.begin));
      expect_recovered(before_last_, anything, what);
    }
    if (HasFailure()) return;
    remove_new_segments();
  }
}

// As a full disk cuts a write short, in the header too.
TEST_F(RecoveryTest, ZerosFromEveryByteOfTheLastBatchOn) {
  const Bounds last = bounds_.back();
  for (uint64_t from = last.begin; from < last.end; ++from) {
    restore();
    std::string& data = disk_.contents(newest_);
    data.replace(from, last.end - from, last.end - from, '\0');
    expect_recovered(before_last_, from > last.begin, " zeros from " + std::to_string(from));
    if (HasFailure()) return;
    remove_new_segments();
  }
}

// A header that ends in zeros is one cut short only if nothing follows it.
TEST_F(RecoveryTest, PartOfTheHeaderZeroedInACompleteBatch) {
  const Bounds last = bounds_.back();
  for (uint64_t from = last.begin + 1; from < last.begin + kBatchHeaderBytes; ++from) {
    std::string& data = disk_.contents(newest_);
    const uint64_t count = last.begin + kBatchHeaderBytes - from;
    data.replace(from, count, count, '\0');
    expect_refused(newest_, last.begin, " zeros from " + std::to_string(from));
    data = good_[newest_];
  }
}

TEST_F(RecoveryTest, FlippedBitInEveryByteOfTheCompleteLastBatch) {
  const Bounds last = bounds_.back();
  for (uint64_t at = last.begin; at < last.end; ++at) {
    disk_.contents(newest_)[at] ^= static_cast<char>(1 << at % 8);
    expect_refused(newest_, last.begin, " flip at " + std::to_string(at));
    if (HasFailure()) return;
    disk_.contents(newest_)[at] = good_[newest_][at];
  }
}

TEST_F(RecoveryTest, FlippedBitInEveryByteOfEarlierBatches) {
  for (const auto& [path, data] : good_) {
    auto bounds = batch_bounds(disk_, path);
    if (path == newest_) bounds.pop_back();
    for (const Bounds batch : bounds) {
      for (uint64_t at = batch.begin; at < batch.end; ++at) {
        disk_.contents(path)[at] ^= static_cast<char>(1 << at % 8);
        expect_refused(path, batch.begin, " flip at " + std::to_string(at));
        if (HasFailure()) return;
        disk_.contents(path)[at] = data[at];
      }
    }
  }
}

TEST_F(RecoveryTest, FlippedBitInEveryByteOfTheSegmentHeader) {
  for (const auto& [path, data] : good_) {
    for (uint64_t at = 0; at < kSegmentHeaderBytes; ++at) {
      disk_.contents(path)[at] ^= 0x10;
      const bool version = at >= 8 && at < 12;  // Reads as a format that is newer.
      if (version) {
        const Opened opened = open_log(sim_options(disk_));
        EXPECT_EQ(opened.status.code(), StatusCode::kInvalid);
        EXPECT_NE(opened.status.message().find(path), std::string::npos);
        EXPECT_NE(opened.status.message().find("newer"), std::string::npos);
      } else {
        expect_refused(path, 0, " flip at " + std::to_string(at));
      }
      disk_.contents(path)[at] = data[at];
    }
  }
}

TEST_F(RecoveryTest, LostSectorOfAnEarlierBatchIsDamage) {
  for (const auto& [path, data] : good_) {
    auto bounds = batch_bounds(disk_, path);
    const bool newest = path == newest_;
    if (newest) bounds.pop_back();
    for (const Bounds batch : bounds) {
      for (uint64_t sector = batch.begin / kSectorBytes; sector * kSectorBytes < batch.end;
           ++sector) {
        const uint64_t begin = std::max(batch.begin, sector * kSectorBytes);
        const uint64_t end = std::min(batch.end, (sector + 1) * kSectorBytes);
        disk_.contents(path).replace(begin, end - begin, end - begin, '\0');
        expect_refused(path, batch.begin, " sector " + std::to_string(sector));
        if (HasFailure()) return;
        disk_.contents(path) = data;
      }
    }
  }
}

TEST_F(RecoveryTest, LastBatchOfAnOlderSegmentMayNotBeMissing) {
  const Bounds last = batch_bounds(disk_, middle_).back();
  std::string& data = disk_.contents(middle_);
  data.replace(last.begin, data.size() - last.begin, data.size() - last.begin, '\0');
  expect_refused(middle_, last.begin);
  data.resize(last.begin);
  expect_refused(middle_, last.begin);
  data.resize(last.begin + 40);
  expect_refused(middle_, last.begin);
}

// A segment is named when its first batch is on disk, so that batch cannot be torn.
TEST_F(RecoveryTest, FirstBatchOfTheNewestSegmentIsNeverTorn) {
  std::string& data = disk_.contents(newest_);
  data.replace(kSegmentHeaderBytes, data.size() - kSegmentHeaderBytes,
               data.size() - kSegmentHeaderBytes, '\0');
  expect_refused(newest_, kSegmentHeaderBytes);
  data = good_[newest_].substr(0, kSegmentHeaderBytes + 100);
  expect_refused(newest_, kSegmentHeaderBytes);
  data.resize(10);
  expect_refused(newest_, 0);
  data.clear();
  expect_refused(newest_, 0);
}

TEST_F(RecoveryTest, GarbageWhereTheNextBatchWouldBe) {
  const uint64_t end = bounds_.back().end;
  disk_.contents(newest_).replace(end, 64, pattern(64, 5));
  expect_refused(newest_, end);
}

TEST_F(RecoveryTest, BatchOfAnotherPlaceIsNotTaken) {
  // The last batch, copied behind itself: its header does not fit that offset.
  const std::string copy(last_batch());
  disk_.contents(newest_).replace(bounds_.back().end, copy.size(), copy);
  expect_refused(newest_, bounds_.back().end);
}

TEST_F(RecoveryTest, MissingSegment) {
  ASSERT_TRUE(disk_.remove(middle_).ok());
  const Opened opened = open_log(sim_options(disk_));
  EXPECT_EQ(opened.status.code(), StatusCode::kCorruption);
  EXPECT_NE(opened.status.message().find("missing"), std::string::npos);
  EXPECT_NE(opened.status.message().find("sequence 2"), std::string::npos)
      << opened.status.message();
}

TEST_F(RecoveryTest, SegmentPresentTwiceOrMisnamed) {
  const std::string twice = "wal/" + segment_file_name(2, 0x77);
  ASSERT_TRUE(disk_.open_file(twice, OpenMode::kCreate).ok());
  Opened opened = open_log(sim_options(disk_));
  EXPECT_EQ(opened.status.code(), StatusCode::kCorruption);
  EXPECT_NE(opened.status.message().find("twice"), std::string::npos) << opened.status.message();
  ASSERT_TRUE(disk_.remove(twice).ok());

  ASSERT_TRUE(disk_.rename(newest_, "wal/" + segment_file_name(3, 0x77)).ok());
  expect_refused("wal/" + segment_file_name(3, 0x77), 0);
  ASSERT_TRUE(disk_.rename("wal/" + segment_file_name(3, 0x77), "wal/old.wal").ok());
  opened = open_log(sim_options(disk_));
  EXPECT_EQ(opened.status.code(), StatusCode::kCorruption);
  EXPECT_NE(opened.status.message().find("old.wal"), std::string::npos);
}

TEST_F(RecoveryTest, SegmentOfAnotherLogWithTheSameIds) {
  SimDisk other(2);
  {
    const Opened opened = open_log(sim_options(other));
    for (uint64_t i = 1; i <= 13; ++i) {
      ASSERT_TRUE(append(*opened.wal, {{}, {entry(i, 3, 700)}, HardState{1, 1, i}}).ok());
    }
  }
  ASSERT_EQ(other.paths(), disk_.paths());
  disk_.contents(middle_) = other.contents(middle_);
  disk_.settle();
  const Opened opened = open_log(sim_options(disk_));
  EXPECT_EQ(opened.status.code(), StatusCode::kCorruption);
  EXPECT_NE(opened.status.message().find("another chain"), std::string::npos)
      << opened.status.message();
}

TEST_F(RecoveryTest, ForeignIds) {
  Options options = sim_options(disk_);
  options.member_id = 0x3f;
  Opened opened = open_log(options);
  EXPECT_EQ(opened.status.code(), StatusCode::kInvalid);
  EXPECT_NE(opened.status.message().find(good_.begin()->first), std::string::npos);
  EXPECT_NE(opened.status.message().find("member 3e of cluster c1, not to member 3f"),
            std::string::npos)
      << opened.status.message();
  options = sim_options(disk_);
  options.cluster_id = 1;
  opened = open_log(options);
  EXPECT_EQ(opened.status.code(), StatusCode::kInvalid);
}

TEST_F(RecoveryTest, UnfinishedFilesGoAndOthersStay) {
  for (const char* name : {"wal/next.tmp", "wal/0.tmp", "wal/notes"}) {
    auto file = disk_.open_file(name, OpenMode::kCreate);
    ASSERT_TRUE((*file)->write_at(0, "some bytes").ok());
  }
  expect_recovered(complete_, false);
  for (const std::string& path : disk_.paths()) EXPECT_FALSE(path.ends_with(".tmp")) << path;
  EXPECT_EQ(disk_.contents("wal/notes"), "some bytes");
}

// Files of a file system without preallocation, or of a smaller segment size before.
TEST_F(RecoveryTest, ShortNewestSegmentIsMadeWhole) {
  disk_.contents(newest_).resize(bounds_.back().end);
  expect_recovered(complete_, false);
}

// A value that holds a copy of the log, headers and all, is not mistaken for batches when the batch
// that carries it is torn.
TEST(TornTest, LogBytesInsideAValue) {
  SimDisk disk(1);
  const std::string path = "wal/" + segment_file_name(1, 1);
  {
    const Opened opened = open_log(sim_options(disk, 1 << 20));
    Batch batch;
    for (uint64_t i = 1; i <= 20; ++i) {
      ASSERT_TRUE(append(*opened.wal, {{}, {entry(i, 1, 100)}, {}}).ok());
    }
    // At the offset that makes the copied headers lie on batch borders.
    OwnedEntry value{1, 21, 0, std::string(8, 'x') + disk.contents(path).substr(64, 8000)};
    ASSERT_TRUE(append(*opened.wal, {{}, {value}, {}}).ok());
  }
  const Bounds last = batch_bounds(disk, path).back();
  const uint64_t sector = last.begin / kSectorBytes + 1;
  for (const uint64_t lost : {last.begin, sector * kSectorBytes}) {
    const std::string good = disk.contents(path);
    const uint64_t part = kSectorBytes - lost % kSectorBytes;
    disk.contents(path).replace(lost, part, part, '\0');
    const Opened opened = open_log(sim_options(disk, 1 << 20));
    ASSERT_TRUE(opened.status.ok()) << opened.status.message();
    EXPECT_EQ(opened.sink.entries.size(), 20u);
    EXPECT_EQ(opened.wal->recovered().torn_offset, last.begin);
    disk.contents(path) = good;
  }
}

// Checksums hold but the records make no sense: written by a program with a bug, or not by ours.
TEST(RecordTest, MalformedRecordsAreRefused) {
  const auto with_payload = [](const std::string& payload, uint32_t records) {
    SimDisk disk(1);
    const std::string path = "wal/" + segment_file_name(1, 1);
    EXPECT_TRUE(open_log(sim_options(disk)).status.ok());
    auto file = disk.open_file(path, OpenMode::kReadWrite);
    SegmentReader reader(**file, path);
    EXPECT_TRUE(reader.read_header().ok());
    auto step = reader.next();
    EXPECT_TRUE(step.ok());
    std::string bytes(batch_extent(payload.size()), '\0');
    bytes.replace(kBatchHeaderBytes, payload.size(), payload);
    BatchHeader header;
    header.payload_bytes = static_cast<uint32_t>(payload.size());
    header.number = 2;
    header.records = records;
    seal_batch(header, reader.chain(), reader.header().crc, reader.offset(), bytes.data());
    EXPECT_TRUE((*file)->write_at(reader.offset(), bytes).ok());
    const Opened opened = open_log(sim_options(disk));
    EXPECT_TRUE(opened.status.ok() ||
                opened.status.message().find(path + ": offset 128:") != std::string::npos)
        << opened.status.message();
    return opened.status;
  };
  const auto record = [](uint8_t type, uint8_t tag, const std::string& body) {
    std::string bytes(kRecordHeaderBytes, '\0');
    bytes[0] = static_cast<char>(type);
    bytes[1] = static_cast<char>(tag);
    bytes[4] = static_cast<char>(body.size());
    return bytes + body;
  };
  const std::string index_one = std::string(8, '\0') + '\1' + std::string(7, '\0');
  EXPECT_TRUE(with_payload("", 0).ok());
  EXPECT_TRUE(with_payload(record(1, 0, index_one), 1).ok());
  EXPECT_TRUE(with_payload(record(2, 0, std::string(24, '\0')), 1).ok());
  const std::pair<std::string, uint32_t> bad[] = {
      {record(1, 0, index_one), 0},                     // More bytes than records.
      {record(1, 0, index_one), 2},                     // Fewer.
      {record(1, 0, std::string(15, '\0')), 1},         // Short entry.
      {record(1, 0, std::string(16, '\0')), 1},         // Entry 0.
      {record(2, 0, std::string(23, '\0')), 1},         // Short hard state.
      {record(2, 1, std::string(24, '\0')), 1},         // Tag of nothing.
      {record(3, 2, std::string(16, '\0')), 1},         // Unknown tag.
      {record(3, 0, std::string(17, '\0')), 1},         // Long mark.
      {record(9, 0, ""), 1},                            // Unknown type.
      {record(0, 0, ""), 1},                            //
      {record(1, 0, index_one).substr(0, 20), 1},       // Runs over the end.
      {std::string("\1\0\1\0\0\0\0\0", 8), 1},          // Reserved bytes.
      {std::string("\1\0\0\0\xff\xff\xff\xff", 8), 1},  // Length near 2^32.
      {record(1, 0, index_one) + record(1, 0, std::string(8, '\0') + '\3' + std::string(7, '\0')),
       2},  // Gap.
  };
  for (const auto& [payload, records] : bad) {
    EXPECT_EQ(with_payload(payload, records).code(), StatusCode::kCorruption) << records;
  }
}

}  // namespace
}  // namespace mortise::wal
