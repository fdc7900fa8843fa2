// What goes over the wire, frame by frame: requests in every shape, answers, flow control, the end.
#include <gtest/gtest.h>

#include "plugins/transport_grpc/test_server.h"

namespace mortise::transport_grpc {
namespace {

using std::chrono::seconds;
using CallPtr = std::shared_ptr<FakeCall>;
using StreamPtr = std::shared_ptr<FakeStream>;

constexpr uint64_t kMuch = 1 << 30;

class FramesTest : public testing::Test {
 protected:
  FramesTest() {
    host_.add_unary("/test.Echo/Inline", [](const CallPtr& call) {
      call->answer(std::move(call->request));
      return MORTISE_OK;
    });
    host_.add_unary("/test.Echo/Held", [this](CallPtr call) {
      std::lock_guard lock(mutex_);
      held_.push_back(std::move(call));
      changed_.notify_all();
      return MORTISE_OK;
    });
    host_.add_stream("/test.Stream/Manual", MORTISE_BIDI_STREAM, [this](StreamPtr stream) {
      std::lock_guard lock(mutex_);
      opened_.push_back(std::move(stream));
      changed_.notify_all();
      return MORTISE_OK;
    });
  }
  std::vector<CallPtr> wait_held(size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, seconds(60), [&] { return held_.size() >= count; }));
    return std::exchange(held_, {});
  }
  StreamPtr wait_opened() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, seconds(60), [&] { return !opened_.empty(); }));
    return std::exchange(opened_, {}).front();
  }
  FakeHost host_;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<CallPtr> held_;
  std::vector<StreamPtr> opened_;
};

TEST_F(FramesTest, RequestsInPiecesOfEverySize) {
  TestServer server(host_);
  RawClient client(server.port());
  client.greet();
  const std::string bytes = make_message("a message");
  int32_t stream = 1;
  for (size_t cut = 0; cut <= bytes.size(); ++cut, stream += 2) {
    // In two DATA frames, with or without the end in one of its own.
    client.send(make_headers(stream, call_fields("/test.Echo/Inline")) +
                make_data(stream, bytes.substr(0, cut), false) +
                make_data(stream, bytes.substr(cut), cut % 2 == 0));
    if (cut % 2 != 0) client.send(make_data(stream, "", true));
    const RawAnswer answer = client.read_answer(stream);
    EXPECT_EQ(answer.data, bytes) << cut;
    EXPECT_EQ(answer.fields.at("grpc-status"), "0");
  }
  const std::string call = make_call(stream, "/test.Echo/Inline", "a message");
  for (const char byte : call) client.send(std::string_view(&byte, 1));
  EXPECT_EQ(client.read_answer(stream).data, bytes);
}

TEST_F(FramesTest, AnAnswerHasHeaderDataAndTrailer) {
  TestServer server(host_);
  RawClient client(server.port());
  client.greet();
  client.send(make_call(1, "/test.Echo/Inline", "x"));
  const Frame header = client.read_frame();
  EXPECT_EQ(header.type, NGHTTP2_HEADERS);
  EXPECT_EQ(header.flags, NGHTTP2_FLAG_END_HEADERS);
  EXPECT_EQ(client.read_frame().type, NGHTTP2_DATA);
  const Frame trailer = client.read_frame();
  EXPECT_EQ(trailer.type, NGHTTP2_HEADERS);
  EXPECT_EQ(trailer.flags, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM);
  const RawAnswer& answer = client.answer(1);
  EXPECT_EQ(answer.fields.at(":status"), "200");
  EXPECT_EQ(answer.fields.at("content-type"), "application/grpc");
  EXPECT_EQ(answer.fields.at("grpc-status"), "0");
  EXPECT_EQ(answer.fields.count("grpc-message"), 0u);
  Fields fields = call_fields("/test.Echo/Inline");
  fields[4].second = "application/grpc+proto";
  client.send(make_headers(3, fields) + make_data(3, make_message("x"), true));
  EXPECT_EQ(client.read_answer(3).fields.at("content-type"), "application/grpc+proto");
}

TEST_F(FramesTest, WhatComesTogetherLeavesTogether) {
  TestServer server(host_);
  RawClient client(server.port());
  client.greet();
  client.send(make_call(1, "/test.Echo/Held", "a"));
  std::vector<CallPtr> calls = wait_held(1);
  for (int32_t stream = 3; stream <= 19; stream += 2) {
    client.send(make_call(static_cast<uint32_t>(stream), "/test.Echo/Held", "a"));
  }
  for (CallPtr& call : wait_held(9)) calls.push_back(std::move(call));
  // What greets has been said.
  client.send(make_call(21, "/test.Echo/Inline", "a"));
  client.read_answer(21);
  transport_table().answers_begin(server.transport());
  for (const CallPtr& call : calls) call->answer(sdk::Buffer::from("answer"));
  transport_table().answers_end(server.transport());
  const std::string got = client.read_some();
  size_t answers = 0;
  for (size_t at = 0; (at = got.find("answer", at)) != std::string::npos; ++at) ++answers;
  EXPECT_EQ(answers, calls.size()) << "in one piece";
}

TEST_F(FramesTest, AThousandStreamsOnOneConnection) {
  constexpr int32_t kStreams = 1000;
  TestServer server(host_);
  RawClient client(server.port());
  client.greet();
  std::string bytes;
  for (int32_t i = 0; i < kStreams; ++i) {
    bytes += make_call(static_cast<uint32_t>(2 * i + 1), "/test.Echo/Held", std::to_string(i));
  }
  client.send(bytes);
  std::vector<CallPtr> calls = wait_held(kStreams);
  ASSERT_EQ(calls.size(), static_cast<size_t>(kStreams));
  // The last first.
  for (auto call = calls.rbegin(); call != calls.rend(); ++call) {
    (*call)->answer(std::move((*call)->request));
  }
  for (int32_t i = 0; i < kStreams; ++i) {
    const RawAnswer answer = client.read_answer(2 * i + 1);
    ASSERT_EQ(answer.data, make_message(std::to_string(i)));
    ASSERT_EQ(answer.fields.at("grpc-status"), "0");
  }
}

// Calls that are refused, and with what.
TEST_F(FramesTest, WrongRequestsAreRefusedInTheirOwnWay) {
  const Fields good = call_fields("/test.Echo/Inline");
  const auto with = [&](size_t at, const char* value) {
    Fields fields = good;
    fields[at].second = value;
    return fields;
  };
  const auto plus = [&](const char* name, const std::string& value) {
    Fields fields = good;
    fields.emplace_back(name, value);
    return fields;
  };
  const struct {
    Fields fields;
    const char* http_status;
    const char* grpc_status;
    const char* message;
  } cases[] = {
      {with(0, "GET"), "405", "13", "the method of a call is POST, and not \"GET\""},
      {with(4, "text/html"), "415", "3", "invalid gRPC request content-type \"text/html\""},
      {with(4, "application/grpcx"), "415", "3",
       "invalid gRPC request content-type \"application/grpcx\""},
      {with(2, "/test.Echo/Other"), "200", "12", "unknown method Other for service test.Echo"},
      {with(2, "/a/b"), "200", "12", "unknown service a"},
      {with(2, "nothing"), "200", "12", "malformed method name: \"nothing\""},
      {plus("grpc-timeout", "1x"), "400", "13",
       "malformed grpc-timeout: timeout unit is not recognized: \"1x\""},
      {plus("grpc-timeout", "0n"), "200", "4", "context deadline exceeded"},
      {plus("grpc-encoding", "deflate"), "200", "12",
       "grpc: Decompressor is not installed for grpc-encoding \"deflate\""},
      {plus(":authority", "b"), "400", "13", "more than one :authority or host"}};
  TestServer server(host_);
  RawClient client(server.port());
  client.greet();
  int32_t stream = 1;
  for (const auto& c : cases) {
    const auto id = static_cast<uint32_t>(stream);
    client.send(make_headers(id, c.fields) + make_data(id, make_message("x"), true));
    const RawAnswer answer = client.read_answer(stream);
    EXPECT_EQ(answer.fields.at(":status"), c.http_status) << c.message;
    EXPECT_EQ(answer.fields.at("grpc-status"), c.grpc_status) << c.message;
    EXPECT_EQ(answer.fields.at("grpc-message"), c.message);
    stream += 2;
  }
}

TEST_F(FramesTest, ACallHasOneMessage) {
  const std::string message = make_message("x");
  const std::string flagged = std::string(1, '\1') + message.substr(1);
  const struct {
    std::string data;
    const char* message;
  } cases[] = {{"", "the call ended without a request message"},
               {message.substr(0, 3), "the request message is incomplete"},
               {message.substr(0, 5), "the request message is incomplete"},
               {message + message, "the call has more than one request message"},
               {message + "\1", "the call has more than one request message"},
               {flagged, "grpc: compressed flag set with identity or empty encoding"},
               {"\7" + message.substr(1), "grpc: received unexpected payload format 7"}};
  TestServer server(host_);
  RawClient client(server.port());
  client.greet();
  int32_t stream = 1;
  for (const auto& c : cases) {
    const auto id = static_cast<uint32_t>(stream);
    client.send(make_headers(id, call_fields("/test.Echo/Inline")) + make_data(id, c.data, true));
    const RawAnswer answer = client.read_answer(stream);
    EXPECT_EQ(answer.fields.at("grpc-status"), "13") << c.message;
    EXPECT_EQ(answer.fields.at("grpc-message"), c.message);
    stream += 2;
  }
  client.send(make_headers(101, call_fields("/test.Echo/Inline"), true));
  EXPECT_EQ(client.read_answer(101).fields.at("grpc-message"),
            "the call ended without a request message");
}

TEST_F(FramesTest, TooLargeIsSaidBeforeItIsRead) {
  host_.rpc.request_bytes_max = 1000;
  TestServer server(host_);
  RawClient client(server.port());
  client.greet();
  client.send(make_headers(1, call_fields("/test.Echo/Inline")) +
              make_data(1, make_message(std::string(1001, 'x')).substr(0, 5), false));
  const RawAnswer answer = client.read_answer(1);
  EXPECT_EQ(answer.fields.at("grpc-status"), "8");
  EXPECT_EQ(answer.fields.at("grpc-message"),
            "grpc: received message larger than max (1001 vs. 1000)");
  // The client need not send the rest, and nobody minds if it does.
  const Frame reset = client.read_frame();
  EXPECT_EQ(reset.type, NGHTTP2_RST_STREAM);
  EXPECT_EQ(number_at(reset.payload, 0), uint32_t{NGHTTP2_NO_ERROR});
  client.send(make_data(1, std::string(1001, 'x'), true));
  client.send(make_call(3, "/test.Echo/Inline", "x"));
  EXPECT_EQ(client.read_answer(3).fields.at("grpc-status"), "0");
}

TEST_F(FramesTest, TheClientsWindowIsKept) {
  TestServer server(host_);
  RawClient client(server.port());
  client.greet({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1}});
  const std::string body(50, 'w');
  client.send(make_call(1, "/test.Echo/Inline", body));
  while (client.answer(1).data.size() < make_message(body).size()) {
    const size_t before = client.answer(1).data.size();
    ASSERT_FALSE(client.read_frame().ended());
    if (client.answer(1).data.size() > before) {
      EXPECT_EQ(client.answer(1).data.size(), before + 1);
      client.send(make_window_update(1, 1));
    }
  }
  const RawAnswer answer = client.read_answer(1);
  EXPECT_EQ(answer.data, make_message(body));
  EXPECT_EQ(answer.data_frames, make_message(body).size());
  EXPECT_EQ(answer.fields.at("grpc-status"), "0");
}

TEST_F(FramesTest, TheDeadlineEndsACallThatTheHostWorksOn) {
  TestServer server(host_);
  RawClient client(server.port());
  client.greet();
  for (const char* path : {"/test.Echo/Held", "/test.Stream/Manual"}) {
    const uint32_t id = path == std::string("/test.Echo/Held") ? 1 : 3;
    Fields fields = call_fields(path);
    fields.emplace_back("grpc-timeout", "20m");
    client.send(make_headers(id, fields) + make_data(id, make_message("x"), true));
    const RawAnswer answer = client.read_answer(static_cast<int32_t>(id));
    EXPECT_EQ(answer.fields.at("grpc-status"), "4");
    EXPECT_EQ(answer.fields.at("grpc-message"), "context deadline exceeded");
  }
  wait_held(1).front()->answer(sdk::Buffer::from("too late"));
  const StreamPtr stream = wait_opened();
  EXPECT_TRUE(stream->wait([&] { return stream->cancelled; }));
  stream->end(1, "");
}

TEST_F(FramesTest, StreamsThatNobodyReadsDoNotHoldUpOthers) {
  TestServer server(host_);
  RawClient client(server.port());
  client.greet();
  // Together more than the connection's window.
  constexpr uint32_t kStreams = 24;
  constexpr size_t kWindow = 256 << 10;
  const std::string piece(16 << 10, 'x');
  std::vector<StreamPtr> streams;
  for (uint32_t i = 0; i < kStreams; ++i) {
    const uint32_t id = 2 * i + 1;
    client.send(make_headers(id, call_fields("/test.Stream/Manual")));
    for (size_t sent = 0; sent < kWindow; sent += piece.size()) {
      client.send(make_data(id, piece, false));
    }
    streams.push_back(wait_opened());
  }
  client.send(make_call(1001, "/test.Echo/Inline", "x"));
  EXPECT_EQ(client.read_answer(1001).fields.at("grpc-status"), "0");
  for (const StreamPtr& stream : streams) stream->end(0, "");
}

TEST_F(FramesTest, ADrainTellsClientsInTwoSteps) {
  TestServer server(host_);
  RawClient client(server.port());
  client.greet();
  client.send(make_call(1, "/test.Echo/Held", "x"));
  const CallPtr call = wait_held(1).front();
  server.drain(seconds(100));
  Frame frame = client.read_frame();
  ASSERT_EQ(frame.type, NGHTTP2_GOAWAY);
  EXPECT_EQ(number_at(frame.payload, 0), 0x7fffffffu);
  EXPECT_EQ(number_at(frame.payload, 4), uint32_t{NGHTTP2_NO_ERROR});
  frame = client.read_frame();
  ASSERT_EQ(frame.type, NGHTTP2_PING);
  // What was begun before the client knew is served.
  client.send(make_call(3, "/test.Echo/Inline", "x") +
              make_frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, frame.payload));
  EXPECT_EQ(client.read_answer(3).fields.at("grpc-status"), "0");
  while (client.last_stream() != 3) ASSERT_FALSE(client.read_frame().ended());
  // And what is begun now, is not.
  client.send(make_call(5, "/test.Echo/Inline", "x"));
  call->answer(sdk::Buffer::from("last"));
  EXPECT_EQ(client.read_answer(1).data, make_message("last"));
  EXPECT_TRUE(client.read_frame().ended());
  EXPECT_FALSE(client.answer(5).complete);
  client.shutdown_writes();
  EXPECT_TRUE(host_.wait_drained());
}

TEST_F(FramesTest, AnUnusualAuthorityIsServed) {
  TestServer server(host_);
  RawClient client(server.port());
  client.greet();
  Fields fields = call_fields("/test.Echo/Inline");
  fields[3].second = "#initially=[127.0.0.1:2379]";
  client.send(make_headers(1, fields) + make_data(1, make_message("x"), true));
  EXPECT_EQ(client.read_answer(1).fields.at("grpc-status"), "0");
  fields.erase(fields.begin() + 3);
  client.send(make_headers(3, fields) + make_data(3, make_message("x"), true));
  EXPECT_EQ(client.read_answer(3).fields.at("grpc-status"), "0");
}

}  // namespace
}  // namespace mortise::transport_grpc
