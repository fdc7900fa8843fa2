#include "host/config/go_syntax.h"

#include <gtest/gtest.h>

namespace mortise::config {
namespace {

using std::chrono::nanoseconds;

TEST(GoSyntax, Booleans) {
  for (const char* text : {"1", "t", "T", "TRUE", "true", "True"}) {
    const auto value = parse_bool(text);
    ASSERT_TRUE(value.ok()) << text;
    EXPECT_TRUE(value.value()) << text;
  }
  for (const char* text : {"0", "f", "F", "FALSE", "false", "False"}) {
    const auto value = parse_bool(text);
    ASSERT_TRUE(value.ok()) << text;
    EXPECT_FALSE(value.value()) << text;
  }
  for (const char* text : {"", "yes", "tRUE", "2", " true"}) {
    EXPECT_EQ(parse_bool(text).status().message(), "parse error") << text;
  }
}

TEST(GoSyntax, UnsignedNumbers) {
  const struct {
    const char* text;
    uint64_t value;
  } kGood[] = {{"0", 0},        {"10000", 10000},
               {"0x1F", 31},    {"0b101", 5},
               {"0o17", 15},    {"017", 15},
               {"1_000", 1000}, {"0x_ff", 255},
               {"00", 0},       {"18446744073709551615", UINT64_MAX}};
  for (const auto& test : kGood) {
    const auto value = parse_uint(test.text);
    ASSERT_TRUE(value.ok()) << test.text;
    EXPECT_EQ(value.value(), test.value) << test.text;
  }
  for (const char* text :
       {"", "abc", "-1", "+1", "1.5", "08", "_1", "1_", "1__0", "0x", "1e3", " 1"}) {
    EXPECT_EQ(parse_uint(text).status().message(), "parse error") << text;
  }
  EXPECT_EQ(parse_uint("18446744073709551616").status().message(), "value out of range");
  EXPECT_EQ(parse_uint("4294967296", 32).status().message(), "value out of range");
  EXPECT_EQ(parse_uint("4294967295", 32).value(), 4294967295u);
}

TEST(GoSyntax, SignedNumbers) {
  EXPECT_EQ(parse_int("-5").value(), -5);
  EXPECT_EQ(parse_int("+5").value(), 5);
  EXPECT_EQ(parse_int("-0x10").value(), -16);
  EXPECT_EQ(parse_int("-9223372036854775808").value(), INT64_MIN);
  EXPECT_EQ(parse_int("9223372036854775807").value(), INT64_MAX);
  EXPECT_EQ(parse_int("9223372036854775808").status().message(), "value out of range");
  EXPECT_EQ(parse_int("--5").status().message(), "parse error");
  EXPECT_EQ(parse_int("-").status().message(), "parse error");
}

TEST(GoSyntax, DurationsBothWays) {
  const struct {
    const char* text;
    int64_t value;
    const char* printed;
  } kGood[] = {
      {"0", 0, "0s"},
      {"0s", 0, "0s"},
      {"1ns", 1, "1ns"},
      {"1us", 1000, "1\u00b5s"},
      {"1\u00b5s", 1000, "1\u00b5s"},
      {"1\u03bcs", 1000, "1\u00b5s"},
      {"1500ns", 1500, "1.5\u00b5s"},
      {"300ms", 300000000, "300ms"},
      {"108.018179ms", 108018179, "108.018179ms"},
      {"1m", 60000000000, "1m0s"},
      {"10m", 600000000000, "10m0s"},
      {"2h", 7200000000000, "2h0m0s"},
      {"1h2m3.5s", 3723500000000, "1h2m3.5s"},
      {".5s", 500000000, "500ms"},
      {"1.s", 1000000000, "1s"},
      {"-1.5h", -5400000000000, "-1h30m0s"},
      {"+5s", 5000000000, "5s"},
      {"1s1ns", 1000000001, "1.000000001s"},
      {"9223372036854775807ns", INT64_MAX, "2562047h47m16.854775807s"},
      {"-9223372036854775808ns", INT64_MIN, "-2562047h47m16.854775808s"},
  };
  for (const auto& test : kGood) {
    const auto value = parse_duration(test.text);
    ASSERT_TRUE(value.ok()) << test.text << ": " << value.status().message();
    EXPECT_EQ(value.value().count(), test.value) << test.text;
    EXPECT_EQ(format_duration(nanoseconds(test.value)), test.printed);
  }
}

TEST(GoSyntax, DurationErrors) {
  const struct {
    const char* text;
    const char* error;
  } kBad[] = {
      {"", "time: invalid duration \"\""},
      {"5", "time: missing unit in duration \"5\""},
      {"abc", "time: invalid duration \"abc\""},
      {"-", "time: invalid duration \"-\""},
      {".s", "time: invalid duration \".s\""},
      {"5x", "time: unknown unit \"x\" in duration \"5x\""},
      {"5s 3s", "time: unknown unit \"s \" in duration \"5s 3s\""},
      {"1d", "time: unknown unit \"d\" in duration \"1d\""},
      {"9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\""},
      {"3000000h", "time: invalid duration \"3000000h\""},
  };
  for (const auto& test : kBad) {
    EXPECT_EQ(parse_duration(test.text).status().message(), test.error) << test.text;
  }
}

TEST(GoSyntax, TextHelpers) {
  EXPECT_EQ(quote("a\"b\\c\n\t\x01"), "\"a\\\"b\\\\c\\n\\t\\x01\"");
  EXPECT_EQ(quote("\u00b5"), "\"\u00b5\"");
  EXPECT_EQ(split("", ','), std::vector<std::string>{""});
  EXPECT_EQ(split("a,,b", ','), (std::vector<std::string>{"a", "", "b"}));
  EXPECT_EQ(join({"a", "b"}, ", "), "a, b");
  EXPECT_EQ(trim("  a b\t"), "a b");
  EXPECT_EQ(trim("   "), "");
}

}  // namespace
}  // namespace mortise::config
