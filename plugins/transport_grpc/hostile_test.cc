// Clients that mean harm: each comes to its limit, and others do not notice.
#include <gtest/gtest.h>

#include "plugins/transport_grpc/test_server.h"

namespace mortise::transport_grpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using CallPtr = std::shared_ptr<FakeCall>;
using StreamPtr = std::shared_ptr<FakeStream>;

class HostileTest : public testing::Test {
 protected:
  HostileTest() {
    host_.add_unary("/test.Echo/Inline", [](const CallPtr& call) {
      call->answer(std::move(call->request));
      return MORTISE_OK;
    });
    const auto hold = [this](CallPtr call) {
      std::lock_guard lock(mutex_);
      ++begun_;
      held_.push_back(std::move(call));
      changed_.notify_all();
      return MORTISE_OK;
    };
    host_.add_unary("/test.Echo/Held", hold);
    host_.add_unary("/test.Echo/Watched", hold, MORTISE_METHOD_CANCELLABLE);
    host_.add_unary("/test.Echo/Large", [this](const CallPtr& call) {
      ++large_;
      call->answer(sdk::Buffer::from(std::string(kLargeBytes, 'l')));
      return MORTISE_OK;
    });
    // Ends when its client is gone.
    host_.add_stream("/test.Stream/Manual", MORTISE_BIDI_STREAM, [this](StreamPtr stream) {
      stream->on_event = [this, ended = false, stream](FakeStream& s) mutable {
        std::unique_lock lock(s.mutex);
        if (!s.cancelled || std::exchange(ended, true)) return;
        lock.unlock();
        host_.post([stream] {
          stream->end(1, "");
          stream->on_event = nullptr;
        });
      };
      return MORTISE_OK;
    });
  }

  bool wait_begun(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(60), [&] { return begun_ >= count; });
  }
  size_t begun() {
    std::lock_guard lock(mutex_);
    return begun_;
  }
  size_t answer_held() {
    std::vector<CallPtr> calls;
    {
      std::lock_guard lock(mutex_);
      calls.swap(held_);
    }
    for (const CallPtr& call : calls) call->answer(sdk::Buffer::from("done"));
    return calls.size();
  }
  static constexpr size_t kLargeBytes = 1 << 20;
  FakeHost host_;
  std::atomic<size_t> large_{0};

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t begun_ = 0;
  std::vector<CallPtr> held_;
};

// What is no HTTP/2 ends the connection, and that alone.
TEST_F(HostileTest, NonsenseEndsTheConnection) {
  const std::string preface(kPreface);
  const std::string greeting = preface + make_frame(NGHTTP2_SETTINGS, 0, 0, "");
  const std::string headers = make_headers(1, call_fields("/test.Echo/Inline"));
  const std::string cases[] = {
      "GET / HTTP/1.1\r\n\r\n",
      preface.substr(0, 20) + "XX\r\n\r\n",
      preface + make_frame(NGHTTP2_PING, 0, 0, "12345678"),    // No SETTINGS first.
      greeting + make_frame(NGHTTP2_SETTINGS, 0, 0, "12345"),  // Of no such size.
      greeting + make_frame(NGHTTP2_SETTINGS, 0, 1, ""),       // Of a stream.
      greeting + make_frame(NGHTTP2_PING, 0, 0, "123"),
      greeting + make_frame(NGHTTP2_WINDOW_UPDATE, 0, 0, std::string(4, '\0')),
      greeting + make_window_update(0, 0x7fffffff) + make_window_update(0, 0x7fffffff),
      greeting + make_frame(NGHTTP2_DATA, 0, 0, "x"),
      greeting + make_data(1, "x", false),                           // Nobody began it.
      greeting + make_headers(2, call_fields("/test.Echo/Inline")),  // An even number.
      greeting + make_frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, "\xff\xff\xff\xff\xff"),
      greeting + make_frame(NGHTTP2_HEADERS, 0, 1, "") + make_data(1, "", false),
      greeting + make_frame(NGHTTP2_CONTINUATION, 0, 1, ""),
      greeting + make_frame(NGHTTP2_PUSH_PROMISE, 4, 1, std::string(4, '\0')),
      greeting + std::string("\xff\xff\xff\0\0\0\0\0\1", 9),  // A frame of 16 MiB.
      greeting + headers + make_frame(NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, "\x7f")};
  TestServer server(host_);
  for (const std::string& bytes : cases) {
    RawClient client(server.port());
    client.send(bytes);
    // The server ends first: the client does not.
    client.read_to_end();
  }
  expect_served(server);
}

// What guards a method by its name guarded another one, and the call ran.
TEST_F(HostileTest, CVE_2026_33186_APathWithoutItsSlashIsNoMethod) {
  TestServer server(host_);
  for (const char* path : {"test.Echo/Inline", "", "/", "//test.Echo/Inline", "/test.Echo/Inline/",
                           "/test.Echo//Inline", "/TEST.Echo/Inline", "/test.Echo/Inline?x",
                           "/test.Echo/%49nline", "http://h/test.Echo/Inline"}) {
    RawClient client(server.port());
    client.greet();
    client.send(make_call(1, path, "x"));
    RawAnswer answer = client.read_answer(1);
    EXPECT_EQ(answer.data, "") << path;
    EXPECT_NE(answer.fields["grpc-status"], "0") << path;
  }
  expect_served(server);
}

TEST_F(HostileTest, ClientsThatLeaveInTheMiddleAreForgotten) {
  TestServer server(host_);
  RawClient whole(server.port());
  const std::string bytes = std::string(kPreface) + make_frame(NGHTTP2_SETTINGS, 0, 0, "") +
                            make_call(1, "/test.Echo/Inline", "a message");
  for (size_t size = 0; size < bytes.size(); size += 3) {
    RawClient client(server.port());
    client.send(bytes.substr(0, size));
    if (size % 2 == 0) client.shutdown_writes();
  }
  expect_served(server);
}

TEST_F(HostileTest, AHeaderThatNeverEndsEndsTheConnection) {
  TestServer server(host_);
  RawClient client(server.port());
  client.greet();
  client.send(make_frame(NGHTTP2_HEADERS, 0, 1, make_block(call_fields("/test.Echo/Inline"))));
  const std::string more = make_frame(NGHTTP2_CONTINUATION, 0, 1, make_block({{"a", "b"}}));
  for (int i = 0; i < 1000 && client.send(more); ++i) {
  }
  client.read_to_end();
  expect_served(server);
}

TEST_F(HostileTest, ALargeHeaderIsRefused) {
  TestServer server(host_);
  RawClient client(server.port());
  client.greet();
  const std::string block = make_block(call_fields("/test.Echo/Inline"));
  // It comes in pieces of what a frame holds.
  const auto send_call = [&](uint32_t id, size_t pieces) {
    client.send(make_frame(NGHTTP2_HEADERS, 0, id, block));
    for (size_t i = 0; i < pieces; ++i) {
      const uint8_t flags = i + 1 == pieces ? NGHTTP2_FLAG_END_HEADERS : 0;
      client.send(make_frame(NGHTTP2_CONTINUATION, flags, id,
                             make_block({{"piece", std::string(16'000, 'p')}})));
    }
    client.send(make_data(id, make_message("x"), true));
  };
  send_call(1, 3);
  EXPECT_EQ(client.read_answer(1).fields.at("grpc-status"), "0");
  send_call(3, 5);
  const RawAnswer refused = client.read_answer(3);
  EXPECT_EQ(refused.fields.at("grpc-status"), "8");
  EXPECT_EQ(refused.fields.at("grpc-message"), "the request's header is larger than 65536 bytes");
  client.send(make_call(5, "/test.Echo/Inline", "x"));
  EXPECT_EQ(client.read_answer(5).fields.at("grpc-status"), "0");
}

// A small header that stands for a large one, by way of the table.
TEST_F(HostileTest, AHeaderThatUnfoldsIsRefused) {
  TestServer server(host_);
  RawClient client(server.port());
  client.greet();
  std::string entry = std::string("\x40\x01") + "b" + "\x7f\xa1\x1e";  // 4000 bytes follow.
  entry.append(4000, 'b');
  const std::string bomb =
      make_block(call_fields("/test.Echo/Inline")) + entry + std::string(10'000, '\xbe');
  client.send(make_frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, bomb) +
              make_data(1, make_message("x"), true));
  EXPECT_EQ(client.read_answer(1).fields.at("grpc-status"), "8");
  client.send(make_call(3, "/test.Echo/Inline", "x"));
  EXPECT_EQ(client.read_answer(3).fields.at("grpc-status"), "0");
}

// Calls that their client has reset are work for the host all the same.
TEST_F(HostileTest, ResetsDoNotMakeRoomForFurtherCalls) {
  constexpr uint32_t kCalls = 6000;
  constexpr size_t kAtOnceMax = 3000;  // What may be left, and what one read brings.
  TestServer server(host_);
  RawClient client(server.port());
  client.greet();
  std::thread sender([&] {
    for (uint32_t i = 0; i < kCalls; ++i) {
      client.send(make_call(2 * i + 1, "/test.Echo/Held", "x") + make_reset(2 * i + 1));
    }
  });
  EXPECT_TRUE(wait_begun(1000));
  expect_served(server);
  size_t answered = 0;
  while (answered < kCalls) {
    const size_t now = answer_held();
    EXPECT_LE(now, kAtOnceMax);
    answered += now;
    ASSERT_TRUE(now > 0 || wait_begun(answered + 1));
  }
  sender.join();
}

TEST_F(HostileTest, ResetCallsAreCancelled) {
  TestServer server(host_);
  RawClient client(server.port());
  client.greet();
  client.send(make_call(1, "/test.Echo/Watched", "x") + make_reset(1));
  EXPECT_TRUE(wait_begun(1));
  client.send(make_call(3, "/test.Echo/Inline", "x"));
  EXPECT_EQ(client.read_answer(3).fields.at("grpc-status"), "0");
  answer_held();
}

TEST_F(HostileTest, TooManyPingsEndTheConnection) {
  TestServer server(host_);
  RawClient client(server.port());
  client.greet();
  for (int i = 0; i < 10; ++i) client.send(make_ping());
  const Frame frame = client.read_frame();
  ASSERT_EQ(frame.type, NGHTTP2_GOAWAY);
  EXPECT_EQ(number_at(frame.payload, 4), uint32_t{NGHTTP2_ENHANCE_YOUR_CALM});
  EXPECT_EQ(frame.payload.substr(8), "too_many_pings");
  EXPECT_TRUE(client.read_frame().ended());
}

TEST_F(HostileTest, PingsAreFreeWhileAnswersCome) {
  TestServer server(host_);
  RawClient client(server.port());
  client.greet();
  for (uint32_t i = 0; i < 50; ++i) {
    client.send(make_ping() + make_call(2 * i + 1, "/test.Echo/Inline", "x"));
    ASSERT_TRUE(client.read_answer(static_cast<int32_t>(2 * i + 1)).complete);
  }
}

TEST_F(HostileTest, ClientsThatAnswerNoPingAreLeft) {
  host_.rpc.keepalive_interval_ns = 40'000'000;
  host_.rpc.keepalive_timeout_ns = 200'000'000;
  TestServer server(host_);
  RawClient dead(server.port());
  dead.greet();
  RawClient alive(server.port());
  alive.greet();
  for (int i = 0; i < 8; ++i) {
    const Frame ping = alive.read_frame();
    ASSERT_EQ(ping.type, NGHTTP2_PING);
    alive.send(make_frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, ping.payload));
  }
  EXPECT_EQ(dead.read_frame().type, NGHTTP2_PING);
  EXPECT_TRUE(dead.read_frame().ended());
}

TEST_F(HostileTest, MoreStreamsThanAnnouncedAreRefused) {
  host_.rpc.concurrent_streams_max = 10;
  TestServer server(host_);
  RawClient client(server.port());
  client.greet();
  client.send(make_frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, ""));
  for (uint32_t i = 0; i < 20; ++i) client.send(make_call(2 * i + 1, "/test.Echo/Held", "x"));
  EXPECT_TRUE(wait_begun(10));
  client.shutdown_writes();
  client.read_to_end();
  EXPECT_EQ(begun(), 10u);
  answer_held();
  expect_served(server);
}

TEST_F(HostileTest, DataBeyondTheWindowIsAnError) {
  TestServer server(host_);
  RawClient client(server.port());
  client.greet();
  client.send(make_headers(1, call_fields("/test.Stream/Manual")));
  const std::string piece(16 << 10, 'x');
  for (int i = 0; i < 100 && client.send(make_data(1, piece, false)); ++i) {
  }
  const RawAnswer answer = client.read_answer(1);
  EXPECT_FALSE(answer.complete);
  expect_served(server);
}

// The host makes no further answer while so many are not read.
TEST_F(HostileTest, UnreadAnswersHoldUpFurtherCalls) {
  constexpr uint32_t kCalls = 200;
  constexpr size_t kAtOnceMax = 66;  // 64 MiB, and the one that goes beyond.
  TestServer server(host_);
  RawClient client(server.port());
  client.greet({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0}});
  for (uint32_t i = 0; i < kCalls; ++i) {
    client.send(make_call(2 * i + 1, "/test.Echo/Large", "x"));
  }
  // The last one has been read when this is answered.
  client.send(make_reset(1));
  expect_served(server);
  EXPECT_LE(large_, kAtOnceMax);
  // Whoever reads gets all.
  client.send(make_frame(NGHTTP2_SETTINGS, 0, 0, std::string("\0\4\x7f\xff\xff\xff", 6)) +
              make_window_update(0, 0x7fff0000));
  for (uint32_t i = 1; i < kCalls; ++i) {
    const RawAnswer answer = client.read_answer(static_cast<int32_t>(2 * i + 1));
    ASSERT_TRUE(answer.complete) << i;
    ASSERT_EQ(answer.data.size(), kLargeBytes + 5);
  }
}

// Acknowledgements that nobody reads do not pile up.
TEST_F(HostileTest, FloodsThatNobodyReadsAreNotReadEither) {
  TestServer server(host_);
  for (const std::string& frame :
       {make_frame(NGHTTP2_SETTINGS, 0, 0, ""), make_headers(1, call_fields("/none"), true)}) {
    RawClient client(server.port(), 4096);
    client.greet();
    size_t sent = 0;
    size_t stalled = 0;
    uint32_t stream = 1;
    constexpr size_t kLotsOfBytes = 256 << 20;
    while (sent < kLotsOfBytes && stalled < 20) {
      std::string bytes;
      for (int i = 0; i < 1000; ++i, stream += 2) {
        bytes +=
            frame[3] == NGHTTP2_HEADERS ? make_headers(stream, call_fields("/none"), true) : frame;
      }
      while (!bytes.empty() && stalled < 20) {
        const size_t now = client.send_some(bytes);
        stalled = now == 0 ? stalled + 1 : 0;
        if (now == 0) std::this_thread::sleep_for(milliseconds(10));
        bytes.erase(0, now);
        sent += now;
      }
    }
    EXPECT_LT(sent, kLotsOfBytes);
    expect_served(server);
  }
}

}  // namespace
}  // namespace mortise::transport_grpc
