#include <cerrno>

#include "gtest/gtest.h"
#include "host/base/byte_buffer.h"
#include "host/base/crc32c.h"
#include "host/base/metrics.h"
#include "host/base/status.h"

namespace mortise {
namespace {

TEST(Crc32c, MatchesPublishedVectors) {
  // RFC 3720, B.4.
  EXPECT_EQ(crc32c(0, std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(0, std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c(0, "123456789"), 0xe3069283u);
}

TEST(Crc32c, ContinuesOverPieces) {
  EXPECT_EQ(crc32c(crc32c(0, "12345"), "6789"), crc32c(0, "123456789"));
}

TEST(Crc32c, JoinsTwoRuns) {
  std::string text;
  for (int i = 0; i < 300; ++i) text.push_back(static_cast<char>(i * 7));
  for (size_t cut : {0, 1, 2, 17, 128, 299, 300}) {
    std::string first = text.substr(0, cut), second = text.substr(cut);
    EXPECT_EQ(crc32c_concat(crc32c(0, first), crc32c(0, second), second.size()), crc32c(0, text))
        << cut;
  }
}

TEST(Status, NamesTheErrnoClass) {
  EXPECT_EQ(errno_status(ENOSPC, "write x").code(), StatusCode::kNoSpace);
  EXPECT_EQ(errno_status(ENOENT, "open x").code(), StatusCode::kNotFound);
  EXPECT_EQ(errno_status(EIO, "read x").message(), "read x: Input/output error");
}

Result<int> half(int n) {
  if (n % 2 != 0) return invalid("odd");
  return n / 2;
}
Status quarter(int n, int* out) {
  MORTISE_ASSIGN_OR_RETURN(auto h, half(n));
  MORTISE_ASSIGN_OR_RETURN(*out, half(h));
  return Status::ok_status();
}

TEST(Result, PropagatesTheFirstError) {
  int out = 0;
  EXPECT_TRUE(quarter(8, &out).ok());
  EXPECT_EQ(out, 2);
  EXPECT_EQ(quarter(6, &out).message(), "odd");
}

TEST(Histogram, BoundsAreUpperOnesAndDouble) {
  Histogram<10, 3> histogram;  // 10, 20, 40
  EXPECT_TRUE(histogram.is_empty());
  for (const uint64_t value : {0, 10, 11, 20, 21, 40, 41, 1'000'000}) histogram.observe(value);
  histogram.observe_alone(std::chrono::nanoseconds(-5));  // A clock that was set back.
  const HistogramFigures figures = histogram.figures(10);
  EXPECT_EQ(figures.bounds, (std::vector<double>{1, 2, 4}));
  EXPECT_EQ(figures.counts, (std::vector<uint64_t>{3, 2, 2, 2}));
  EXPECT_DOUBLE_EQ(figures.sum, 100014.3);
  EXPECT_FALSE(histogram.is_empty());
}

TEST(ByteBuffer, KeepsItsBytesWhileItGrowsOutOfTheHeap) {
  ByteBuffer buffer;
  std::string expected;
  while (expected.size() < (size_t{5} << 20)) {
    const std::string piece(1 + expected.size() / 3, static_cast<char>('a' + expected.size() % 26));
    buffer.append(piece);
    expected += piece;
  }
  EXPECT_TRUE(buffer.is_mapped());
  EXPECT_TRUE(buffer.view() == expected);
  ByteBuffer other = std::move(buffer);
  EXPECT_TRUE(buffer.empty());
  EXPECT_TRUE(other.view() == expected);
}

}  // namespace
}  // namespace mortise
