// Streams through the whole plugin: order, credit both ways, and every way to end.
#include <gtest/gtest.h>

#include "plugins/transport_grpc/grpc_client.h"
#include "plugins/transport_grpc/test_server.h"

namespace mortise::transport_grpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using StreamPtr = std::shared_ptr<FakeStream>;

constexpr uint64_t kMuch = 1 << 30;

class StreamCallTest : public testing::Test {
 protected:
  StreamCallTest() {
    // Sends back what comes, on the host's thread, and ends after the client.
    host_.add_stream("/test.Stream/Echo", MORTISE_BIDI_STREAM, [this](StreamPtr stream) {
      stream->on_event = [this](FakeStream& s) { host_.post([this, &s] { echo(s); }); };
      keep_.push_back(stream);
      stream->credit(64 << 10);
      return MORTISE_OK;
    });
    // The test drives it.
    host_.add_stream("/test.Stream/Manual", MORTISE_BIDI_STREAM,
                     [this](StreamPtr stream) { return open(std::move(stream)); });
    host_.add_stream("/test.Stream/List", MORTISE_SERVER_STREAM,
                     [this](StreamPtr stream) { return open(std::move(stream)); });
    host_.add_stream("/test.Stream/Stopped", MORTISE_BIDI_STREAM,
                     [](StreamPtr) { return MORTISE_E_STOPPED; });
  }

  StreamPtr wait_opened() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, seconds(60), [this] { return opened_ != nullptr; }));
    return std::exchange(opened_, nullptr);
  }

  FakeHost host_;

 private:
  mortise_status open(StreamPtr stream) {
    std::lock_guard lock(mutex_);
    opened_ = std::move(stream);
    changed_.notify_all();
    return MORTISE_OK;
  }

  void echo(FakeStream& stream) {
    std::deque<std::string> received;
    bool end;
    {
      std::lock_guard lock(stream.mutex);
      received.swap(stream.received);
      end = (stream.half_closed || stream.cancelled) && !echo_ended_;
      if (end) echo_ended_ = true;
    }
    for (std::string& text : received) {
      stream.credit(text.size());
      stream.message(std::move(text));
    }
    if (end) stream.end(0, "");
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  StreamPtr opened_;
  std::vector<StreamPtr> keep_;
  bool echo_ended_ = false;
};

TEST_F(StreamCallTest, EchoesInOrder) {
  TestServer server(host_);
  ClientStream client(connect_to(server.address()), "/test.Stream/Echo");
  std::string got;
  for (int i = 0; i < 300; ++i) {
    const std::string text = std::to_string(i) + std::string(static_cast<size_t>(i) * 37, 'm');
    ASSERT_TRUE(client.write(text));
    ASSERT_TRUE(client.read(got));
    ASSERT_EQ(got, text);
  }
  ASSERT_TRUE(client.write(""));
  ASSERT_TRUE(client.read(got));
  EXPECT_EQ(got, "");
  EXPECT_TRUE(client.writes_done());
  EXPECT_FALSE(client.read(got));
  EXPECT_TRUE(client.finish().ok());
}

TEST_F(StreamCallTest, ReadsOnlyAsFarAsTheHostsCreditGoes) {
  TestServer server(host_);
  ClientStream client(connect_to(server.address()), "/test.Stream/Manual");
  const StreamPtr stream = wait_opened();
  const std::string message(10 << 10, 'x');
  // With no credit the plugin reads nothing, and HTTP/2's window stops the client some time.
  int written = 3;  // So many fit into any window.
  for (int i = 0; i < written; ++i) ASSERT_TRUE(client.write(message));
  client.start_write(message);
  while (client.write_ended_within(milliseconds(200))) {
    ASSERT_LT(++written, 1000);
    client.start_write(message);
  }
  {
    std::lock_guard lock(stream->mutex);
    EXPECT_EQ(stream->received_bytes, 0u);
  }
  // Credit for one and a bit is credit for two, as a message may overshoot.
  stream->credit(message.size() + 1);
  EXPECT_TRUE(stream->wait([&] { return stream->received.size() == 2; }));
  stream->credit(kMuch);
  EXPECT_TRUE(client.wait_write());
  EXPECT_TRUE(client.writes_done());
  EXPECT_TRUE(stream->wait([&] { return stream->half_closed; }));
  EXPECT_EQ(stream->received_bytes, message.size() * (static_cast<size_t>(written) + 1));
  stream->end(0, "");
  EXPECT_TRUE(client.finish().ok());
}

TEST_F(StreamCallTest, AClientThatDoesNotReadHoldsTheHostWithinItsWindow) {
  constexpr uint64_t kWindow = 64 << 10;
  TestServer server(host_, R"({"stream_window": "64KiB"})");
  ClientStream client(connect_to(server.address()), "/test.Stream/Manual");
  const StreamPtr stream = wait_opened();
  const std::string message(10 << 10, 'y');
  uint64_t sent_bytes = 0;
  int sent = 0;
  // The host sends while it may; the client's HTTP/2 window takes some of it at first.
  const auto may_send = [&] { return stream->granted_bytes > sent_bytes; };
  for (;;) {
    {
      std::unique_lock lock(stream->mutex);
      if (!stream->changed.wait_for(lock, milliseconds(500), may_send)) break;
      EXPECT_LE(stream->granted_bytes, sent_bytes + kWindow + message.size());
    }
    stream->message(message);
    sent_bytes += message.size();
    ASSERT_LT(++sent, 10000);
  }
  std::string got;
  for (int i = 0; i < sent; ++i) ASSERT_TRUE(client.read(got));
  EXPECT_TRUE(stream->wait([&] { return stream->granted_bytes == sent_bytes + kWindow; }));
  stream->end(0, "");
  EXPECT_FALSE(client.read(got));
  EXPECT_TRUE(client.finish().ok());
}

TEST_F(StreamCallTest, ABurstArrivesInOrderAndIsGrantedAgain) {
  constexpr int kMessages = 20000;
  TestServer server(host_);
  ClientStream client(connect_to(server.address()), "/test.Stream/Manual");
  const StreamPtr stream = wait_opened();
  uint64_t sent_bytes = 0;
  std::thread host_side([&] {
    for (int i = 0; i < kMessages; ++i) {
      EXPECT_TRUE(stream->wait([&] { return stream->granted_bytes > sent_bytes; }));
      std::string text = std::to_string(i);
      sent_bytes += text.size();
      stream->message(std::move(text));
    }
    stream->end(7, "enough");
  });
  std::string got;
  for (int i = 0; i < kMessages; ++i) {
    ASSERT_TRUE(client.read(got));
    ASSERT_EQ(got, std::to_string(i));
  }
  EXPECT_FALSE(client.read(got));
  host_side.join();
  const grpc::Status status = client.finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(status.error_message(), "enough");
}

TEST_F(StreamCallTest, AServerStreamTakesOneMessageAndItsEnd) {
  TestServer server(host_);
  ClientStream client(connect_to(server.address()), "/test.Stream/List");
  const StreamPtr stream = wait_opened();
  ASSERT_TRUE(client.write("what"));
  stream->credit(1);
  EXPECT_TRUE(stream->wait([&] { return stream->half_closed; }));
  EXPECT_EQ(stream->received, std::deque<std::string>{"what"});
  for (int i = 0; i < 3; ++i) stream->message("part");
  stream->end(0, "");
  std::string got;
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(client.read(got));
    EXPECT_EQ(got, "part");
  }
  EXPECT_FALSE(client.read(got));
  EXPECT_TRUE(client.finish().ok());
}

TEST_F(StreamCallTest, AServerStreamWithoutARequestFails) {
  TestServer server(host_);
  ClientStream client(connect_to(server.address()), "/test.Stream/List");
  const StreamPtr stream = wait_opened();
  ASSERT_TRUE(client.writes_done());
  stream->credit(kMuch);
  EXPECT_TRUE(stream->wait([&] { return stream->cancelled; }));
  stream->end(1, "cancelled");
  EXPECT_EQ(client.finish().error_code(), grpc::StatusCode::INTERNAL);
}

TEST_F(StreamCallTest, TheHostMayEndFirst) {
  TestServer server(host_);
  ClientStream client(connect_to(server.address()), "/test.Stream/Manual");
  const StreamPtr stream = wait_opened();
  stream->credit(kMuch);
  stream->message("bye");
  stream->end(14, "etcdserver: no leader");
  std::string got;
  EXPECT_TRUE(client.read(got));
  EXPECT_EQ(got, "bye");
  EXPECT_FALSE(client.read(got));
  const grpc::Status status = client.finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "etcdserver: no leader");
}

TEST_F(StreamCallTest, TheHostMayEndInsideOfItsCalls) {
  host_.add_stream("/test.Stream/EndsAtOnce", MORTISE_BIDI_STREAM, [](StreamPtr stream) {
    stream->message("hello");
    stream->end(0, "");
    return MORTISE_OK;
  });
  host_.add_stream("/test.Stream/EndsAtMessage", MORTISE_BIDI_STREAM, [](StreamPtr stream) {
    stream->on_event = [](FakeStream& s) {
      if (!s.received.empty()) s.end(9, "not now");
    };
    stream->credit(kMuch);
    return MORTISE_OK;
  });
  TestServer server(host_);
  auto channel = connect_to(server.address());
  {
    ClientStream client(channel, "/test.Stream/EndsAtOnce");
    std::string got;
    EXPECT_TRUE(client.read(got));
    EXPECT_EQ(got, "hello");
    EXPECT_TRUE(client.finish().ok());
  }
  ClientStream client(channel, "/test.Stream/EndsAtMessage");
  EXPECT_TRUE(client.write("x"));
  EXPECT_EQ(client.finish().error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(StreamCallTest, ACancelledClientCancelsTheStream) {
  TestServer server(host_);
  ClientStream client(connect_to(server.address()), "/test.Stream/Manual");
  const StreamPtr stream = wait_opened();
  stream->credit(kMuch);
  client.cancel();
  EXPECT_TRUE(stream->wait([&] { return stream->cancelled; }));
  stream->message("nobody reads this");
  stream->end(1, "");
  EXPECT_EQ(client.finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(StreamCallTest, EndsAndCancelsCrossWithoutHarm) {
  TestServer server(host_, R"({"threads": 2})");
  auto channel = connect_to(server.address());
  for (int round = 0; round < 200; ++round) {
    ClientStream client(channel, "/test.Stream/Manual");
    const StreamPtr stream = wait_opened();
    stream->credit(kMuch);
    client.start_write("x");
    std::thread host_side([&] {
      for (int i = 0; i < 3; ++i) stream->message("m");
      stream->end(0, "");
    });
    client.cancel();
    host_side.join();
    client.wait_write();
  }
}

TEST_F(StreamCallTest, AClientThatVanishesCancelsTheStream) {
  TestServer server(host_);
  Relay relay(server.port());
  ClientStream client(connect_to("127.0.0.1:" + std::to_string(relay.port())),
                      "/test.Stream/Manual");
  const StreamPtr stream = wait_opened();
  for (int i = 0; i < 10; ++i) stream->message(std::string(50000, 'z'));
  relay.reset();
  EXPECT_TRUE(stream->wait([&] { return stream->cancelled; }));
  stream->end(1, "");
  EXPECT_EQ(client.finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(StreamCallTest, AClientThatReadsNothingDoesNotHoldUpADrain) {
  TestServer server(host_);
  RawClient client(server.port());
  // The largest window for each stream and for the connection.
  client.greet({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x7fffffff}});
  client.send(make_window_update(0, 0x7ff00101) +
              make_headers(1, call_fields("/test.Stream/Manual")));
  const StreamPtr stream = wait_opened();
  for (int i = 0; i < 64; ++i) stream->message(std::string(1 << 20, 'z'));
  server.drain(std::chrono::milliseconds(10));
  EXPECT_TRUE(stream->wait([&] { return stream->cancelled; }));
  stream->end(1, "");
  EXPECT_TRUE(host_.wait_drained());
}

TEST_F(StreamCallTest, ATooLargeMessageEndsTheStream) {
  host_.rpc.request_bytes_max = 1000;
  TestServer server(host_);
  ClientStream client(connect_to(server.address()), "/test.Stream/Manual");
  const StreamPtr stream = wait_opened();
  stream->credit(kMuch);
  EXPECT_TRUE(client.write(std::string(1000, 'x')));
  EXPECT_TRUE(client.write(std::string(1001, 'x')));
  EXPECT_TRUE(stream->wait([&] { return stream->cancelled; }));
  EXPECT_EQ(stream->received_bytes, 1000u);
  stream->end(1, "cancelled");
  const grpc::Status status = client.finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(), "grpc: received message larger than max (1001 vs. 1000)");
}

TEST_F(StreamCallTest, MessagesMayBePackedWithGzip) {
  host_.rpc.request_bytes_max = 100000;
  TestServer server(host_);
  ClientStream client(connect_to(server.address()), "/test.Stream/Echo", GRPC_COMPRESS_GZIP);
  std::string got;
  for (const size_t size : {0, 1, 5000, 100000}) {
    const std::string text(size, 'x');
    ASSERT_TRUE(client.write(text));
    ASSERT_TRUE(client.read(got));
    EXPECT_EQ(got, text);
  }
  EXPECT_TRUE(client.write(std::string(100001, 'x')));
  EXPECT_FALSE(client.read(got));
  const grpc::Status status = client.finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(),
            "grpc: received message after decompression larger than max 100000");
}

TEST_F(StreamCallTest, AStreamThatTheHostRefusesEnds) {
  TestServer server(host_);
  ClientStream client(connect_to(server.address()), "/test.Stream/Stopped");
  const grpc::Status status = client.finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "etcdserver: server stopped");
}

TEST_F(StreamCallTest, DrainWaitsForStreamsAndThenCancelsThem) {
  for (const bool host_ends : {true, false}) {
    FakeHost host;
    StreamPtr opened;
    std::atomic<bool> ready{false};
    host.add_stream("/test.Stream/Manual", MORTISE_BIDI_STREAM, [&](StreamPtr stream) {
      opened = std::move(stream);
      ready = true;
      ready.notify_all();
      return MORTISE_OK;
    });
    TestServer server(host);
    ClientStream client(connect_to(server.address()), "/test.Stream/Manual");
    ready.wait(false);
    server.drain(host_ends ? seconds(100) : seconds(0));
    if (!host_ends) {
      EXPECT_TRUE(opened->wait([&] { return opened->cancelled; }));
    }
    EXPECT_FALSE(host.drained());
    opened->end(14, "etcdserver: server stopped");
    EXPECT_TRUE(host.wait_drained());
    EXPECT_EQ(client.finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  }
}

}  // namespace
}  // namespace mortise::transport_grpc
