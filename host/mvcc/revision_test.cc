#include "host/mvcc/revision.h"

#include <gtest/gtest.h>

#include <random>

namespace mortise::mvcc {
namespace {

std::string hex(std::string_view bytes) {
  std::string out;
  for (unsigned char c : bytes) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", c);
    out += two;
  }
  return out;
}

TEST(Revision, BytesAreThoseOfEtcd) {
  EXPECT_EQ(hex(encode_revision({2, 0})), "00000000000000025f0000000000000000");
  EXPECT_EQ(hex(encode_revision({0x123456789a, 3}, true)), "000000123456789a5f000000000000000374");
}

TEST(Revision, DecodesWhatItEncodes) {
  for (int64_t main : {int64_t{0}, int64_t{1}, int64_t{1} << 40, INT64_MAX}) {
    for (bool tombstone : {false, true}) {
      Revision revision;
      bool is_tombstone = !tombstone;
      ASSERT_TRUE(decode_revision(encode_revision({main, 7}, tombstone), &revision, &is_tombstone));
      EXPECT_EQ(revision, (Revision{main, 7}));
      EXPECT_EQ(is_tombstone, tombstone);
    }
  }
}

TEST(Revision, RefusesOtherBytes) {
  Revision revision;
  bool tombstone;
  std::string good = encode_revision({5, 6}, true);
  EXPECT_FALSE(decode_revision({}, &revision, &tombstone));
  EXPECT_FALSE(decode_revision(good.substr(0, 16), &revision, &tombstone));
  EXPECT_FALSE(decode_revision(good + "t", &revision, &tombstone));
  for (size_t place : {size_t{8}, size_t{17}}) {
    std::string bad = good;
    bad[place] = 'x';
    EXPECT_FALSE(decode_revision(bad, &revision, &tombstone)) << place;
  }
}

TEST(Revision, OrderOfBytesIsOrderOfRevisions) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 20000; ++i) {
    auto number = [&] { return static_cast<int64_t>(random() >> (1 + random() % 63)); };
    Revision a{number(), number()}, b{number(), number()};
    if (random() % 3 == 0) b.main = a.main;
    EXPECT_EQ(a < b, encode_revision(a) < encode_revision(b));
  }
  EXPECT_LT(encode_revision({4, 4}), encode_revision({4, 4}, true));
  EXPECT_LT(encode_revision({4, 4}, true), encode_revision({4, 5}));
}

TEST(HistoryKey, WorkedBytes) {
  EXPECT_EQ(hex(history_key("a", 5)), "6100000000000000000005");
  EXPECT_EQ(hex(history_key(std::string("a\0", 2), 4)), "6100ff00000000000000000004");
  EXPECT_EQ(hex(history_key(std::string("\0\0b", 3), 258)), "00ff00ff6200000000000000000102");
  EXPECT_EQ(hex(history_prefix(std::string("\0", 1))), "00ff0000");
  EXPECT_EQ(history_key_size(std::string("a\0", 2)), history_key(std::string("a\0", 2), 4).size());
}

std::string random_key(std::mt19937_64* random) {
  static const char kAlphabet[] = {'\0', '\1', 'a', '\xfe', '\xff'};
  std::string key(1 + (*random)() % 5, '\0');
  for (char& c : key) c = kAlphabet[(*random)() % 5];
  return key;
}

TEST(HistoryKey, OrderOfBytesIsOrderOfKeyAndMain) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 100000; ++i) {
    std::string a = random_key(&random), b = random_key(&random);
    if (random() % 4 == 0) b = a;
    if (random() % 4 == 0) b = a + random_key(&random);
    auto main = [&] { return static_cast<int64_t>(random() >> (1 + random() % 63)); };
    int64_t m = main(), n = main();
    ASSERT_EQ(std::pair(a, m) < std::pair(b, n), history_key(a, m) < history_key(b, n))
        << hex(a) << " " << m << ", " << hex(b) << " " << n;
    if (a == b) continue;
    ASSERT_FALSE(history_key(b, n).starts_with(history_prefix(a))) << hex(a) << ", " << hex(b);
    ASSERT_EQ(a < b, history_prefix(a) < history_prefix(b));
  }
}

TEST(HistoryKey, SplitsAndUnescapes) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 10000; ++i) {
    std::string key = random_key(&random);
    auto main = static_cast<int64_t>(random() >> 1);
    std::string row = history_key(key, main);
    std::string_view prefix;
    int64_t split_main = 0;
    std::string back;
    ASSERT_TRUE(split_history_key(row, &prefix, &split_main));
    EXPECT_EQ(split_main, main);
    EXPECT_EQ(prefix, history_prefix(key));
    ASSERT_TRUE(decode_history_prefix(prefix, &back));
    EXPECT_EQ(back, key);
  }
  std::string_view prefix;
  int64_t main;
  std::string key;
  EXPECT_FALSE(split_history_key("123456789", &prefix, &main));
  EXPECT_FALSE(decode_history_prefix("x", &key));
  EXPECT_FALSE(decode_history_prefix(std::string_view("a\0b\0\0", 5), &key))
      << "a zero without its escape";
}

std::string encode(const HistoryValue& v) {
  char buffer[kHistoryValueBytesMax];
  return std::string(buffer, write_history_value(buffer, v));
}

TEST(HistoryValue, WorkedBytes) {
  EXPECT_EQ(hex(encode({0, false, 2, 1})), "00000201");
  EXPECT_EQ(hex(encode({3, false, 300, 128})), "0003ac028001");
  EXPECT_EQ(hex(encode({300, true, 0, 0})), "01ac02");
  EXPECT_EQ(hex(encode({0, false, 0, 0})), "0000") << "as it was before there were the last two";
  EXPECT_EQ(hex(encode({0, true, 2, 1})), "0100") << "a tombstone has neither";
  EXPECT_EQ(hex(encode({0, false, 2, 0})), "0000") << "one without the other";
}

TEST(HistoryValue, DecodesWhatItEncodes) {
  const int64_t numbers[] = {1, 127, 128, int64_t{1} << 35, INT64_MAX};
  for (int64_t sub : numbers) {
    for (int64_t create : numbers) {
      for (int64_t version : numbers) {
        HistoryValue value{sub, false, create, version}, back;
        ASSERT_TRUE(decode_history_value(encode(value), &back));
        ASSERT_EQ(back, value);
      }
    }
    for (HistoryValue value : {HistoryValue{sub, true, 0, 0}, HistoryValue{sub, false, 0, 0}}) {
      HistoryValue back{7, false, 7, 7};
      ASSERT_TRUE(decode_history_value(encode(value), &back));
      ASSERT_EQ(back, value);
    }
  }
}

TEST(HistoryValue, RefusesOtherBytes) {
  auto decodes = [](std::string_view bytes) {
    HistoryValue v;
    return decode_history_value(bytes, &v);
  };
  using std::string_literals::operator""s;
  ASSERT_TRUE(decodes("\0\0\2\1"s));
  EXPECT_FALSE(decodes(""));
  EXPECT_FALSE(decodes("\0"s)) << "no sub part";
  EXPECT_FALSE(decodes("\2\0\2\1"s)) << "an unknown flag";
  EXPECT_FALSE(decodes("\0\0\2"s)) << "no version";
  EXPECT_FALSE(decodes("\0\0\2\1\0"s)) << "bytes behind";
  EXPECT_FALSE(decodes("\1\0\2\1"s)) << "a tombstone with revisions";
  EXPECT_FALSE(decodes("\0\0\0\1"s)) << "created at 0";
  EXPECT_FALSE(decodes("\0\0\2\0"s)) << "version 0";
  EXPECT_FALSE(decodes("\0\x80\0"s)) << "not the shortest form";
  EXPECT_FALSE(decodes("\0\x80"s)) << "cut off";
  EXPECT_FALSE(decodes("\0\0\2\x80"s)) << "cut off";
  EXPECT_FALSE(decodes("\0"s + std::string(9, '\xff') + "\1"s)) << "more than 63 bits";
  EXPECT_FALSE(decodes(std::string(12, '\xff')));
}

}  // namespace
}  // namespace mortise::mvcc
