// The parts of the C++ SDK that are more than a trampoline.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "mortise/sdk/bytes.h"
#include "mortise/sdk/config.h"
#include "mortise/sdk/machine_load.h"
#include "mortise/sdk/status.h"

namespace mortise::sdk {
namespace {

TEST(Config, ReadsWhatIsThere) {
  Config config;
  ASSERT_TRUE(
      config.parse(R"({"a": 5, "b": "7", "c": "64MB", "d": true, "e": "false", "f": "x"})").ok());
  EXPECT_EQ(config.get_u64("a", 1), 5u);
  EXPECT_EQ(config.get_u64("b", 1), 7u);
  EXPECT_EQ(config.get_size("c", 1), 64u << 20);
  EXPECT_TRUE(config.get_bool("d", false));
  EXPECT_FALSE(config.get_bool("e", true));
  EXPECT_EQ(config.get_string("f", "y"), "x");
  EXPECT_EQ(config.get_u64("absent", 9), 9u);
  EXPECT_TRUE(config.finish().ok());
}

std::string problem(std::string_view text) {
  Config config;
  const Status parsed = config.parse(text);
  if (!parsed.ok()) return parsed.message;
  config.get_u64("number", 1, 1, 10);
  config.get_size("size", 1);
  config.get_bool("flag", false);
  config.get_string("text", "");
  return config.finish().message;
}

TEST(Config, NamesWhatIsWrong) {
  EXPECT_EQ(problem(""), "");
  EXPECT_EQ(problem("{}"), "");
  EXPECT_EQ(problem("[]"), "the plugin's configuration is not a JSON object");
  EXPECT_EQ(problem("{"), "the plugin's configuration is not a JSON object");
  EXPECT_EQ(problem(R"({"nubmer": 1})"), "unknown option \"nubmer\"");
  EXPECT_EQ(problem(R"({"number": 11})"), "option \"number\" is 11, allowed are 1 to 10");
  EXPECT_EQ(problem(R"({"number": -1})"), "option \"number\" is not a whole number");
  EXPECT_EQ(problem(R"({"number": "1k"})"), "option \"number\" is not a whole number");
  EXPECT_EQ(problem(R"({"size": "1Q"})"),
            "option \"size\" is not a size such as 67108864 or \"64MB\"");
  EXPECT_EQ(problem(R"({"flag": 1})"), "option \"flag\" is neither true nor false");
  EXPECT_EQ(problem(R"({"text": 1})"), "option \"text\" is not a string");
}

TEST(Config, Sizes) {
  const auto size = [](std::string_view text) {
    uint64_t value = 0;
    return parse_size(text, value) ? value : ~uint64_t{0};
  };
  EXPECT_EQ(size("12"), 12u);
  EXPECT_EQ(size("12B"), 12u);
  EXPECT_EQ(size("1k"), 1024u);
  EXPECT_EQ(size("2 MiB"), 2u << 20);
  EXPECT_EQ(size("3GB"), uint64_t{3} << 30);
  for (const char* bad : {"", "MB", "-1", "1.5G", "1MBB", "99999999999TB", "1 x"}) {
    EXPECT_EQ(size(bad), ~uint64_t{0}) << bad;
  }
}

TEST(WriteError, CutsAtACharacterAndRespectsTheCallersSize) {
  mortise_error error{};
  error.struct_size = sizeof(error);
  std::string text(MORTISE_ERROR_MESSAGE_MAX - 2, 'x');
  write_error(invalid(text + "\xc3\xa4"), &error);
  EXPECT_EQ(error.message, text);
  write_error(io_error(ENOSPC, "write"), &error);
  EXPECT_EQ(error.os_errno, ENOSPC);
  EXPECT_EQ(io_error(ENOSPC, "write").code, MORTISE_E_NO_SPACE);

  mortise_error small{};
  std::memset(&small, 'z', sizeof(small));
  small.struct_size = offsetof(mortise_error, message) + 4;
  write_error(invalid("abcdef"), &small);
  EXPECT_EQ(std::string(small.message, 5), std::string("abc\0z", 5));
  write_error(invalid("no one listens"), nullptr);
}

TEST(ProcessorTime, IsReadFromTheSystemsText) {
  const auto time =
      ProcessorTime::parse("cpu  1 20 300 4000 50000 6 7 8 90 10\ncpu0 1 2 3 4 5 6 7 8");
  ASSERT_TRUE(time);
  EXPECT_EQ(time->idle, 54000u);
  EXPECT_EQ(time->all, 54342u);  // A guest's time is in the user's already.
  for (const char* bad :
       {"", "cpu0 1 2 3 4 5 6 7 8", "cpu  1 2 3 4 5 6 7", "cpu  1 2 x 4 5 6 7 8"}) {
    EXPECT_FALSE(ProcessorTime::parse(bad)) << bad;
  }
}

TEST(MachineLoad, IsBusyWithoutIdleTime) {
  MachineLoad load;
  EXPECT_FALSE(load.look(ProcessorTime{1000, 5000}));  // Nothing to compare with.
  EXPECT_TRUE(load.look(ProcessorTime{1010, 5100}));
  EXPECT_FALSE(load.look(ProcessorTime{1021, 5200}));
  EXPECT_TRUE(load.look(ProcessorTime{1021, 5300}));
  EXPECT_FALSE(load.look(ProcessorTime{1021, 5300}));  // No time has gone by.
  EXPECT_FALSE(load.look(std::nullopt));
  EXPECT_FALSE(load.look(ProcessorTime{1021, 5400}));
}

TEST(MachineLoad, LooksAtThisMachine) {
  std::ifstream stat("/proc/stat");
  std::string line;
  ASSERT_TRUE(std::getline(stat, line));
  const auto time = ProcessorTime::parse(line);
  ASSERT_TRUE(time);
  EXPECT_GT(time->all, time->idle);
  MachineLoad load;
  EXPECT_FALSE(load.busy(MachineLoad::Clock::now()));  // It does not know yet.
}

TEST(Buffer, IsReleasedOnce) {
  static int released;
  released = 0;
  const auto release = [](void*) { ++released; };
  {
    Buffer a(mortise_buffer{nullptr, 0, +release, nullptr});
    Buffer b(std::move(a));
    a = std::move(b);
    EXPECT_EQ(released, 0);
  }
  EXPECT_EQ(released, 1);
  const Buffer text =
      Buffer::from("some text that is not short enough to lie in the string itself");
  EXPECT_EQ(text.view().substr(0, 9), "some text");
}

}  // namespace
}  // namespace mortise::sdk
