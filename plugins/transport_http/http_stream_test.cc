// Streams as lines, as events and over WebSocket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugins/transport_http/test_server.h"

namespace mortise::transport_http {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class HttpStreamTest : public testing::Test {
 protected:
  HttpStreamTest() {
    const auto keep = [this](StreamPtr stream) {
      std::lock_guard lock(mutex_);
      opened_.push_back(std::move(stream));
      changed_.notify_all();
    };
    host_.add_stream("/v3/bidi", MORTISE_BIDI_STREAM, keep);
    host_.add_stream("/v3/server", MORTISE_SERVER_STREAM, keep);
    host_.add_unary("/v3/echo", [](CallPtr call) { call->answer(call->request); });
  }
  StreamPtr wait_opened() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(
        changed_.wait_for(lock, std::chrono::seconds(60), [&] { return !opened_.empty(); }));
    StreamPtr stream = opened_.front();
    opened_.erase(opened_.begin());
    return stream;
  }
  FakeHost host_;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<StreamPtr> opened_;
};

// The next message of the client.
std::string next(const StreamPtr& stream) {
  EXPECT_TRUE(stream->wait([&] { return !stream->received.empty(); }));
  std::lock_guard lock(stream->mutex);
  if (stream->received.empty()) return {};
  std::string message = stream->received.front();
  stream->received.pop_front();
  return message;
}

std::string read_head(Client& client) {
  std::string head;
  for (std::string line = client.read_line(); line.size() > 2; line = client.read_line()) {
    head += line;
  }
  return head;
}

TEST_F(HttpStreamTest, LinesInBothDirections) {
  TestServer server(host_);
  Client client(server.port());
  client.send(
      "POST /v3/bidi HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
      "9\r\n{\"a\":\"}\\\"\r\n9\r\n\"} {\"b\":[\r\n");
  const StreamPtr stream = wait_opened();
  EXPECT_EQ(stream->caller.flags, uint32_t{MORTISE_CALLER_VIA_GATEWAY});
  stream->credit(1000);
  EXPECT_EQ(next(stream), R"({"a":"}\""})");
  stream->message(R"({"one":1})");
  const std::string head = read_head(client);
  EXPECT_THAT(head, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(head, HasSubstr("Content-Type: application/json\r\n"
                              "Grpc-Metadata-Content-Type: application/grpc\r\nDate: "));
  EXPECT_THAT(head, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_EQ(client.read_chunk(), "{\"result\":{\"one\":1}}\n");
  client.send("3\r\n{}]\r\n1\r\n}\r\n");
  EXPECT_EQ(next(stream), R"({"b":[{}]})");
  client.send("0\r\n\r\n");
  EXPECT_TRUE(stream->wait([&] { return stream->half_closed; }));
  stream->message(R"({"two":2})");
  EXPECT_EQ(client.read_chunk(), "{\"result\":{\"two\":2}}\n");
  stream->end(0, "");
  EXPECT_EQ(client.read_chunk(), "");
  // The connection goes on.
  client.post("/v3/echo", "x");
  EXPECT_EQ(client.read_answer().body, "x");
}

TEST_F(HttpStreamTest, ErrorsBeforeAndAfterTheFirstMessage) {
  TestServer server(host_);
  Client client(server.port());
  client.post("/v3/bidi", "{}");
  StreamPtr stream = wait_opened();
  stream->end(14, "no \"leader\"");
  Answer answer = client.read_answer();
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.field("Transfer-Encoding"), "chunked");
  EXPECT_EQ(answer.body, "{\"error\":{\"code\":14,\"message\":\"no \\\"leader\\\"\"}}\n");

  Client second(server.port());
  second.post("/v3/bidi", "{}");
  stream = wait_opened();
  stream->message("{}");
  stream->end(5, "gone");
  answer = second.read_answer();
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "{\"result\":{}}\n{\"error\":{\"code\":5,\"message\":\"gone\"}}\n");

  Client third(server.port());
  third.post("/v3/bidi", "value=");
  stream = wait_opened();
  stream->credit(100);
  answer = third.read_answer();
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.body,
            R"({"code":3,"message":"invalid character 'v' looking for beginning of value"})");
  EXPECT_TRUE(stream->wait([&] { return stream->cancelled; }));

  Client fourth(server.port());
  fourth.post("/v3/bidi", "{}{bad}");
  stream = wait_opened();
  stream->message("{}");
  EXPECT_THAT(read_head(fourth), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(fourth.read_chunk(), "{\"result\":{}}\n");
  stream->credit(100);
  EXPECT_EQ(fourth.read_chunk(),
            "{\"error\":{\"code\":3,\"message\":\"invalid \\\"bad\\\" value\"}}\n");
  EXPECT_EQ(fourth.read_chunk(), "");
}

TEST_F(HttpStreamTest, ServerStreamsTakeOneMessage) {
  TestServer server(host_);
  for (const char* body : {"", "{}", "{\"a\":1}{\"b\":2}"}) {
    Client client(server.port());
    client.post("/v3/server", body);
    const StreamPtr stream = wait_opened();
    stream->credit(100);
    EXPECT_TRUE(stream->wait([&] { return stream->half_closed; }));
    EXPECT_EQ(next(stream), std::string(body).substr(0, 7));
    stream->message("{\"blob\":1}");
    stream->end(0, "");
    EXPECT_EQ(client.read_answer().body, "{\"result\":{\"blob\":1}}\n");
  }
  Client client(server.port());
  client.post("/v3/server", "{\"a\"");
  wait_opened()->credit(100);
  EXPECT_EQ(client.read_answer().body, R"({"code":3,"message":"unexpected EOF"})");
}

TEST_F(HttpStreamTest, WithoutCreditNothingIsTaken) {
  TestServer server(host_);
  Client client(server.port());
  client.post("/v3/bidi", "{\"a\":1}{\"b\":2}{\"c\":3}");
  const StreamPtr stream = wait_opened();
  stream->credit(1);  // One message may go beyond.
  EXPECT_EQ(next(stream), "{\"a\":1}");
  stream->message("{}");
  read_head(client);
  EXPECT_EQ(client.read_chunk(), "{\"result\":{}}\n");
  {
    std::lock_guard lock(stream->mutex);
    EXPECT_TRUE(stream->received.empty());
    EXPECT_FALSE(stream->half_closed);
  }
  stream->credit(7);
  EXPECT_EQ(next(stream), "{\"b\":2}");
  stream->credit(100);
  EXPECT_EQ(next(stream), "{\"c\":3}");
  EXPECT_TRUE(stream->wait([&] { return stream->half_closed; }));
}

// A client that does not read gets one window, and more only when it reads.
TEST_F(HttpStreamTest, GrantsFollowTheClient) {
  TestServer server(host_, {.config_json = R"({"stream_window":"64KB"})"});
  Client client(server.port());
  client.post("/v3/bidi", "{}");
  const StreamPtr stream = wait_opened();
  stream->credit(100);
  EXPECT_TRUE(stream->wait([&] { return stream->granted_bytes == 64 << 10; }));
  uint64_t sent = 0;
  const std::string big(32 << 10, 'm');
  const auto granted = [&] {
    std::lock_guard lock(stream->mutex);
    return stream->granted_bytes;
  };
  // Until the socket takes no more: a round brings no grant though another client is served.
  uint64_t rounds_without = 0;
  while (rounds_without < 20) {
    if (sent + big.size() <= granted()) {
      stream->message(big);
      sent += big.size();
      rounds_without = 0;
    } else {
      ++rounds_without;
      Client other(server.port());
      other.post("/v3/echo", "x");
      EXPECT_EQ(other.read_answer().body, "x");
    }
    ASSERT_LT(sent, uint64_t{1} << 30) << "all of it lies in the transport";
  }
  const uint64_t before = granted();
  read_head(client);
  uint64_t read = 0;
  while (read < sent) read += client.read_chunk().size() - std::string("{\"result\":}\n").size();
  EXPECT_EQ(read, sent);
  EXPECT_TRUE(stream->wait([&] { return stream->granted_bytes > before; }));
}

TEST_F(HttpStreamTest, ClientsThatLeaveCancel) {
  TestServer server(host_);
  for (const bool after_body : {true, false}) {
    Client client(server.port());
    client.send(std::string("POST /v3/bidi HTTP/1.1\r\nHost: h\r\nContent-Length: ") +
                (after_body ? "2" : "50") + "\r\n\r\n{}");
    const StreamPtr stream = wait_opened();
    stream->credit(100);
    EXPECT_EQ(next(stream), "{}");
    client.reset();
    EXPECT_TRUE(stream->wait([&] { return stream->cancelled; }));
  }
}

TEST_F(HttpStreamTest, TheTimeOfTheClientEndsIt) {
  TestServer server(host_);
  Client client(server.port());
  client.post("/v3/bidi", "{}", "Grpc-Timeout: 20m\r\n");
  const StreamPtr stream = wait_opened();
  EXPECT_TRUE(stream->wait([&] { return stream->cancelled; }));
  EXPECT_EQ(client.read_answer().body, R"({"code":4,"message":"context deadline exceeded"})");
}

TEST_F(HttpStreamTest, StreamsBeyondTheLimitWait) {
  host_.rpc.concurrent_streams_max = 1;
  TestServer server(host_);
  Client first(server.port());
  first.post("/v3/bidi", "{}");
  const StreamPtr stream = wait_opened();
  Client second(server.port());
  second.post("/v3/bidi", "{\"second\":1}");
  Client third(server.port());
  third.post("/v3/echo", "x", "Grpc-Timeout: 20m\r\n");
  EXPECT_EQ(third.read_answer().status, 504);
  stream->end(0, "");
  const StreamPtr waited = wait_opened();
  waited->credit(100);
  EXPECT_EQ(next(waited), "{\"second\":1}");
  waited->end(0, "");
}

TEST_F(HttpStreamTest, Events) {
  TestServer server(host_);
  const std::string accept = "Accept: text/event-stream\r\n";
  {
    Client client(server.port());
    client.post("/v3/bidi", "{\"a\":1}", accept);
    const StreamPtr stream = wait_opened();
    stream->credit(100);
    EXPECT_EQ(next(stream), "{\"a\":1}");
    stream->message("{\"one\":1}");
    const std::string head = read_head(client);
    EXPECT_THAT(head, HasSubstr("Content-Type: text/event-stream\r\n"));
    EXPECT_THAT(head, HasSubstr("Cache-Control: no-cache\r\n"));
    EXPECT_EQ(client.read_chunk(), "data: {\"result\":{\"one\":1}}\n\n");
    stream->end(5, "gone");
    EXPECT_EQ(client.read_chunk(),
              "event: error\ndata: {\"error\":{\"code\":5,\"message\":\"gone\"}}\n\n");
    EXPECT_EQ(client.read_chunk(), "");
  }
  Client client(server.port());
  client.get("/v3/bidi?x=1&request=%7B%22a%22%3A+1%7D", accept);
  StreamPtr stream = wait_opened();
  stream->credit(100);
  EXPECT_EQ(next(stream), "{\"a\": 1}");
  EXPECT_TRUE(stream->wait([&] { return stream->half_closed; }));
  stream->end(0, "");
  EXPECT_EQ(client.read_answer().status, 200);
  client.get("/v3/bidi?request=%7", accept);
  EXPECT_EQ(client.read_answer().status, 400);
  wait_opened();
  client.get("/v3/echo", accept);
  EXPECT_EQ(client.read_answer().status, 501);
}

// --- WebSocket ---

std::string frame(uint8_t opcode, std::string_view payload, bool fin = true) {
  std::string out;
  out.push_back(static_cast<char>((fin ? 0x80 : 0) | opcode));
  if (payload.size() < 126) {
    out.push_back(static_cast<char>(0x80 | payload.size()));
  } else {
    out.push_back(static_cast<char>(0x80 | 127));
    for (int shift = 56; shift >= 0; shift -= 8) {
      out.push_back(static_cast<char>(payload.size() >> shift));
    }
  }
  const char mask[] = {1, 2, 3, 4};
  out.append(mask, 4);
  for (size_t i = 0; i < payload.size(); ++i) {
    out.push_back(static_cast<char>(payload[i] ^ mask[i % 4]));
  }
  return out;
}

struct Frame {
  int opcode = -1;  // -1: the connection ended.
  std::string payload;
};

Frame read_frame(Client& client) {
  const std::string head = client.read_bytes(2);
  if (head.size() < 2) return {};
  Frame out;
  out.opcode = head[0] & 0xf;
  size_t size = head[1] & 0x7f;
  const size_t more = size == 126 ? 2 : size == 127 ? 8 : 0;
  if (more > 0) {
    size = 0;
    for (char c : client.read_bytes(more)) size = size << 8 | static_cast<unsigned char>(c);
  }
  out.payload = client.read_bytes(size);
  return out;
}

constexpr int kText = 1;
constexpr int kClose = 8;
constexpr int kPing = 9;
constexpr int kPong = 10;

Answer upgrade(Client& client, const std::string& path, const std::string& fields = "") {
  client.get(path,
             "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
                 fields);
  return client.read_answer(true);
}

// CORS does not hold for WebSockets: a page that is not allowed to read could do so by one.
TEST_F(HttpStreamTest, WebSocketsAreForOriginsThatMayRead) {
  const auto status = [](const TestServer& server, const std::string& origin) {
    Client client(server.port());
    return upgrade(client, "/v3/bidi", origin.empty() ? "" : "Origin: " + origin + "\r\n").status;
  };
  TestServer strict(host_, {.config_json = R"({"cors":"http://good:80"})"});
  for (const char* origin : {"", "http://good:80", "http://h"}) {
    EXPECT_EQ(status(strict, origin), 101) << origin;
  }
  for (const char* origin : {"http://evil", "null", "https://h", "http://h:1", "http://h.evil"}) {
    EXPECT_EQ(status(strict, origin), 403) << origin;
  }
  FakeHost other;
  other.add_unary("/v3/bidi", [](CallPtr call) { call->answer(call->request); });
  TestServer open(other);
  EXPECT_EQ(status(open, "http://evil"), 101);
}

TEST_F(HttpStreamTest, WebSocketFramesAreMessages) {
  TestServer server(host_);
  Client client(server.port());
  const Answer answer = upgrade(
      client, "/v3/bidi", "Sec-WebSocket-Protocol: Bearer, tok." + std::string(3000, 't') + "\r\n");
  EXPECT_EQ(answer.status, 101);
  EXPECT_EQ(answer.field("Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  EXPECT_EQ(answer.field("Sec-WebSocket-Protocol"), "Bearer");
  const StreamPtr stream = wait_opened();
  EXPECT_EQ(stream->caller.token, "tok." + std::string(3000, 't'));
  stream->credit(100);
  client.send(frame(kText, "{\"a\":1}"));
  EXPECT_EQ(next(stream), "{\"a\":1}");
  client.send(frame(kText, "{\"b\"", false) + frame(kPing, "hi") + frame(0, ":2}"));
  EXPECT_EQ(next(stream), "{\"b\":2}");
  Frame got = read_frame(client);
  EXPECT_EQ(got.opcode, kPong);
  EXPECT_EQ(got.payload, "hi");
  const std::string big(100'000, 'b');
  stream->message("{\"one\":1}");
  stream->message(big);
  got = read_frame(client);
  EXPECT_EQ(got.opcode, kText);
  EXPECT_EQ(got.payload, "{\"result\":{\"one\":1}}");
  EXPECT_EQ(read_frame(client).payload, "{\"result\":" + big + "}");
  stream->end(5, "gone");
  EXPECT_EQ(read_frame(client).payload, "{\"error\":{\"code\":5,\"message\":\"gone\"}}");
  got = read_frame(client);
  EXPECT_EQ(got.opcode, kClose);
  client.send(frame(kClose, "\x03\xe8"));
  EXPECT_EQ(client.read_to_end(), "");
}

TEST_F(HttpStreamTest, WebSocketForUnaryMethods) {
  TestServer server(host_);
  Client client(server.port());
  EXPECT_EQ(upgrade(client, "/v3/echo").status, 101);
  client.send(frame(kText, "{\"a\":1}"));
  EXPECT_EQ(read_frame(client).payload, "{\"a\":1}");
  EXPECT_EQ(read_frame(client).opcode, kClose);
}

TEST_F(HttpStreamTest, WebSocketRefusesWhatIsWrong) {
  TestServer server(host_, {.config_json = R"({"max_body":"2KB"})"});
  {
    Client client(server.port());
    upgrade(client, "/v3/bidi");
    const StreamPtr stream = wait_opened();
    stream->credit(100);
    client.send(frame(kText, "no"));
    EXPECT_EQ(read_frame(client).payload,
              "{\"error\":{\"code\":3,\"message\":"
              "\"invalid character 'n' looking for beginning of value\"}}");
    EXPECT_TRUE(stream->wait([&] { return stream->cancelled; }));
  }
  {
    Client client(server.port());
    upgrade(client, "/v3/bidi");
    const StreamPtr stream = wait_opened();
    stream->credit(100);
    client.send(frame(kText, std::string(3000, '{')));
    EXPECT_TRUE(stream->wait([&] { return stream->cancelled; }));
  }
  {
    Client client(server.port());
    upgrade(client, "/v3/bidi");
    const StreamPtr stream = wait_opened();
    client.reset();
    stream->credit(100);
    EXPECT_TRUE(stream->wait([&] { return stream->cancelled; }));
  }
  Client unknown(server.port());
  EXPECT_EQ(upgrade(unknown, "/v3/none").status, 404);
  Client client(server.port());
  client.get("/v3/bidi", "Upgrade: websocket\r\nConnection: Upgrade\r\n");
  EXPECT_EQ(client.read_answer().status, 400);
}

TEST_F(HttpStreamTest, DrainEndsStreams) {
  TestServer server(host_);
  Client lines(server.port());
  lines.post("/v3/bidi", "{}");
  const StreamPtr first = wait_opened();
  first->message("{}");
  read_head(lines);
  EXPECT_EQ(lines.read_chunk(), "{\"result\":{}}\n");
  Client socket(server.port());
  upgrade(socket, "/v3/bidi");
  const StreamPtr second = wait_opened();
  Client ended(server.port());
  ended.post("/v3/bidi", "{}");
  const StreamPtr third = wait_opened();
  server.drain(std::chrono::seconds(1));
  third->end(0, "");
  EXPECT_EQ(ended.read_answer().status, 200);
  EXPECT_TRUE(first->wait([&] { return first->cancelled; }));
  EXPECT_TRUE(second->wait([&] { return second->cancelled; }));
  EXPECT_EQ(lines.read_to_end(), "");
  EXPECT_TRUE(host_.wait_drained());
}

}  // namespace
}  // namespace mortise::transport_http
