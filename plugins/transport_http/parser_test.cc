// The parts that read bytes of strangers, alone: cut anywhere, and with bytes changed at random.
#include "plugins/transport_http/parser.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "plugins/transport_http/json_splitter.h"
#include "plugins/transport_http/target.h"

namespace mortise::transport_http {
namespace {

constexpr size_t kHeaderMax = 4096;
constexpr size_t kBodyMax = 4096;

const std::string_view kRequests[] = {
    "GET /metrics?x=1 HTTP/1.1\r\nHost: a:1\r\nAccept: */*\r\nOrigin: http://o\r\n\r\n",
    "POST /v3/kv/put HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\nAuthorization: Bearer t\r\n"
    "Grpc-Timeout: 5S\r\nGrpc-Metadata-hasleader: true\r\nTE: trailers\r\n\r\n{\"key\":\"YQ\"}",
    "POST /v3/watch HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    "4;a=b\r\n{\"a\"\r\nA\r\n:1,\"b\":22}\r\n0\r\nX: y\r\n\r\n",
    "GET /v3/watch HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Protocol: Bearer, t\r\n\r\n",
    "PUT http://h/p#f HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
};

// What becomes of a request that arrives in pieces which end at `cuts`.
struct Outcome {
  int refused = 0;
  bool complete = false;
  std::string text;  // All that was understood.
  bool operator==(const Outcome&) const = default;
};

std::string text_of(const Head& head) {
  std::string out;
  for (std::string_view part :
       {head.method, head.path, head.query, head.authority, head.accept, head.origin,
        head.authorization, head.token, head.grpc_timeout, head.has_leader, head.client_api_version,
        head.websocket_protocol}) {
    out.append(part).push_back('|');
  }
  for (bool flag : {head.http_10, head.keep_alive, head.has_body, head.chunked,
                    head.expects_continue, head.accepts_trailers, head.wants_websocket}) {
    out.push_back(flag ? '1' : '0');
  }
  return out + std::to_string(head.content_length);
}

Outcome run(std::string_view bytes, std::vector<size_t> cuts) {
  Outcome out;
  Parser parser(kHeaderMax);
  cuts.push_back(bytes.size());
  size_t taken = 0;
  bool in_body = false;
  std::string body;
  for (const size_t cut : cuts) {
    // A buffer of its own, so that a read behind the end is seen.
    const std::string part(bytes.substr(taken, cut - taken));
    size_t used = 0;
    if (!in_body) {
      const Parser::Result result = parser.parse_head(part);
      if (result == Parser::Result::kRefused) {
        out.refused = parser.refused().status;
        return out;
      }
      if (result == Parser::Result::kMore) continue;
      out.text = text_of(parser.head());
      used = parser.head().bytes;
      in_body = true;
      if (!parser.head().chunked) {
        out.complete = true;
        return out;
      }
    }
    size_t more = 0;
    const Parser::Result result =
        parser.parse_chunks(std::string_view(part).substr(used), body, kBodyMax, more);
    if (result == Parser::Result::kRefused) {
      out.refused = parser.refused().status;
      return out;
    }
    taken += used + more;
    if (result == Parser::Result::kDone) {
      out.complete = true;
      out.text += body;
      return out;
    }
  }
  return out;
}

TEST(Parser, PiecesMakeNoDifference) {
  for (const std::string_view request : kRequests) {
    const Outcome whole = run(request, {});
    EXPECT_TRUE(whole.complete) << request;
    for (size_t cut = 1; cut < request.size(); ++cut) {
      EXPECT_EQ(run(request, {cut}), whole) << request << " cut at " << cut;
    }
    std::vector<size_t> all(request.size() - 1);
    for (size_t i = 0; i < all.size(); ++i) all[i] = i + 1;
    EXPECT_EQ(run(request, all), whole) << request;
  }
}

std::string mutate(std::mt19937_64& random, std::string text) {
  static const std::string_view kPieces[] = {"\r\n",
                                             "\n",
                                             "\r",
                                             ":",
                                             " ",
                                             "\t",
                                             "0\r\n",
                                             "chunked",
                                             "Content-Length: 5\r\n",
                                             "Transfer-Encoding: chunked\r\n",
                                             "Host: x\r\n",
                                             "ffffffffffffffff",
                                             ";",
                                             "\r\n\r\n",
                                             "%00"};
  const size_t changes = 1 + random() % 4;
  for (size_t i = 0; i < changes; ++i) {
    const size_t at = random() % (text.size() + 1);
    switch (random() % 5) {
      case 0: text.insert(at, kPieces[random() % std::size(kPieces)]); break;
      case 1: text.erase(at, random() % 8); break;
      case 2: text.insert(at, 1, static_cast<char>(random())); break;
      case 3:
        if (at < text.size()) text[at] = static_cast<char>(random());
        break;
      default: text.insert(at, text.substr(random() % (text.size() + 1), random() % 64)); break;
    }
  }
  return text;
}

TEST(Parser, ChangedBytesAreReadTheSameHoweverTheyArrive) {
  std::mt19937_64 random(4711);
  size_t refused = 0;
  for (int i = 0; i < 60'000; ++i) {
    const std::string text =
        mutate(random, std::string(kRequests[random() % std::size(kRequests)]));
    const Outcome whole = run(text, {});
    std::vector<size_t> cuts(1 + random() % 3);
    for (size_t& cut : cuts) cut = random() % (text.size() + 1);
    std::sort(cuts.begin(), cuts.end());
    const Outcome pieces = run(text, cuts);
    ASSERT_EQ(pieces, whole) << testing::PrintToString(text);
    refused += whole.refused != 0;
  }
  EXPECT_GT(refused, 10'000u);
}

TEST(JsonSplitter, CutsObjectsWhereverTheyArrive) {
  const std::string text =
      " {\"a\":\"}{\\\"\\\\\"}\n{\"b\":[{},[1,{\"c\":\"]\"}]]}{}\r\n\t{\"d\":1} ";
  const std::vector<std::string> wanted = {"{\"a\":\"}{\\\"\\\\\"}",
                                           "{\"b\":[{},[1,{\"c\":\"]\"}]]}", "{}", "{\"d\":1}"};
  for (size_t piece = 1; piece <= text.size(); ++piece) {
    JsonSplitter splitter;
    std::vector<std::string> got;
    for (size_t at = 0; at < text.size(); at += piece) {
      splitter.append(text.substr(at, piece));
      std::string_view object;
      while (splitter.next(object) == JsonSplitter::Result::kObject) got.emplace_back(object);
    }
    EXPECT_EQ(got, wanted) << piece;
    EXPECT_FALSE(splitter.has_rest());
  }
}

TEST(JsonSplitter, WhatIsNoObject) {
  JsonSplitter splitter;
  std::string_view object;
  splitter.append("{} [1]");
  EXPECT_EQ(splitter.next(object), JsonSplitter::Result::kObject);
  EXPECT_EQ(splitter.next(object), JsonSplitter::Result::kBad);
  EXPECT_EQ(splitter.error(), "invalid character '[' looking for beginning of value");
  JsonSplitter open;
  open.append("{\"a\":\"");
  EXPECT_EQ(open.next(object), JsonSplitter::Result::kMore);
  EXPECT_TRUE(open.has_rest());
}

TEST(Parser, HostsAreHosts) {
  const auto result = [](const std::string& request) {
    Parser parser(kHeaderMax);
    const auto outcome = parser.parse_head(request);
    return outcome == Parser::Result::kDone ? "" : std::string(parser.refused().reason) + "!";
  };
  for (const std::string host :
       {"", "a", "a:1", "[::1]:80", "[fe80::1%25eth0]", "a_b.c-d~", "!$&'()*+,;="}) {
    EXPECT_EQ(result("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n"), "") << host;
  }
  for (const std::string host :
       {"a b", "a/b", "a@b", "a\"b", "a\\b", "a<b", "a?b", "a#b", "\xc3\xa4"}) {
    EXPECT_EQ(result("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n"), "malformed Host header!")
        << host;
    if (host.find_first_of(" /?#") != std::string::npos) continue;
    EXPECT_EQ(result("GET http://" + host + "/ HTTP/1.1\r\nHost: h\r\n\r\n"), "!") << host;
  }
}

TEST(Target, PathsAreCleaned) {
  for (const auto& [given, wanted] : {std::pair{"/", "/"},
                                      {"//", "/"},
                                      {"/a//b", "/a/b"},
                                      {"/a/./b/", "/a/b/"},
                                      {"/a/..", "/"},
                                      {"/a/b/..", "/a"},
                                      {"/a/b/../", "/a/"},
                                      {"/../..//a", "/a"},
                                      {"/.a/..b/...", "/.a/..b/..."}}) {
    EXPECT_EQ(clean_path(given), wanted) << given;
  }
  EXPECT_EQ(escape_location("/a%2fb;c=d?e&'f'"), "/a%2fb;c=d?e&'f'");
  EXPECT_EQ(escape_location("\\\"<> \x7f\xc3\r\n"), "%5C%22%3C%3E%20%7F%C3%0D%0A");
}

TEST(Target, PercentAndQuery) {
  std::string out;
  EXPECT_TRUE(percent_decode("/a%2Fb%20+", out));
  EXPECT_EQ(out, "/a/b +");
  for (const char* bad : {"%", "%2", "%zz", "%00", "a%2", "%-1"}) {
    EXPECT_FALSE(percent_decode(bad, out)) << bad;
  }
  EXPECT_TRUE(query_value("a=1&request=%7B+%7D&request=2", "request", out));
  EXPECT_EQ(out, "{ }");
  EXPECT_TRUE(query_value("arequest=1", "request", out));
  EXPECT_EQ(out, "");
  EXPECT_FALSE(query_value("request=%", "request", out));
}

TEST(Target, GrpcTimeouts) {
  const std::pair<const char*, uint64_t> kGood[] = {{"1H", 3'600'000'000'000},
                                                    {"2M", 120'000'000'000},
                                                    {"5S", 5'000'000'000},
                                                    {"100m", 100'000'000},
                                                    {"7u", 7'000},
                                                    {"99999999n", 99'999'999},
                                                    {"0S", 1}};
  for (const auto& [text, ns] : kGood) {
    uint64_t out = 0;
    EXPECT_TRUE(parse_grpc_timeout(text, out)) << text;
    EXPECT_EQ(out, ns) << text;
  }
  for (const char* bad : {"", "S", "5", "5s", "5x", "-5S", "+5S", "5.5S", "123456789S", " 5S"}) {
    uint64_t out = 0;
    EXPECT_FALSE(parse_grpc_timeout(bad, out)) << bad;
  }
}

}  // namespace
}  // namespace mortise::transport_http
