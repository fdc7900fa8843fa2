#include "host/server/log.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "gtest/gtest.h"

namespace mortise::server {
namespace {

TEST(Log, WritesEtcdsFieldsInTheirOrder) {
  EXPECT_EQ(json_line(Level::kInfo, "2026-01-02T03:04:05.000006Z", "server/main.cc:7", "hello",
                      {{"name", "m1"},
                       {"count", 3},
                       {"on", true},
                       {"urls", std::vector<std::string>{"a", "b"}}}),
            R"({"level":"info","ts":"2026-01-02T03:04:05.000006Z","caller":"server/main.cc:7",)"
            R"("msg":"hello","name":"m1","count":3,"on":true,"urls":["a","b"]})");
}

TEST(Log, EveryLineIsJsonWhateverIsInIt) {
  std::string hostile = "quote\" back\\slash\n\t\x01 caf\xc3\xa9 bad\xff\xc3 end\xe2\x82";
  std::string line = json_line(Level::kWarn, "t", "c", hostile, {{hostile, hostile}});
  auto parsed = nlohmann::json::parse(line, nullptr, false);
  ASSERT_FALSE(parsed.is_discarded()) << line;
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(parsed["level"], "warn");
}

TEST(Log, KeepsLinesBelowItsLevelOutOfTheFile) {
  char path[] = "/tmp/mortise-log-XXXXXX";
  int fd = ::mkstemp(path);
  ASSERT_GE(fd, 0);
  ::close(fd);
  {
    auto log = Log::open({"warn", "console", {path}});
    ASSERT_TRUE(log.ok());
    (*log)->info("not this");
    (*log)->warn("but this", {{"why", "level"}});
  }
  std::ifstream file(path);
  std::string text((std::istreambuf_iterator<char>(file)), {});
  std::filesystem::remove(path);
  EXPECT_EQ(text.find("not this"), std::string::npos);
  EXPECT_NE(text.find("\twarn\t"), std::string::npos);
  EXPECT_NE(text.find("but this\t{\"why\":\"level\"}"), std::string::npos);
}

TEST(Log, AFloodOfOneMessageIsThinnedOut) {
  char path[] = "/tmp/mortise-log-XXXXXX";
  int fd = ::mkstemp(path);
  ASSERT_GE(fd, 0);
  ::close(fd);
  {
    auto log = Log::open({"info", "json", {path}});
    ASSERT_TRUE(log.ok());
    for (int i = 0; i < 20000; ++i) (*log)->warn("flood", {{"number", i}});
    (*log)->warn("another");
  }
  std::ifstream file(path);
  int lines = 0, others = 0;
  for (std::string line; std::getline(file, line);) {
    ++lines;
    if (line.find("another") != std::string::npos) ++others;
  }
  std::filesystem::remove(path);
  EXPECT_EQ(others, 1);
  EXPECT_GE(lines, 100 + 1);
  EXPECT_LT(lines, 20000 / 2);
}

TEST(Log, BadUtf8IsReplacedByteForByte) {
  // Overlong, half of a surrogate pair, beyond the last code point, cut short; then good ones.
  const std::string hostile =
      "\xe0\x80\x80\xed\xa0\x80\xf4\x90\x80\x80\xf0\x9f\x99 \xed\x9f\xbf\xf0\x9f\x99\x82\x7f";
  std::string line = json_line(Level::kInfo, "t", "c", hostile, {});
  auto parsed = nlohmann::json::parse(line, nullptr, false);
  ASSERT_FALSE(parsed.is_discarded()) << line;
  std::string wanted;
  for (int i = 0; i < 13; ++i) wanted += "\xef\xbf\xbd";
  EXPECT_EQ(parsed["msg"], wanted + " \xed\x9f\xbf\xf0\x9f\x99\x82\x7f");
}

TEST(Log, APartHasItsNameBetweenTimeAndPlace) {
  EXPECT_EQ(json_line(Level::kInfo, "t", "c.cc:1", "m", {}, "raft"),
            R"({"level":"info","ts":"t","logger":"raft","caller":"c.cc:1","msg":"m"})");
}

TEST(Log, RotatesItsFile) {
  char dir[] = "/tmp/mortise-log-XXXXXX";
  ASSERT_NE(::mkdtemp(dir), nullptr);
  {
    LogOptions options{"info", "json", {std::string(dir) + "/a.log"}};
    options.rotation = RotationOptions{.bytes_max = 1000};
    auto log = Log::open(options);
    ASSERT_TRUE(log.ok());
    for (int i = 0; i < 30; ++i) (*log)->info("line", {{"number", i}});
  }
  int lines = 0, files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    ++files;
    EXPECT_LE(entry.file_size(), 1000u);
    std::ifstream in(entry.path());
    for (std::string line; std::getline(in, line); ++lines) {
      EXPECT_TRUE(nlohmann::json::accept(line)) << line;
    }
  }
  std::filesystem::remove_all(dir);
  EXPECT_EQ(lines, 30);
  EXPECT_GE(files, 3);
}

TEST(Log, WritesToTheJournalWithLevelAndPackage) {
  char dir[] = "/tmp/mortise-log-XXXXXX";
  ASSERT_NE(::mkdtemp(dir), nullptr);
  LogOptions options{"info", "json", {"systemd/journal"}};
  options.journal_socket = std::string(dir) + "/journal";
  auto missing = Log::open(options);
  ASSERT_FALSE(missing.ok());
  EXPECT_TRUE(missing.status().message().starts_with("can't find journal"));

  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  options.journal_socket.copy(address.sun_path, options.journal_socket.size());
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  auto log = Log::open(options);
  ASSERT_TRUE(log.ok()) << log.status().message();
  (*log)->write_from("server/x.cc:9", Level::kWarn, "hello", {});
  char data[1024];
  const ssize_t n = ::recv(fd, data, sizeof data, 0);
  ASSERT_GT(n, 0);
  const std::string text(data, static_cast<size_t>(n));
  EXPECT_TRUE(text.starts_with("MESSAGE={\"level\":\"warn\",")) << text;
  EXPECT_NE(text.find("\nPRIORITY=4\nPACKAGE=server\nSYSLOG_IDENTIFIER=log_test\n"),
            std::string::npos)
      << text;
  ::close(fd);
  std::filesystem::remove_all(dir);
}

TEST(Log, NamesAnOutputThatCannotBeOpened) {
  auto log = Log::open({"info", "json", {"/proc/nowhere/x.log"}});
  ASSERT_FALSE(log.ok());
  EXPECT_NE(log.status().message().find("/proc/nowhere"), std::string::npos);
}

TEST(Log, MakesNoFolder) {
  char dir[] = "/tmp/mortise-log-XXXXXX";
  ASSERT_NE(::mkdtemp(dir), nullptr);
  EXPECT_FALSE(Log::open({"info", "json", {std::string(dir) + "/lgo/a.log"}}).ok());
  EXPECT_TRUE(std::filesystem::is_empty(dir));
  std::filesystem::remove_all(dir);
}

TEST(BytesText, IsInPowersOfAThousandWithTwoDigitsAtLeast) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(9), "9 B");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(1000), "1.0 kB");
  EXPECT_EQ(bytes_text(20480), "20 kB");
  EXPECT_EQ(bytes_text(1'250'000), "1.3 MB");
  EXPECT_EQ(bytes_text(82'854'982), "83 MB");
  EXPECT_EQ(bytes_text(2147483648), "2.1 GB");
}

}  // namespace
}  // namespace mortise::server
