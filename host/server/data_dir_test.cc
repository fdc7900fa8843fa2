#include "host/server/data_dir.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"
#include "host/wal/wal.h"

namespace mortise::server {
namespace {

class DataDirTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/mortise-data-dir-XXXXXX";
    root_ = ::mkdtemp(path);
    path_ = root_ + "/node.etcd";
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  std::string root_, path_;
};

TEST_F(DataDirTest, MakesItsFoldersForTheOwnerOnly) {
  auto dir = DataDir::open(path_, "", "rocksdb");
  ASSERT_TRUE(dir.ok()) << dir.status().message();
  EXPECT_EQ(dir->store_path(), path_ + "/member/store");
  EXPECT_EQ(dir->wal_path(), path_ + "/member/wal");
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(DataDirTest, IsHeldByOneAndFreeAfterwards) {
  {
    auto first = DataDir::open(path_, "", "rocksdb");
    ASSERT_TRUE(first.ok());
    auto second = DataDir::open(path_, "", "rocksdb");
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.status().code(), StatusCode::kInUse);
    EXPECT_NE(second.status().message().find(path_), std::string::npos);
  }
  EXPECT_TRUE(DataDir::open(path_, "", "rocksdb").ok());
}

TEST_F(DataDirTest, LeavesTheDataOfAnEtcdServerAlone) {
  std::filesystem::create_directories(path_ + "/member/snap");
  std::ofstream(path_ + "/member/snap/db") << "bbolt";
  auto dir = DataDir::open(path_, "", "rocksdb");
  ASSERT_FALSE(dir.ok());
  EXPECT_NE(dir.status().message().find("belongs to an etcd server"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(path_ + "/member/LOCK"));
}

TEST_F(DataDirTest, TakesAWalDirectoryElsewhereAndNamesStrangers) {
  std::filesystem::create_directories(path_);
  std::ofstream(path_ + "/notes.txt") << "x";
  auto dir = DataDir::open(path_, root_ + "/logs/wal", "rocksdb");
  ASSERT_TRUE(dir.ok()) << dir.status().message();
  EXPECT_EQ(dir->wal_path(), root_ + "/logs/wal");
  EXPECT_TRUE(std::filesystem::is_directory(root_ + "/logs/wal"));
  EXPECT_EQ(dir->unknown_files(), std::vector<std::string>{"notes.txt"});
}

TEST_F(DataDirTest, BelongsToOneBackend) {
  {
    auto dir = DataDir::open(path_, "", "rocksdb");
    ASSERT_TRUE(dir.ok());
    EXPECT_TRUE(dir->keep().ok());
  }
  auto other = DataDir::open(path_, "", "lmdb");
  ASSERT_FALSE(other.ok());
  EXPECT_NE(other.status().message().find("backend rocksdb and not with lmdb"), std::string::npos);
  EXPECT_TRUE(DataDir::open(path_, "", "rocksdb").ok());
}

TEST_F(DataDirTest, IsLeftAsItWasFound) {
  {
    auto dir = DataDir::open(path_, root_ + "/logs/wal", "rocksdb");
    ASSERT_TRUE(dir.ok());
    dir->abandon();
  }
  EXPECT_TRUE(std::filesystem::is_empty(root_));
  std::filesystem::create_directories(path_ + "/member");
  std::ofstream(path_ + "/member/notes.txt") << "x";
  auto dir = DataDir::open(path_, "", "rocksdb");
  ASSERT_TRUE(dir.ok());
  EXPECT_EQ(dir->unknown_files(), std::vector<std::string>{"member/notes.txt"});
  dir->abandon();
  EXPECT_TRUE(std::filesystem::exists(path_ + "/member/notes.txt"));
  EXPECT_FALSE(std::filesystem::exists(path_ + "/member/store"));
}

TEST_F(DataDirTest, RefusesAFileInItsPlace) {
  std::ofstream(path_.c_str()) << "x";
  auto dir = DataDir::open(path_, "", "rocksdb");
  ASSERT_FALSE(dir.ok());
  EXPECT_NE(dir.status().message().find(path_), std::string::npos);
}

// Which store counts after a crash while a snapshot is received.
class StoreChoiceTest : public DataDirTest {
 protected:
  void SetUp() override {
    DataDirTest::SetUp();
    EXPECT_EQ(open(), "store");
  }
  // The name of the store that a start takes; or why there is none.
  std::string open() {
    auto dir = DataDir::open(path_, "", "rocksdb");
    if (!dir.ok()) return dir.status().message();
    EXPECT_TRUE(dir->remove_leftovers().ok());
    return std::filesystem::path(dir->store_path()).filename();
  }
  std::string member(const std::string& name) { return path_ + "/member/" + name; }
  void make_store(const std::string& name) {
    std::filesystem::create_directories(member(name));
    std::ofstream(member(name) + "/file") << "x";
  }
  void write_mark(uint64_t index) {
    struct NoSink : wal::RecoverySink {
      void drop_from(uint64_t) override {}
      Status append(const wal::EntryRecord&) override { return Status(); }
    } sink;
    wal::Options options;
    options.dir = member("wal");
    options.cluster_id = 1;
    options.member_id = 2;
    auto wal = wal::Wal::open(options, sink);
    ASSERT_TRUE(wal.ok()) << wal.status().message();
    if (index == 0) return;
    wal::BatchBuffer batch;
    batch.add_snapshot_mark({index, 1, /*replaces_log=*/true});
    ASSERT_TRUE((*wal)->append(batch).ok());
  }
  bool exists(const std::string& name) { return std::filesystem::exists(member(name)); }
};

TEST_F(StoreChoiceTest, ReceivedAndNotLoaded) {
  write_mark(0);
  make_store("store-0000000000000010.tmp1");
  make_store("snap");
  EXPECT_EQ(open(), "store");
  EXPECT_FALSE(exists("store-0000000000000010.tmp1"));
  EXPECT_FALSE(exists("snap"));
}

TEST_F(StoreChoiceTest, LoadedAndNotTakenByTheLog) {
  write_mark(0);
  make_store("store-0000000000000010");
  EXPECT_EQ(open(), "store");
  EXPECT_FALSE(exists("store-0000000000000010"));
}

TEST_F(StoreChoiceTest, TakenByTheLogAndNotSwitchedTo) {
  write_mark(0x10);
  make_store("store-0000000000000010");
  EXPECT_EQ(open(), "store-0000000000000010");
  EXPECT_FALSE(exists("store"));
  EXPECT_EQ(open(), "store-0000000000000010");
}

TEST_F(StoreChoiceTest, ASecondSnapshot) {
  write_mark(0x10);
  make_store("store-0000000000000010");
  make_store("store-0000000000000020");
  make_store("store-000000000000000f");
  EXPECT_EQ(open(), "store-0000000000000010");
  make_store("store-0000000000000020");
  write_mark(0x20);
  EXPECT_EQ(open(), "store-0000000000000020");
  EXPECT_FALSE(exists("store-0000000000000010"));
}

TEST_F(StoreChoiceTest, WithoutTheLogNothingIsRemoved) {
  make_store("store-0000000000000010");
  EXPECT_NE(open().find("is in the log only"), std::string::npos);
  EXPECT_TRUE(exists("store-0000000000000010"));
  EXPECT_TRUE(exists("store"));
}

TEST_F(StoreChoiceTest, NoStoreThatFits) {
  write_mark(0x10);
  make_store("store-0000000000000020");
  std::filesystem::remove_all(member("store"));
  EXPECT_NE(open().find("fits the log"), std::string::npos);
  EXPECT_TRUE(exists("store-0000000000000020"));
}

}  // namespace
}  // namespace mortise::server
