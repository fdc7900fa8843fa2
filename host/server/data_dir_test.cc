#include "host/server/data_dir.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"

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

}  // namespace
}  // namespace mortise::server
