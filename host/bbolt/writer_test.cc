#include <gtest/gtest.h>

#include <random>

#include "host/bbolt/test_rows.h"

namespace mortise::bbolt {
namespace {

std::string number_key(int i) {
  char key[18];
  std::snprintf(key, sizeof key, "%017d", i);
  return key;
}

Rows numbered_rows(int count, size_t value_bytes) {
  Rows rows;
  for (int i = 0; i < count; ++i) rows[number_key(i)] = std::string(value_bytes, 'v');
  return rows;
}

void expect_round_trip(const Buckets& buckets) {
  std::string image = write_image(buckets);
  auto read = read_image(image);
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(*read, buckets);
}

std::string hex(std::string_view bytes) {
  std::string out;
  for (char c : bytes) {
    char text[4];
    std::snprintf(text, sizeof text, "%02x", static_cast<unsigned char>(c));
    out += text;
  }
  return out;
}

// The example of docs/formats/bbolt.md, byte for byte.
TEST(BboltWriterTest, GoldenBytes) {
  std::string image = write_image({{"b", {{"k", "v"}}}, {"empty", {}}});
  ASSERT_EQ(image.size(), 4 * kPageBytes);
  auto page = [&](size_t id, size_t bytes) { return hex({image.data() + id * kPageBytes, bytes}); };
  std::string meta_body =
      "edda0ced"
      "02000000"
      "00100000"
      "00000000"
      "0300000000000000"
      "0000000000000000"
      "0200000000000000"
      "0400000000000000";
  EXPECT_EQ(page(0, 72),
            "0000000000000000"
            "0400"
            "0000"
            "00000000" +
                meta_body + "0200000000000000");
  EXPECT_EQ(page(1, 72),
            "0100000000000000"
            "0400"
            "0000"
            "00000000" +
                meta_body + "0100000000000000");
  EXPECT_EQ(page(2, 16),
            "0200000000000000"
            "1000"
            "0000"
            "00000000");
  EXPECT_EQ(page(3, 48),
            "0300000000000000"
            "0200"
            "0200"
            "00000000"
            "01000000"
            "20000000"
            "01000000"
            "32000000"
            "01000000"
            "43000000"
            "05000000"
            "20000000");
  EXPECT_EQ(page(3, 48 + 51 + 37).substr(96), hex("b") +
                                                  "0000000000000000"
                                                  "0000000000000000"
                                                  "0000000000000000"
                                                  "0200"
                                                  "0100"
                                                  "00000000"
                                                  "00000000"
                                                  "10000000"
                                                  "01000000"
                                                  "01000000" +
                                                  hex("kv") + hex("empty") +
                                                  "0000000000000000"
                                                  "0000000000000000"
                                                  "0000000000000000"
                                                  "0200"
                                                  "0000"
                                                  "00000000");
  EXPECT_EQ(image.substr(3 * kPageBytes + 136), std::string(kPageBytes - 136, '\0'));
}

TEST(BboltWriterTest, ChecksumsOfMetaPages) {
  std::string image = write_image({});
  for (size_t id : {0, 1}) {
    auto meta = load<Meta>(image.data() + id * kPageBytes + sizeof(PageHeader));
    EXPECT_EQ(meta.checksum, meta_checksum(meta));
  }
  // From a file that bbolt itself has written.
  Meta meta{kMagic, kVersion, 4096, 0, {2, 0}, kNoFreelist, 5, 12, 0};
  EXPECT_EQ(meta_checksum(meta), 0x3b4587666c755488u);
}

TEST(BboltWriterTest, NoBuckets) {
  std::string image = write_image({});
  EXPECT_EQ(describe_pages(image), "0 meta 0+0\n1 meta 0+0\n2 freelist 0+0\n3 leaf 0+0\n");
  expect_round_trip({});
}

TEST(BboltWriterTest, SmallBucketsAreInline) {
  // Header 16, one element 16, key 1: a value of 991 bytes makes 1024.
  std::string fits = write_image({{"b", {{"k", std::string(991, 'x')}}}});
  EXPECT_EQ(describe_pages(fits), "0 meta 0+0\n1 meta 0+0\n2 freelist 0+0\n3 leaf 1+0\n");
  std::string larger = write_image({{"b", {{"k", std::string(992, 'x')}}}});
  EXPECT_EQ(describe_pages(larger),
            "0 meta 0+0\n1 meta 0+0\n2 freelist 0+0\n3 leaf 1+0\n4 leaf 1+0\n");
}

TEST(BboltWriterTest, LargeValuesOverflow) {
  Buckets buckets{{"b",
                   {{"a", "small"},
                    {"b", std::string(1 << 20, 'x')},
                    {"c", "small"},
                    {"d", std::string(4096 - 33, 'y')},
                    {"e", std::string(4096 - 32, 'z')}}}};
  EXPECT_EQ(describe_pages(write_image(buckets)),
            "0 meta 0+0\n1 meta 0+0\n2 freelist 0+0\n3 leaf 1+0\n4 leaf 1+256\n261 leaf 1+0\n"
            "262 leaf 1+0\n263 leaf 1+1\n265 branch 5+0\n266 leaf 1+0\n");
  expect_round_trip(buckets);
}

TEST(BboltWriterTest, ManyPages) {
  Buckets buckets{{"key", numbered_rows(200000, 40)}, {"lease", numbered_rows(300, 10)}};
  expect_round_trip(buckets);
  // 73 bytes each, 55 to a page; 122 children to a branch page.
  std::string pages = describe_pages(write_image(buckets));
  EXPECT_NE(pages.find("3 leaf 55+0\n"), std::string::npos);
  EXPECT_NE(pages.find(" branch 122+0\n"), std::string::npos);
}

// bbolt panics if a page whose parent has no other child must be merged with a neighbour. Long keys
// make branches of three children, so that a few rows make many levels.
TEST(BboltWriterTest, NoBranchHasOneChild) {
  for (size_t key_bytes : {size_t{17}, size_t{1300}}) {
    Rows rows;
    for (int i = 0; i < 400; ++i) {
      std::string key = number_key(i);
      key.resize(key_bytes, 'k');
      rows[key] = std::string(2600, 'v');
      std::string pages = describe_pages(write_image({{"b", rows}}));
      ASSERT_EQ(pages.find("branch 1+"), std::string::npos) << i << " rows";
      ASSERT_EQ(pages.find("branch 0+"), std::string::npos) << i << " rows";
    }
    expect_round_trip({{"b", rows}});
  }
}

TEST(BboltWriterTest, LargeKeys) {
  Rows rows;
  for (int i = 0; i < 40; ++i) {
    std::string key(kKeyBytesMax, 'k');
    key[0] = static_cast<char>('A' + i);
    rows[key] = "v";
  }
  expect_round_trip({{"b", rows}});
}

TEST(BboltWriterTest, ManyBuckets) {
  Buckets buckets;
  for (int i = 0; i < 500; ++i) buckets[number_key(i)] = numbered_rows(i % 40, 100);
  expect_round_trip(buckets);
}

TEST(BboltWriterTest, RandomRows) {
  std::mt19937 random(7);
  auto up_to = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n)(random); };
  for (int round = 0; round < 60; ++round) {
    Buckets buckets;
    for (size_t b = up_to(5); b > 0; --b) {
      Rows& rows = buckets["bucket" + std::to_string(b)];
      size_t key_max = up_to(3) == 0 ? 3000 : 20, value_max = up_to(2) == 0 ? 20000 : 200;
      for (size_t i = up_to(300); i > 0; --i) {
        std::string key(1 + up_to(key_max), 'k');
        for (char& c : key) c = static_cast<char>(random());
        rows[key] = std::string(up_to(value_max), static_cast<char>(random()));
      }
    }
    std::string image = write_image(buckets);
    EXPECT_EQ(write_image(buckets, 1 + up_to(100000)), image);  // Pieces of any size.
    auto read = read_image(image);
    ASSERT_TRUE(read.ok()) << read.status().message();
    ASSERT_EQ(*read, buckets);
  }
}

// Rows that come as they are given, for what a writer must refuse.
class ListRows : public RowSource {
 public:
  struct Entry {
    Item item;
    std::string key, value;
  };
  explicit ListRows(std::vector<Entry> entries) : entries_(std::move(entries)) {}
  Status rewind() override {
    ++passes_;
    at_ = 0;
    return Status();
  }
  Item next(std::string_view* key, std::string_view* value) override {
    if (at_ == entries_.size()) return Item::kEnd;
    const Entry& e = entries_[at_++];
    *key = e.key;
    *value = passes_ == 2 && !second_value_.empty() ? second_value_ : e.value;
    return e.item;
  }
  Status status() const override { return Status(StatusCode::kIo, "the rows cannot be read"); }
  void set_second_value(std::string value) { second_value_ = std::move(value); }

 private:
  std::vector<Entry> entries_;
  std::string second_value_;
  size_t at_ = 0;
  int passes_ = 0;
};

std::string refusal(ListRows rows) {
  ImageWriter writer(&rows);
  for (bool done = false; !done;) {
    Status status = writer.lay_out(1, &done);
    if (!status.ok()) return status.message();
  }
  ByteBuffer bytes;
  while (!writer.at_end()) {
    Status status = writer.read(4096, &bytes);
    if (!status.ok()) return status.message();
  }
  return "";
}

TEST(BboltWriterTest, RefusesWhatTheFormatCannotHold) {
  using Item = RowSource::Item;
  EXPECT_EQ(refusal(ListRows({{Item::kBucket, "b", ""}, {Item::kRow, "k", ""}})), "");
  EXPECT_EQ(refusal(ListRows({{Item::kRow, "k", ""}})),
            "rows for a bbolt file begin without a bucket");
  EXPECT_EQ(refusal(ListRows({{Item::kBucket, "b", ""}, {Item::kRow, "", ""}})),
            "a row with a key of 0 bytes and a value of 0 does not fit bbolt's format");
  EXPECT_EQ(refusal(ListRows(
                {{Item::kBucket, "b", ""}, {Item::kRow, std::string(kKeyBytesMax + 1, 'k'), ""}})),
            "a row with a key of 32769 bytes and a value of 0 does not fit bbolt's format");
  EXPECT_EQ(
      refusal(ListRows({{Item::kBucket, "b", ""}, {Item::kRow, "k", ""}, {Item::kRow, "k", ""}})),
      "rows for a bbolt file are not in order");
  EXPECT_EQ(refusal(ListRows({{Item::kBucket, "b", ""}, {Item::kBucket, "a", ""}})),
            "rows for a bbolt file are not in order");
  EXPECT_EQ(refusal(ListRows({{Item::kBucket, "b", ""}, {Item::kFailed, "", ""}})),
            "the rows cannot be read");
}

TEST(BboltWriterTest, RefusesRowsThatChange) {
  using Item = RowSource::Item;
  for (size_t bytes : {size_t{2000}, size_t{20000}}) {
    ListRows rows({{Item::kBucket, "b", ""}, {Item::kRow, "k", std::string(5000, 'v')}});
    rows.set_second_value(std::string(bytes, 'v'));
    EXPECT_EQ(refusal(std::move(rows)), "the rows for a bbolt file changed while it was written");
  }
}

}  // namespace
}  // namespace mortise::bbolt
