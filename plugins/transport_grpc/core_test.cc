// The parts that know no connection.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <deque>
#include <limits>

#include "mortise/sdk/bytes.h"
#include "plugins/transport_grpc/deadlines.h"
#include "plugins/transport_grpc/idle_resets.h"
#include "plugins/transport_grpc/keepalive.h"
#include "plugins/transport_grpc/message_reader.h"
#include "plugins/transport_grpc/outgoing.h"
#include "plugins/transport_grpc/request_head.h"
#include "plugins/transport_grpc/status.h"

namespace mortise::transport_grpc {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Read = MessageReader::Result;

std::string message(std::string_view body, char flag = '\0') {
  const size_t size = body.size();
  return std::string{flag, static_cast<char>(size >> 24), static_cast<char>(size >> 16),
                     static_cast<char>(size >> 8), static_cast<char>(size)}
      .append(body);
}

TEST(Timeout, UnitsAndLimits) {
  const struct {
    const char* text;
    uint64_t ns;
  } good[] = {{"1H", 3600'000'000'000},
              {"20M", 1200'000'000'000},
              {"5S", 5'000'000'000},
              {"100m", 100'000'000},
              {"7u", 7000},
              {"1n", 1},
              {"0S", 0},
              {"00000001n", 1},
              {"99999999H", std::numeric_limits<int64_t>::max()}};
  for (const auto& c : good) {
    uint64_t ns = 42;
    EXPECT_EQ(parse_timeout(c.text, ns), std::nullopt) << c.text;
    EXPECT_EQ(ns, c.ns) << c.text;
  }
  for (const char* text : {"", "S", "1", "1s", "123456789S", "-1S", "+1S", "1.5S", " 1S", "0x1S"}) {
    uint64_t ns = 0;
    EXPECT_NE(parse_timeout(text, ns), std::nullopt) << text;
  }
}

TEST(StatusText, CodesAndMessages) {
  EXPECT_EQ(code_text(0), "0");
  EXPECT_EQ(code_text(16), "16");
  EXPECT_EQ(code_text(17), "2");
  EXPECT_EQ(code_text(-1), "2");
  EXPECT_EQ(percent_encoded("plain text ~"), "plain text ~");
  EXPECT_EQ(percent_encoded("100%\n\x7f"), "100%25%0A%7F");
  EXPECT_EQ(percent_encoded("\xc3\xa9"), "%C3%A9");
  EXPECT_EQ(percent_encoded(std::string_view("\0", 1)), "%00");
}

// What it sends, which is less than a socket takes at once.
std::string sent_by(transport_common::Output& out) {
  int ends[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  EXPECT_EQ(out.flush(ends[0]), transport_common::Output::Result::kDone);
  shutdown(ends[0], SHUT_WR);
  std::string got;
  char bytes[4096];
  for (ssize_t size; (size = read(ends[1], bytes, sizeof(bytes))) > 0;) {
    got.append(bytes, static_cast<size_t>(size));
  }
  close(ends[0]);
  close(ends[1]);
  return got;
}

class ReaderTest : public testing::Test {
 protected:
  transport_common::BodyBudget budget_{1 << 20};
};

TEST_F(ReaderTest, MessagesInPiecesOfEverySize) {
  const std::string bytes = message("hello") + message("") + message("world, all of it");
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    MessageReader reader(100, false, budget_);
    std::vector<std::string> got;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      std::string_view part = std::string_view(bytes).substr(at, piece);
      while (!part.empty()) {
        const Read result = reader.read(part);
        ASSERT_TRUE(result == Read::kMore || result == Read::kMessage);
        if (result == Read::kMessage) got.emplace_back(sdk::Buffer(reader.take()).view());
      }
    }
    EXPECT_FALSE(reader.inside());
    EXPECT_EQ(got, (std::vector<std::string>{"hello", "", "world, all of it"})) << piece;
  }
  EXPECT_TRUE(budget_.take(1 << 20)) << "all was given back";
}

TEST_F(ReaderTest, RefusesByThePrefixAlone) {
  const struct {
    std::string bytes;
    Read result;
    mortise_rpc_code code;
    const char* text;
  } cases[] = {
      {message(std::string(101, 'x')), Read::kTooLarge, kResourceExhausted,
       "grpc: received message larger than max (101 vs. 100)"},
      {message("x", 1), Read::kCompressed, kInternal,
       "grpc: compressed flag set with identity or empty encoding"},
      {message("x", 2), Read::kBadFlag, kInternal, "grpc: received unexpected payload format 2"}};
  for (const auto& c : cases) {
    MessageReader reader(100, false, budget_);
    std::string_view prefix = std::string_view(c.bytes).substr(0, 5);
    EXPECT_EQ(reader.read(prefix), c.result);
    EXPECT_EQ(reader.refusal(c.result).code, c.code);
    EXPECT_EQ(reader.refusal(c.result).message, c.text);
  }
}

std::string packed(std::string_view text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

TEST_F(ReaderTest, UnpacksWhatIsPacked) {
  const std::string large(100'000, 'x');
  const struct {
    std::string bytes;
    std::string expected;
  } cases[] = {{message("plain"), "plain"},
               {message(packed(""), 1), ""},
               {message(packed("hello"), 1), "hello"},
               {message(packed(large), 1), large},
               {message(packed(large) + packed("") + packed("more"), 1), large + "more"}};
  MessageReader reader(200'000, true, budget_);
  for (const auto& c : cases) {
    std::string_view bytes = c.bytes;
    ASSERT_EQ(reader.read(bytes), Read::kMessage);
    ASSERT_EQ(reader.unpack(), Read::kMessage);
    EXPECT_EQ(sdk::Buffer(reader.take()).view(), c.expected);
  }
  EXPECT_TRUE(budget_.take(1 << 20)) << "all was given back";
}

TEST_F(ReaderTest, UnpacksNoMoreThanTheLimit) {
  const std::string good = packed("hello");
  std::string wrong_sum = good;
  wrong_sum[wrong_sum.size() - 5] ^= 1;
  std::string wrong_size = good;
  wrong_size.back() = '\x7f';
  const char* const damaged = "grpc: failed to decompress the message: it is not gzip, or damaged";
  const struct {
    std::string payload;
    Read result;
    const char* text;
  } cases[] = {
      {packed(std::string(1000, 'x')), Read::kMessage, ""},
      {packed(std::string(1001, 'x')), Read::kTooLargeUnpacked,
       "grpc: received message after decompression larger than max 1000"},
      {packed(std::string(100'000, 'x')), Read::kTooLargeUnpacked,
       "grpc: received message after decompression larger than max 1000"},
      {packed(std::string(600, 'x')) + packed(std::string(600, 'x')), Read::kTooLargeUnpacked,
       "grpc: received message after decompression larger than max 1000"},
      {"", Read::kNotUnpacked, damaged},
      {"hello", Read::kNotUnpacked, damaged},
      {good.substr(0, good.size() - 1), Read::kNotUnpacked, damaged},
      {good + "x", Read::kNotUnpacked, damaged},
      {wrong_sum, Read::kNotUnpacked, damaged},
      {wrong_size, Read::kNotUnpacked, damaged}};
  for (const auto& c : cases) {
    MessageReader reader(1000, true, budget_);
    const std::string bytes = message(c.payload, 1);
    std::string_view left = bytes;
    ASSERT_EQ(reader.read(left), Read::kMessage);
    const Read result = reader.unpack();
    EXPECT_EQ(result, c.result);
    if (result == Read::kMessage) continue;
    EXPECT_EQ(reader.refusal(result).message, c.text);
  }
}

TEST_F(ReaderTest, KeepsWithinTheBudget) {
  const std::string bytes = message(std::string(800'000, 'x'));
  MessageReader first(1 << 20, false, budget_);
  std::string_view most = std::string_view(bytes).substr(0, 700'000);
  EXPECT_EQ(first.read(most), Read::kMore);
  {
    MessageReader second(1 << 20, false, budget_);
    most = std::string_view(bytes).substr(0, 700'000);
    EXPECT_EQ(second.read(most), Read::kNoRoom);
    // What comes in one piece is not kept.
    MessageReader third(1 << 20, false, budget_);
    std::string_view all = bytes;
    EXPECT_EQ(third.read(all), Read::kMessage);
  }
  std::string_view rest = std::string_view(bytes).substr(700'000);
  EXPECT_EQ(first.read(rest), Read::kMessage);
  EXPECT_EQ(sdk::Buffer(first.take()).size(), 800'000u);
  EXPECT_TRUE(budget_.take(1 << 20));
}

TEST(OutgoingTest, WritesMessagesInPiecesOfEverySize) {
  const std::string large(40'000, 'l');
  const std::string expected = message("one") + message(large) + message("") + message("last");
  for (const size_t piece :
       {size_t{1}, size_t{4}, size_t{5}, size_t{7}, size_t{16384}, size_t{50000}}) {
    Outgoing outgoing;
    for (const std::string& body :
         {std::string("one"), large, std::string(), std::string("last")}) {
      outgoing.add(sdk::Buffer::from(body));
    }
    EXPECT_EQ(outgoing.bytes(), expected.size());
    transport_common::Output::Spare spare;
    transport_common::Output out(spare);
    while (outgoing.bytes() > 0) outgoing.write(std::min(piece, outgoing.bytes()), out);
    EXPECT_EQ(outgoing.take_finished(), 3 + large.size() + 4);
    EXPECT_EQ(sent_by(out), expected) << piece;
  }
}

TEST(PingGuardTest, ThreeStrikes) {
  const auto start = Clock::now();
  PingGuard guard(seconds(5));
  EXPECT_TRUE(guard.on_ping(start, true));
  EXPECT_TRUE(guard.on_ping(start + seconds(5), true)) << "in time";
  EXPECT_TRUE(guard.on_ping(start + seconds(6), true));
  EXPECT_TRUE(guard.on_ping(start + seconds(7), true));
  EXPECT_FALSE(guard.on_ping(start + seconds(8), true));
  PingGuard answers(seconds(5));
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(answers.on_ping(start + milliseconds(i), true));
    answers.forgive();
  }
  PingGuard idle(seconds(5));
  EXPECT_TRUE(idle.on_ping(start, false));
  EXPECT_TRUE(idle.on_ping(start + hours(1), false));
  EXPECT_TRUE(idle.on_ping(start + hours(2), false));
  EXPECT_FALSE(idle.on_ping(start + hours(3), false)) << "without calls two hours are the least";
  PingGuard none(seconds(0));
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(none.on_ping(start, false));
}

TEST(KeepaliveTest, PingsAndCloses) {
  using Action = Keepalive::Action;
  const auto start = Clock::now();
  Keepalive keepalive(seconds(10), seconds(3));
  EXPECT_EQ(keepalive.look(start + seconds(9), start), Action::kNothing);
  EXPECT_EQ(keepalive.look(start + seconds(10), start), Action::kPing);
  EXPECT_EQ(keepalive.look(start + seconds(12), start), Action::kNothing);
  EXPECT_EQ(keepalive.look(start + seconds(13), start + seconds(11)), Action::kNothing) << "alive";
  EXPECT_EQ(keepalive.look(start + seconds(21), start + seconds(11)), Action::kPing);
  EXPECT_EQ(keepalive.look(start + seconds(24), start + seconds(11)), Action::kClose);
  Keepalive none(seconds(0), seconds(3));
  EXPECT_EQ(none.look(start + hours(1000), start), Action::kNothing);
  Keepalive impatient(seconds(10), seconds(0));
  EXPECT_EQ(impatient.look(start + hours(1000), start), Action::kNothing);
}

class Item final : public Deadlined {
 public:
  Item(int id, std::vector<int>& order) : id_(id), order_(order) {}
  void on_deadline() override { order_.push_back(id_); }

 private:
  const int id_;
  std::vector<int>& order_;
};

TEST(DeadlinesTest, ComeInTheirOrderUnlessRemoved) {
  transport_common::Loop loop;
  Deadlines deadlines(loop);
  std::vector<int> order;
  std::deque<Item> items;
  constexpr int kItems = 60;
  const auto start = Clock::now();
  for (int i = 0; i < kItems; ++i) {
    items.emplace_back(i, order);
    // 37 has no divisor in common with the number, so this is another order of the same.
    deadlines.add(items.back(), start + milliseconds(1 + i * 37 % kItems));
  }
  std::vector<int> expected;
  for (int ms = 0; ms < kItems; ++ms) {
    for (int i = 0; i < kItems; ++i) {
      if (i * 37 % kItems == ms && i % 3 != 0) expected.push_back(i);
    }
  }
  for (int i = 0; i < kItems; i += 3) deadlines.remove(items[i]);
  deadlines.remove(items[0]);
  transport_common::Timer end(loop);
  end.start(milliseconds(200), [&] { loop.finish(); });
  loop.run();
  EXPECT_EQ(order, expected);
}

TEST(IdleResetsTest, AreLeftOutHoweverTheyCome) {
  const auto frame = [](uint8_t type, uint32_t stream, std::string_view payload) {
    std::string out = {0, 0, static_cast<char>(payload.size()), static_cast<char>(type), 0};
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(stream >> shift));
    return out.append(payload);
  };
  constexpr uint8_t kData = 0, kHeaders = 1, kReset = 3, kSettings = 4;
  const std::string preface(24, 'P');
  const std::string idle = frame(kReset, 5, "1234");
  const std::vector<std::string> sent = {preface,
                                         frame(kSettings, 0, ""),
                                         idle,
                                         frame(kHeaders, 3, "three"),
                                         frame(kReset, 3, "1234"),
                                         idle,
                                         idle,
                                         frame(kReset, 7, "too long"),
                                         frame(kReset, 2, "1234"),
                                         frame(kHeaders, 5, "five"),
                                         idle,
                                         frame(kData, 5, "")};
  std::string bytes, wanted;
  bool began = false;
  for (const std::string& part : sent) {
    began = began || part == sent[9];
    bytes += part;
    if (part != idle || began) wanted += part;
  }
  for (size_t size = 1; size <= bytes.size(); ++size) {
    IdleResets resets;
    std::string passed;
    for (size_t at = 0; at < bytes.size(); at += size) {
      EXPECT_TRUE(
          resets.pass(std::string_view(bytes).substr(at, size), [&](std::string_view piece) {
            passed += piece;
            return true;
          }));
    }
    EXPECT_EQ(passed, wanted) << "in pieces of " << size;
  }
  IdleResets refused;
  EXPECT_FALSE(refused.pass(bytes, [](std::string_view) { return false; }));
}

TEST(RequestHeadTest, TokensAndFlags) {
  mortise_host_rpc_v1 rpc{};
  const Methods methods(rpc);
  RequestHead head;
  const auto add = [&](std::string_view name, std::string_view value) {
    head.add(name, value, methods);
  };
  add("authorization", "Bearer second");
  EXPECT_EQ(head.token(), "second");
  add("token", "first");
  add("token", "third");
  EXPECT_EQ(head.token(), "first");
  add("hasleader", "false");
  add("hasleader", "true");
  EXPECT_EQ(head.caller_flags(), 0u) << "the first value counts";
  add("grpcgateway-accept", "application/json");
  EXPECT_EQ(head.caller_flags(), uint32_t{MORTISE_CALLER_VIA_GATEWAY});
  add("some-bin", "not base64 \x01");
  head.clear();
  EXPECT_EQ(head.token(), "");
  add("authorization", "Bearer ");
  EXPECT_EQ(head.token(), " ") << "good for nobody";
  add("token", "");
  add("token", "x");
  EXPECT_EQ(head.token(), " ") << "the first value counts";
  add("connection", "close");
  EXPECT_TRUE(head.malformed());
}

}  // namespace
}  // namespace mortise::transport_grpc
