#include "host/server/rotating_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <vector>

namespace mortise::server {
namespace {

namespace fs = std::filesystem;

class RotatingFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/mortise-rotate-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    dir_ = path;
  }
  void TearDown() override { fs::remove_all(dir_); }

  std::string file() const { return (dir_ / "node.log").string(); }
  void put(const std::string& name, const std::string& text) { std::ofstream(dir_ / name) << text; }
  std::string text(const fs::path& path) const {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // Names in the directory but that of the present file, sorted.
  std::vector<std::string> others() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(dir_)) {
      if (entry.path() != file()) names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  void write_lines(const RotationOptions& options, int count) {
    auto log = RotatingFile::open(file(), options);
    ASSERT_TRUE(log.ok()) << log.status().message();
    for (int i = 0; i < count; ++i) (*log)->write("line " + std::to_string(i) + "\n");
  }

  fs::path dir_;
};

TEST_F(RotatingFileTest, AFullFileGivesWayUnderANameWithTheTime) {
  write_lines({.bytes_max = 21}, 7);  // Three lines of seven bytes each.
  const auto old = others();
  ASSERT_EQ(old.size(), 2u);
  const std::regex name(R"(node-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.log)");
  for (const std::string& n : old) EXPECT_TRUE(std::regex_match(n, name)) << n;
  EXPECT_EQ(text(dir_ / old[0]), "line 0\nline 1\nline 2\n");
  EXPECT_EQ(text(dir_ / old[1]), "line 3\nline 4\nline 5\n");
  EXPECT_EQ(text(file()), "line 6\n");
}

TEST_F(RotatingFileTest, GoesOnWithWhatIsThereAndKeepsItsMode) {
  put("node.log", "before\n");
  ::chmod(file().c_str(), 0640);
  write_lines({.bytes_max = 14}, 2);
  const auto old = others();
  ASSERT_EQ(old.size(), 1u);
  EXPECT_EQ(text(dir_ / old[0]), "before\nline 0\n");
  EXPECT_EQ(text(file()), "line 1\n");
  EXPECT_EQ(fs::status(file()).permissions(), fs::perms(0640));
}

TEST_F(RotatingFileTest, AFileThatIsFullAtTheStartGivesWay) {
  put("node.log", std::string(100, 'x'));
  write_lines({.bytes_max = 100}, 1);
  EXPECT_EQ(others().size(), 1u);
  EXPECT_EQ(text(file()), "line 0\n");
}

TEST_F(RotatingFileTest, ANewFileIsForItsOwnerAlone) {
  write_lines({.bytes_max = 100}, 1);
  EXPECT_EQ(fs::status(file()).permissions(), fs::perms(0600));
}

TEST_F(RotatingFileTest, ALineThatIsLargerThanAFileIsWritten) {
  const std::string line(50, 'x');
  auto log = RotatingFile::open(file(), {.bytes_max = 10});
  ASSERT_TRUE(log.ok());
  (*log)->write(line);
  EXPECT_EQ(text(file()), line);
}

TEST_F(RotatingFileTest, KeepsTheNewestAndLeavesOthersFilesAlone) {
  put("node-2001-01-01T00-00-00.000.log", "a");
  put("node-2001-01-02T00-00-00.000.log", "b");
  put("node-2001-01-02T00-00-00.000.log.gz", "b");  // Counts once with the one before.
  put("node-2001-01-03T00-00-00.000.log.gz", "c");
  put("node-notes.log", "mine");
  put("node-2001-01-01T00-00-00.000.txt", "mine");
  put("other-2001-01-01T00-00-00.000.log", "mine");
  write_lines({.bytes_max = 1000, .backups_max = 2}, 1);
  EXPECT_EQ(others(),
            (std::vector<std::string>{
                "node-2001-01-01T00-00-00.000.txt", "node-2001-01-02T00-00-00.000.log",
                "node-2001-01-02T00-00-00.000.log.gz", "node-2001-01-03T00-00-00.000.log.gz",
                "node-notes.log", "other-2001-01-01T00-00-00.000.log"}));
}

TEST_F(RotatingFileTest, RemovesWhatIsTooOld) {
  put("node-2001-01-01T00-00-00.000.log", "a");
  put("node-2999-01-01T00-00-00.000.log", "b");
  write_lines({.bytes_max = 1000, .days_max = 3}, 1);
  EXPECT_EQ(others(), std::vector<std::string>{"node-2999-01-01T00-00-00.000.log"});
}

TEST_F(RotatingFileTest, CompressesOldFiles) {
  write_lines({.bytes_max = 14, .compress = true}, 3);
  write_lines({.bytes_max = 14, .compress = true}, 0);  // Ends only when nothing is left to do.
  const auto old = others();
  ASSERT_EQ(old.size(), 1u);
  ASSERT_TRUE(old[0].ends_with(".log.gz")) << old[0];
  gzFile in = ::gzopen((dir_ / old[0]).c_str(), "rb");
  ASSERT_NE(in, nullptr);
  char buffer[64] = {};
  EXPECT_EQ(::gzread(in, buffer, sizeof buffer), 14);
  ::gzclose(in);
  EXPECT_STREQ(buffer, "line 0\nline 1\n");
}

TEST_F(RotatingFileTest, NamesAFileThatCannotBeOpened) {
  auto log = RotatingFile::open("/proc/nowhere/x.log", {});
  ASSERT_FALSE(log.ok());
  EXPECT_NE(log.status().message().find("/proc/nowhere"), std::string::npos);
}

}  // namespace
}  // namespace mortise::server
