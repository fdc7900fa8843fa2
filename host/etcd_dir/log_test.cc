#include "host/etcd_dir/log.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <random>

#include "host/etcd_dir/test_log.h"

namespace mortise::etcd_dir {
namespace {

namespace fs = std::filesystem;

class LogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/mortise-etcd-log-XXXXXX";
    dir_ = ::mkdtemp(path);
  }
  void TearDown() override { fs::remove_all(dir_); }

  // "index.term=data ..." of what the log holds behind its snapshot.
  std::string entries(const Log& log) {
    std::map<uint64_t, std::string> held;
    auto last = read_entries(log, [&](const LogEntry& entry) {
      held.erase(held.lower_bound(entry.index), held.end());
      held[entry.index] = std::to_string(entry.index) + "." + std::to_string(entry.term) + "=" +
                          std::string(entry.data) + " ";
      return Status();
    });
    if (!last.ok()) return last.status().message();
    EXPECT_TRUE(held.empty() || *last == held.rbegin()->first);
    std::string out;
    for (const auto& [index, text] : held) out += text;
    return out;
  }
  std::string refusal() {
    auto log = read_log(dir_);
    if (!log.ok()) {
      EXPECT_EQ(log.status().code(), StatusCode::kCorruption);
      return log.status().message();
    }
    return entries(*log);
  }
  static std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void write(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }
  std::string dir_;
};

TEST_F(LogTest, SaysWhoseItIsAndWhatWasPromised) {
  TestLog written(dir_);
  written.add_entry(1, 1, "a");
  written.add_entry(2, 2, "b");
  written.add_state(2, 1);
  written.write();
  auto log = read_log(dir_);
  ASSERT_TRUE(log.ok()) << log.status().message();
  EXPECT_EQ(log->member_id, 0x11u);
  EXPECT_EQ(log->cluster_id, 0x22u);
  EXPECT_EQ(log->state, (raft::HardState{2, 0x11, 1}));
  EXPECT_EQ(log->snapshot.index, 0u);
  EXPECT_EQ(log->end.path, written.path());
  EXPECT_EQ(log->end.offset, written.bytes().size());
  EXPECT_EQ(log->end.torn, "");
  EXPECT_EQ(entries(*log), "1.1=a 2.2=b ");
}

TEST_F(LogTest, LaterEntriesReplaceThoseFromTheirIndexOn) {
  TestLog written(dir_);
  for (uint64_t i = 1; i <= 5; ++i) written.add_entry(1, i, "old");
  written.add_entry(2, 3, "new");
  written.add_state(2, 3);
  written.write();
  EXPECT_EQ(entries(read_log(dir_).value()), "1.1=old 2.1=old 3.2=new ");
}

TEST_F(LogTest, TheLastCommittedSnapshotCounts) {
  TestLog written(dir_);
  for (uint64_t i = 1; i <= 4; ++i) written.add_entry(1, i);
  written.add_state(1, 4);
  written.add(kSnapshotRecord, encode_snapshot(2, 1));
  written.add(kSnapshotRecord, encode_snapshot(9, 1));  // Its state never reached the disk.
  written.write();
  auto log = read_log(dir_);
  ASSERT_TRUE(log.ok()) << log.status().message();
  EXPECT_EQ(log->snapshot.index, 2u);
  EXPECT_EQ(log->snapshot.term, 1u);
  EXPECT_EQ(entries(*log), "3.1=data 4.1=data ");
}

TEST_F(LogTest, ASnapshotOfALeaderTakesTheLogsPlace) {
  TestLog written(dir_);
  written.add_entry(1, 1);
  written.add_state(1, 1);
  written.add(kSnapshotRecord, encode_snapshot(50, 3));
  written.add_state(3, 50);
  written.add_entry(3, 51);
  written.write();
  auto log = read_log(dir_);
  ASSERT_TRUE(log.ok()) << log.status().message();
  EXPECT_EQ(log->snapshot.index, 50u);
  EXPECT_EQ(entries(*log), "51.3=data ");
}

TEST_F(LogTest, GoesOnInTheNextSegment) {
  TestLog written(dir_);
  written.add_entry(1, 1);
  written.add_entry(1, 2);
  written.cut(3, 0);
  written.add_state(1, 2);
  written.add_entry(1, 3);
  written.cut(4, 8);  // As a crash leaves one that was not cut to size.
  written.add_entry(1, 4);
  written.write();
  auto log = read_log(dir_);
  ASSERT_TRUE(log.ok()) << log.status().message();
  EXPECT_EQ(log->segments.size(), 3u);
  EXPECT_EQ(entries(*log), "1.1=data 2.1=data 3.1=data 4.1=data ");
}

TEST_F(LogTest, OldSegmentsMayBeGone) {
  TestLog written(dir_);
  written.add_entry(1, 1);
  const std::string first = written.path();
  written.cut(2);
  written.add_entry(1, 2);
  written.add_entry(1, 3);
  written.add(kSnapshotRecord, encode_snapshot(2, 1));
  written.add_state(1, 3);
  written.write();
  fs::remove(first);
  EXPECT_EQ(entries(read_log(dir_).value()), "3.1=data ");
}

TEST_F(LogTest, SegmentsThatAreNeededMustBeThere) {
  TestLog written(dir_);
  written.add_entry(1, 1);
  const std::string first = written.path();
  written.cut(2);
  written.add_entry(1, 2);
  const std::string second = written.path();
  written.cut(3);
  written.add_state(1, 2);
  written.write();
  const std::string bytes = read(second);
  fs::remove(second);
  EXPECT_NE(refusal().find("is missing in " + dir_ + " between"), std::string::npos) << refusal();
  write(second, bytes);
  fs::remove(first);
  EXPECT_NE(refusal().find(second + ": offset 0: the log begins behind entry 0"), std::string::npos)
      << refusal();
}

TEST_F(LogTest, WhatACrashCutShortAtTheEndIsLeftOut) {
  TestLog written(dir_);
  written.add_entry(1, 1, "kept");
  written.add_state(1, 1);
  const std::string whole = written.bytes();
  written.add_entry(1, 2, std::string(3000, 'x'));
  const std::string longer = written.bytes();
  // The file ends in the record, in its length, or has zeros for what did not reach the disk.
  for (size_t size = whole.size() + 1; size < longer.size(); size += 97) {
    write(written.path(), longer.substr(0, size));
    auto log = read_log(dir_);
    ASSERT_TRUE(log.ok()) << size << " " << log.status().message();
    EXPECT_NE(log->end.torn, "");
    EXPECT_EQ(log->end.offset, whole.size());
    EXPECT_EQ(entries(*log), "1.1=kept ");
  }
  for (size_t sector = whole.size() / 512 + 1; sector * 512 + 512 < longer.size(); ++sector) {
    std::string bytes = longer;
    bytes.replace(sector * 512, 512, 512, '\0');
    write(written.path(), bytes + std::string(4096, '\0'));
    auto log = read_log(dir_);
    ASSERT_TRUE(log.ok()) << log.status().message();
    EXPECT_EQ(entries(*log), "1.1=kept ");
  }
}

TEST_F(LogTest, WhatFollowsTheEndIsLeftOut) {
  TestLog written(dir_);
  written.add_entry(1, 1, "kept");
  written.add_state(1, 1);
  write(written.path(), written.bytes() + std::string(8, '\0') + "rest" + std::string(100, '\0'));
  auto log = read_log(dir_);
  ASSERT_TRUE(log.ok()) << log.status().message();
  EXPECT_EQ(log->end.torn, "bytes behind the end of the log");
  EXPECT_EQ(entries(*log), "1.1=kept ");
}

TEST_F(LogTest, DamageIsRefusedWithFileAndOffset) {
  TestLog written(dir_);
  written.add_entry(1, 1, "first");
  const size_t at = written.bytes().size();
  written.add_entry(1, 2, std::string(600, 'x'));
  const size_t behind = written.bytes().size();
  written.add_entry(1, 3, "third");
  written.add_state(1, 3);
  const std::string good = written.bytes();
  const std::string where = written.path() + ": offset " + std::to_string(at) + ": ";

  auto with = [&](size_t offset, char c) {
    std::string bytes = good;
    bytes[offset] = c;
    write(written.path(), bytes + std::string(4096, '\0'));
    return refusal();
  };
  EXPECT_EQ(with(at + 300, 'y'), where + "checksum mismatch");
  EXPECT_EQ(with(at + 8, '\x0b'), where + "malformed record");
  // The length of a record that is all there: the rest of the log must not go with it.
  EXPECT_EQ(with(at + 3, '\x01').find(where + "a record of "), 0u);
  EXPECT_EQ(with(at + 6, '\x01').find(where + "a record of "), 0u);
  // Zeros where a record of the middle was are the end, for etcd too; the checksum chain of a
  // later segment tells otherwise.
  std::string bytes = good;
  bytes.replace(at, behind - at, behind - at, '\0');
  written.bytes() = bytes;
  const std::string first = written.path();
  written.cut(4);
  written.add_entry(1, 4);
  written.write();
  EXPECT_EQ(refusal(), first + ": offset " + std::to_string(at) + ": records are missing here: " +
                           written.path() + " continues after others, by its checksum");
}

TEST_F(LogTest, NothingIsTornBeforeTheLastSegment) {
  TestLog written(dir_);
  written.add_entry(1, 1, std::string(3000, 'x'));
  const std::string first = written.path();
  written.cut(2);
  written.add_entry(1, 2);
  written.write();
  const std::string bytes = read(first);
  write(first, bytes.substr(0, bytes.size() - 100));
  EXPECT_NE(refusal().find(first + ": offset "), std::string::npos) << refusal();
}

TEST_F(LogTest, WhatCannotBeIsRefused) {
  {
    TestLog written(dir_);
    written.add_entry(1, 1);
    written.add_entry(1, 3);
    written.add_state(1, 1);
    written.write();
    EXPECT_NE(refusal().find("entry 3 comes after entry 1"), std::string::npos) << refusal();
  }
  for (const auto& [type, data] :
       std::vector<std::pair<uint64_t, std::string>>{{9, "x"},
                                                     {kEntryRecord, "\x08"},
                                                     {kStateRecord, "\x08"},
                                                     {kSnapshotRecord, "\x1a\x01"},
                                                     {kMetadataRecord, "\x08\x09"},
                                                     {kEntryRecord, encode_entry(1, 2, "x", 7)}}) {
    TestLog written(dir_);
    written.add_entry(1, 1);
    const size_t at = written.bytes().size();
    written.add(type, data);
    written.write();
    EXPECT_NE(refusal().find(written.path() + ": offset " + std::to_string(at) + ": "),
              std::string::npos)
        << type << " " << refusal();
  }
}

TEST_F(LogTest, NoLogIsNotFound) {
  EXPECT_EQ(read_log(dir_).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(read_log(dir_ + "/none").status().code(), StatusCode::kNotFound);
  write(dir_ + "/0.tmp", "prepared");
  write(dir_ + "/notes.wal", "not a name of the log");
  EXPECT_FALSE(has_log(dir_));
  TestLog(dir_).write();
  EXPECT_TRUE(has_log(dir_));
}

// Whatever the bytes are, reading ends, and what it says is an entry that was written or an error.
TEST_F(LogTest, HostileBytes) {
  TestLog written(dir_);
  for (uint64_t i = 1; i <= 20; ++i) written.add_entry(1, i, std::string(i * 7, 'x'));
  written.add(kSnapshotRecord, encode_snapshot(3, 1));
  written.add_state(1, 20);
  const std::string good = written.bytes() + std::string(512, '\0');
  std::mt19937 random(7);
  for (int round = 0; round < 1500; ++round) {
    std::string bytes = good;
    for (int n = random() % 4 + 1; n > 0; --n) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    write(written.path(), bytes);
    auto log = read_log(dir_);
    if (!log.ok()) continue;
    (void)read_entries(*log, [&](const LogEntry& entry) {
      EXPECT_LE(entry.index, 20u);
      EXPECT_EQ(entry.data, std::string(entry.index * 7, 'x'));
      return Status();
    });
  }
}

}  // namespace
}  // namespace mortise::etcd_dir
