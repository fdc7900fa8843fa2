// Clients that mean harm: requests that two parsers read in two ways, slow ones, large ones, many.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

#include "plugins/transport_http/test_server.h"

namespace mortise::transport_http {
namespace {

using testing::StartsWith;

class HostileTest : public testing::Test {
 protected:
  HostileTest() {
    host_.add_unary("/v3/echo", [](CallPtr call) { call->answer(call->request); });
    host_.add_stream("/v3/bidi", MORTISE_BIDI_STREAM,
                     [](StreamPtr stream) { stream->credit(1 << 20); });
    host_.page = [](std::string_view, std::string_view, std::string_view, std::string_view) {
      return FakePage();
    };
  }
  FakeHost host_;
};

// Each is answered with an error and the end of the connection, so nothing behind it is read as a
// request.
std::vector<std::pair<std::string, int>> ambiguous_requests() {
  const std::string post = "POST /v3/echo HTTP/1.1\r\nHost: h\r\n";
  const std::string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";
  return {
      {post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {post + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400},
      {post + "Content-Length: 0\r\nContent-Length: 3\r\n\r\nabc", 400},
      {post + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
      {post + "Content-Length: 3, 3\r\n\r\nabc", 400},
      {post + "Content-Length: +3\r\n\r\nabc", 400},
      {post + "Content-Length: -3\r\n\r\nabc", 400},
      {post + "Content-Length: 0x3\r\n\r\nabc", 400},
      {post + "Content-Length: 3 4\r\n\r\nabc", 400},
      {post + "Content-Length: \r\n\r\n", 400},
      {post + "Content-Length: 18446744073709551619\r\n\r\nabc", 400},
      {post + "Content-Length : 3\r\n\r\nabc", 400},
      {post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {post + "Transfer-Encoding: identity\r\n\r\n", 501},
      {post + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {post + "Transfer-Encoding: chunked, identity\r\n\r\n", 501},
      {post + "Transfer-Encoding: xchunked\r\n\r\n", 501},
      {post + "Transfer-Encoding:\x0b"
              "chunked\r\n\r\n0\r\n\r\n",
       400},
      {"POST /v3/echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {post + "X: a\r\n b\r\n\r\n", 400},
      {post + "X: a\r\n\tb\r\n\r\n", 400},
      {post + " X: a\r\n\r\n", 400},
      {post + "X: a\nContent-Length: 3\r\n\r\nabc", 400},
      {post + "X: a\rContent-Length: 3\r\n\r\nabc", 400},
      {post + std::string("X: a\0b\r\n\r\n", 10), 400},
      {post + "X\x01: a\r\n\r\n", 400},
      {post + ": a\r\n\r\n", 400},
      {post + "novalue\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 505},
      {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
      {"GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505},
      {"GET nopath HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"G\x01T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {post + "Expect: magic\r\nContent-Length: 3\r\n\r\nabc", 417},
      {chunked + "xyz\r\n", 400},
      {chunked + "-1\r\nabc\r\n", 400},
      {chunked + "3\nabc\r\n0\r\n\r\n", 400},
      {chunked + "3\r\nabcd\r\n0\r\n\r\n", 400},
      {chunked + "3\r\nabc0\r\n\r\n", 400},
      {chunked + " 3\r\nabc\r\n0\r\n\r\n", 400},
      {chunked + "0x3\r\nabc\r\n0\r\n\r\n", 400},
      {chunked + "ffffffffffffffff1\r\nabc\r\n", 400},
      {chunked + "ffffffffffffffff\r\nabc\r\n", 413},
      {chunked + "0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {chunked + "0\r\nContent-Length: 3\r\n\r\n", 400},
  };
}

TEST_F(HostileTest, AmbiguousRequestsAreRefused) {
  TestServer server(host_);
  for (const auto& [request, status] : ambiguous_requests()) {
    Client client(server.port());
    client.send(request + "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
    const Answer answer = client.read_answer();
    EXPECT_EQ(answer.status, status) << testing::PrintToString(request);
    EXPECT_EQ(answer.field("Connection"), "close") << testing::PrintToString(request);
    EXPECT_EQ(answer.body.find("HTTP/1"), std::string::npos) << testing::PrintToString(request);
  }
}

TEST_F(HostileTest, LargeThingsAreRefusedBeforeTheyAreRead) {
  TestServer server(host_, {.config_json = R"({"max_header":"4KB","max_body":"64KB"})"});
  {
    Client client(server.port());
    client.send("GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(5000, 'x'));
    EXPECT_THAT(client.read_to_end(), StartsWith("HTTP/1.1 431 "));
  }
  {
    Client client(server.port());
    client.send("GET /" + std::string(5000, 'x'));
    EXPECT_THAT(client.read_to_end(), StartsWith("HTTP/1.1 431 "));
  }
  {
    Client client(server.port());
    client.send("POST /v3/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 65537\r\n\r\n");
    EXPECT_THAT(client.read_to_end(), StartsWith("HTTP/1.1 413 "));
  }
  {
    Client client(server.port());
    client.send("POST /v3/echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    const std::string chunk = "8000\r\n" + std::string(0x8000, 'x') + "\r\n";
    client.send(chunk + chunk + "1\r\n");
    EXPECT_THAT(client.read_to_end(), StartsWith("HTTP/1.1 413 "));
  }
  {
    Client client(server.port());
    client.send("POST /v3/echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;" +
                std::string(5000, 'e'));
    EXPECT_THAT(client.read_to_end(), StartsWith("HTTP/1.1 431 "));
  }
  {
    // An object of a stream that never ends.
    Client client(server.port());
    client.send("POST /v3/bidi HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n{\"a\":\"");
    while (client.send(std::string(8 << 10, 'a'))) {
    }
  }
  Client client(server.port());
  client.post("/v3/echo", std::string(64 << 10, 'x'));
  EXPECT_EQ(client.read_answer().body.size(), size_t{64 << 10});
}

TEST_F(HostileTest, MessagesBeyondTheHostsLimitAreRefusedInEtcdsWords) {
  host_.rpc.request_bytes_max = 1000;
  TestServer server(host_);
  Client client(server.port());
  client.post("/v3/echo", std::string(1001, 'x'));
  const Answer answer = client.read_answer();
  EXPECT_EQ(answer.status, 429);
  EXPECT_EQ(answer.body,
            "{\"code\":8,\"message\":\"grpc: received message larger than max (1001 vs. 1000)\"}");
}

TEST_F(HostileTest, IncompleteBodiesShareABudget) {
  TestServer server(host_, {.config_json = R"({"max_bodies":"1MB"})"});
  const std::string head = "POST /v3/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n";
  Client first(server.port());
  first.send(head + std::string(900'000, 'x'));
  Client second(server.port());
  second.send(head + std::string(900'000, 'x'));
  // One of them is turned away, and the other is served.
  Client third(server.port());
  third.post("/v3/echo", "x");
  EXPECT_EQ(third.read_answer().body, "x");
  first.send(std::string(100'000, 'x'));
  second.send(std::string(100'000, 'x'));
  const int a = first.read_answer().status;
  const int b = second.read_answer().status;
  EXPECT_EQ(std::min(a, b), 200);
  EXPECT_EQ(std::max(a, b), 503);
}

TEST_F(HostileTest, SlowClientsAreClosed) {
  TestServer server(
      host_,
      {.config_json = R"({"header_timeout_ms":100,"body_timeout_ms":100,"idle_timeout_ms":100})"});
  Client idle(server.port());
  Client head(server.port());
  head.send("POST /v3/echo HTTP/1.1\r\nHost: h\r\n");
  Client body(server.port());
  body.send("POST /v3/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n");
  EXPECT_EQ(idle.read_to_end(), "");
  EXPECT_EQ(head.read_to_end(), "");
  EXPECT_EQ(body.read_to_end(), "");
  // A byte now and then does not help.
  Client trickle(server.port());
  const std::string request = "POST /v3/echo HTTP/1.1\r\nHost: h\r\nX: ";
  trickle.send(request);
  while (trickle.send("x")) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  Client drip(server.port());
  drip.send("POST /v3/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
  while (drip.send("x")) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

TEST_F(HostileTest, ClientsThatDoNotReadAreClosed) {
  host_.add_unary("/v3/big", [](CallPtr call) { call->answer(std::string(32 << 20, 'b')); });
  TestServer server(host_, {.config_json = R"({"write_timeout_ms":100})"});
  Client client(server.port());
  client.post("/v3/big", "{}");
  client.post("/v3/echo", "never");
  Client other(server.port());
  other.post("/v3/echo", "x");
  EXPECT_EQ(other.read_answer().body, "x");
  while (client.send(" ")) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_LT(client.read_to_end().size(), size_t{32 << 20});
}

TEST_F(HostileTest, ConnectionsBeyondTheLimitAreClosed) {
  TestServer server(host_, {.config_json = R"({"max_connections":2})"});
  Client first(server.port());
  first.post("/v3/echo", "1");
  EXPECT_EQ(first.read_answer().body, "1");
  {
    Client second(server.port());
    second.post("/v3/echo", "2");
    EXPECT_EQ(second.read_answer().body, "2");
    Client third(server.port());
    EXPECT_EQ(third.read_to_end(), "");
    while (server.refused() == 0) std::this_thread::yield();  // Counted after it was closed.
    EXPECT_EQ(server.refused(), 1);
  }
  first.post("/v3/echo", "1");
  EXPECT_EQ(first.read_answer().body, "1");
  // The second's place is free once the server has seen its end.
  for (bool served = false; !served;) {
    Client again(server.port());
    again.post("/v3/echo", "4");
    served = again.read_answer().body == "4";
  }
}

size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  size_t pages = 0;
  file >> pages >> pages;
  return pages * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

// Both ends are in this process, and a client costs a few hundred bytes here.
TEST_F(HostileTest, TenThousandIdleConnectionsAreCheap) {
  rlimit files{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  [[maybe_unused]] constexpr size_t kBytesEach = 4 << 10;
  const size_t count = std::min<size_t>(10'000, files.rlim_cur / 2 - 200);
  TestServer server(host_);
  std::deque<Client> clients;
  const auto add = [&](size_t number) {
    for (size_t i = 0; i < number; ++i) {
      clients.emplace_back(server.port());
      clients.back().post("/v3/echo", "x");
      EXPECT_EQ(clients.back().read_answer().body, "x");
    }
  };
  add(100);
  const size_t before = resident_bytes();
  add(count - 100);
  const size_t each = (resident_bytes() - std::min(before, resident_bytes())) / (count - 100);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(each, kBytesEach) << count << " connections";
#endif
  RecordProperty("bytes_each", static_cast<int>(each));
  for (size_t i = 0; i < clients.size(); i += 97) {
    clients[i].post("/v3/echo", "again");
    EXPECT_EQ(clients[i].read_answer().body, "again");
  }
}

}  // namespace
}  // namespace mortise::transport_http
