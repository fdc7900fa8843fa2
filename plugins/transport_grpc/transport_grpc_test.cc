// Unary calls, connections and the transport's life. Streams are in stream_call_test.cc.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "plugins/transport_grpc/grpc_client.h"
#include "plugins/transport_grpc/test_server.h"

namespace mortise::transport_grpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using CallPtr = std::shared_ptr<FakeCall>;

mortise_status echo(const CallPtr& call) {
  call->answer(std::move(call->request));
  return MORTISE_OK;
}

class TransportGrpc : public testing::Test {
 protected:
  TransportGrpc() {
    host_.add_unary("/test.Echo/Inline", echo);
    host_.add_unary("/test.Echo/Posted", [this](CallPtr call) {
      host_.post([call] { echo(call); });
      return MORTISE_OK;
    });
    const auto hold = [this](CallPtr call) {
      std::lock_guard lock(mutex_);
      held_.push_back(std::move(call));
      changed_.notify_all();
      return MORTISE_OK;
    };
    host_.add_unary("/test.Echo/Held", hold, MORTISE_METHOD_CANCELLABLE);
    host_.add_unary("/test.Echo/Unwatched", hold);
  }
  // The calls that reached the method Held, once there are so many.
  std::vector<CallPtr> wait_held(size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, seconds(60), [&] { return held_.size() >= count; }));
    return std::exchange(held_, {});
  }
  FakeHost host_;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<CallPtr> held_;
};

TEST_F(TransportGrpc, EchoesBodiesOfAllSizes) {
  TestServer server(host_);
  auto channel = connect_to(server.address());
  for (const std::string path : {"/test.Echo/Inline", "/test.Echo/Posted"}) {
    for (size_t size :
         {size_t{0}, size_t{1}, size_t{23}, size_t{24}, size_t{9000}, size_t{4} << 20}) {
      std::string body(size, 'x');
      for (size_t i = 0; i < size; ++i) body[i] = static_cast<char>(i * 31 + i / 251);
      const Reply reply = call_unary(channel, path, body);
      EXPECT_TRUE(reply.status.ok()) << reply.status.error_message();
      EXPECT_TRUE(reply.body == body) << path << " " << size;
    }
  }
}

TEST_F(TransportGrpc, AnswersErrorsWithTheirText) {
  const std::string text("\xc3\xa9t\xc3\xa9 100% \x01\x7f\xff\n end", 18);
  host_.add_unary("/test.Echo/Fail", [&](CallPtr call) {
    call->answer(5, text, {});
    return MORTISE_OK;
  });
  host_.add_unary("/test.Echo/FailLate", [&](CallPtr call) {
    host_.post([=, &text] { call->answer(9, text, {}); });
    return MORTISE_OK;
  });
  host_.add_unary("/test.Echo/Strange", [](CallPtr call) {
    call->answer(4711, "strange", {});
    return MORTISE_OK;
  });
  host_.add_unary("/test.Echo/Stopped", [](CallPtr) { return MORTISE_E_STOPPED; });
  TestServer server(host_);
  auto channel = connect_to(server.address());
  Reply reply = call_unary(channel, "/test.Echo/Fail", "x");
  EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(reply.status.error_message(), text);
  reply = call_unary(channel, "/test.Echo/FailLate", "x");
  EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(reply.status.error_message(), text);
  reply = call_unary(channel, "/test.Echo/Strange", "x");
  EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::UNKNOWN);
  reply = call_unary(channel, "/test.Echo/Stopped", "x");
  EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(reply.status.error_message(), "etcdserver: server stopped");
}

TEST_F(TransportGrpc, NamesWhatIsUnknown) {
  TestServer server(host_);
  auto channel = connect_to(server.address());
  Reply reply = call_unary(channel, "/test.Echo/Other", "x");
  EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(reply.status.error_message(), "unknown method Other for service test.Echo");
  reply = call_unary(channel, "/test.Other/Inline", "x");
  EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(reply.status.error_message(), "unknown service test.Other");
  reply = call_unary(channel, "/nothing", "x");
  EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(reply.status.error_message(), "malformed method name: \"/nothing\"");
}

TEST_F(TransportGrpc, RefusesTooLargeRequestsInEtcdsWords) {
  host_.rpc.request_bytes_max = 100000;
  TestServer server(host_);
  auto channel = connect_to(server.address());
  EXPECT_TRUE(call_unary(channel, "/test.Echo/Inline", std::string(100000, 'x')).status.ok());
  const Reply reply = call_unary(channel, "/test.Echo/Inline", std::string(100001, 'x'));
  EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(reply.status.error_message(),
            "grpc: received message larger than max (100001 vs. 100000)");
}

TEST_F(TransportGrpc, TakesRequestsPackedWithGzip) {
  host_.rpc.request_bytes_max = 100000;
  TestServer server(host_);
  auto channel = connect_to(server.address());
  const auto call = [&](size_t size, grpc_compression_algorithm algorithm) {
    grpc::ClientContext context;
    context.set_compression_algorithm(algorithm);
    return call_unary(channel, "/test.Echo/Inline", std::string(size, 'x'), &context);
  };
  EXPECT_EQ(call(100000, GRPC_COMPRESS_GZIP).body, std::string(100000, 'x'));
  const Reply large = call(100001, GRPC_COMPRESS_GZIP);
  EXPECT_EQ(large.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(large.status.error_message(),
            "grpc: received message after decompression larger than max 100000");
  const Reply other = call(5000, GRPC_COMPRESS_DEFLATE);
  EXPECT_EQ(other.status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(other.status.error_message(),
            "grpc: Decompressor is not installed for grpc-encoding \"deflate\"");
}

TEST_F(TransportGrpc, TellsTheHostWhoCalls) {
  std::mutex mutex;
  FakeCaller seen;
  host_.add_unary("/test.Echo/Who", [&](CallPtr call) {
    {
      std::lock_guard lock(mutex);
      seen = call->caller;
    }
    return echo(call);
  });
  TestServer server(host_, "{}", "some-name");
  auto channel = connect_to(server.address());
  EXPECT_TRUE(call_unary(channel, "/test.Echo/Who", "").status.ok());
  std::unique_lock lock(mutex);
  EXPECT_THAT(seen.remote, testing::MatchesRegex("127\\.0\\.0\\.1:[0-9]+"));
  EXPECT_EQ(seen.tls_common_name, "some-name");
  EXPECT_EQ(seen.token, "");
  EXPECT_EQ(seen.client_api_version, "");
  EXPECT_EQ(seen.flags, 0u);
  EXPECT_EQ(seen.timeout_ns, 0u);
  {
    lock.unlock();
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer second");
    context.AddMetadata("token", "first.1");
    context.AddMetadata("hasleader", "true");
    context.AddMetadata("client-api-version", "3.7");
    context.set_deadline(std::chrono::system_clock::now() + seconds(1000));
    EXPECT_TRUE(call_unary(channel, "/test.Echo/Who", "", &context).status.ok());
    lock.lock();
    EXPECT_EQ(seen.token, "first.1");
    EXPECT_EQ(seen.client_api_version, "3.7");
    EXPECT_EQ(seen.flags, uint32_t{MORTISE_CALLER_REQUIRE_LEADER});
    // The client rounds up.
    EXPECT_GT(seen.timeout_ns, 100'000'000'000u);
    EXPECT_LE(seen.timeout_ns, 1100'000'000'000u);
  }
  lock.unlock();
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer jwt.x.y");
  context.AddMetadata("hasleader", "false");
  EXPECT_TRUE(call_unary(channel, "/test.Echo/Who", "", &context).status.ok());
  lock.lock();
  EXPECT_EQ(seen.token, "jwt.x.y");
  EXPECT_EQ(seen.flags, 0u);
}

TEST_F(TransportGrpc, CancelsWhenTheClientDoes) {
  TestServer server(host_);
  auto channel = connect_to(server.address());
  grpc::ClientContext context;
  std::thread client([&] {
    EXPECT_EQ(call_unary(channel, "/test.Echo/Held", "x", &context).status.error_code(),
              grpc::StatusCode::CANCELLED);
  });
  const CallPtr call = wait_held(1).front();
  context.TryCancel();
  client.join();
  EXPECT_TRUE(call->wait_cancelled());
  call->answer(sdk::Buffer::from("too late"));
  EXPECT_TRUE(call_unary(channel, "/test.Echo/Inline", "x").status.ok());
}

TEST_F(TransportGrpc, CancelsAtTheDeadline) {
  TestServer server(host_);
  auto channel = connect_to(server.address());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + milliseconds(300));
  std::thread client([&] {
    EXPECT_EQ(call_unary(channel, "/test.Echo/Held", "x", &context).status.error_code(),
              grpc::StatusCode::DEADLINE_EXCEEDED);
  });
  const CallPtr call = wait_held(1).front();
  EXPECT_GT(call->caller.timeout_ns, 0u);
  EXPECT_TRUE(call->wait_cancelled());
  client.join();
  call->answer(sdk::Buffer::from("too late"));
}

TEST_F(TransportGrpc, ClientsOfUnwatchedCallsMayLeave) {
  TestServer server(host_);
  auto channel = connect_to(server.address());
  grpc::ClientContext context;
  std::thread client([&] {
    EXPECT_EQ(call_unary(channel, "/test.Echo/Unwatched", "x", &context).status.error_code(),
              grpc::StatusCode::CANCELLED);
  });
  const CallPtr call = wait_held(1).front();
  context.TryCancel();
  client.join();
  // A call behind the cancel on the same connection: the server has seen both.
  EXPECT_TRUE(call_unary(channel, "/test.Echo/Inline", "x").status.ok());
  EXPECT_FALSE(call->cancelled());
  call->answer(sdk::Buffer::from("too late"));
  EXPECT_TRUE(call_unary(channel, "/test.Echo/Inline", "x").status.ok());
}

TEST_F(TransportGrpc, AnswersAndCancelsCrossWithoutHarm) {
  TestServer server(host_, R"({"threads": 2})");
  auto channel = connect_to(server.address());
  for (int round = 0; round < 200; ++round) {
    const char* path = round % 2 == 0 ? "/test.Echo/Held" : "/test.Echo/Unwatched";
    grpc::ClientContext context;
    std::thread client([&] { call_unary(channel, path, "x", &context); });
    const CallPtr call = wait_held(1).front();
    std::thread answer([&] { call->answer(std::move(call->request)); });
    context.TryCancel();
    answer.join();
    client.join();
  }
}

TEST_F(TransportGrpc, ServesAThousandCallsAtOnce) {
  TestServer server(host_);
  constexpr int kCalls = 1000;
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < 10; ++i) channels.push_back(connect_to(server.address()));
  struct Pending {
    grpc::ClientContext context;
    std::unique_ptr<grpc::GenericStub> stub;
    std::unique_ptr<grpc::GenericClientAsyncResponseReader> call;
    grpc::ByteBuffer response;
    grpc::Status status;
  };
  grpc::CompletionQueue queue;
  std::vector<Pending> pending(kCalls);
  for (int i = 0; i < kCalls; ++i) {
    Pending& p = pending[i];
    p.stub = std::make_unique<grpc::GenericStub>(channels[i % channels.size()]);
    p.call = p.stub->PrepareUnaryCall(&p.context, "/test.Echo/Held",
                                      to_byte_buffer(std::to_string(i)), &queue);
    p.call->StartCall();
    p.call->Finish(&p.response, &p.status, &p);
  }
  // The client's side is at work only while its queue is waited for.
  std::thread answers([&] {
    for (const CallPtr& call : wait_held(kCalls)) {
      host_.post([call] { call->answer(std::move(call->request)); });
    }
  });
  for (int i = 0; i < kCalls; ++i) {
    void* tag = nullptr;
    bool ok = false;
    ASSERT_TRUE(queue.Next(&tag, &ok));
    auto* p = static_cast<Pending*>(tag);
    EXPECT_TRUE(p->status.ok()) << p->status.error_message();
    EXPECT_EQ(to_string(p->response), std::to_string(p - pending.data()));
  }
  answers.join();
}

TEST_F(TransportGrpc, SurvivesConnectionsThatSpeakNoHttp2) {
  TestServer server(host_);
  for (const std::string& bytes :
       {std::string(""), std::string("garbage\r\n\r\n"), std::string(4096, '\0'),
        std::string(kPreface) + std::string(64, '\xff')}) {
    RawClient client(server.port());
    client.send(bytes);
    client.shutdown_writes();
    client.read_to_end();
  }
  EXPECT_TRUE(call_unary(connect_to(server.address()), "/test.Echo/Inline", "x").status.ok());
}

TEST_F(TransportGrpc, ClientsThatVanishCancelTheirCalls) {
  TestServer server(host_);
  Relay relay(server.port());
  auto channel = connect_to("127.0.0.1:" + std::to_string(relay.port()));
  std::thread client([&] {
    EXPECT_EQ(call_unary(channel, "/test.Echo/Held", "x").status.error_code(),
              grpc::StatusCode::UNAVAILABLE);
  });
  const CallPtr call = wait_held(1).front();
  relay.reset();
  EXPECT_TRUE(call->wait_cancelled());
  client.join();
  call->answer(sdk::Buffer::from("nobody hears"));
}

TEST_F(TransportGrpc, DrainLetsRunningCallsEnd) {
  TestServer server(host_);
  auto channel = connect_to(server.address());
  std::thread client([&] {
    const Reply reply = call_unary(channel, "/test.Echo/Held", "last");
    EXPECT_TRUE(reply.status.ok()) << reply.status.error_message();
    EXPECT_EQ(reply.body, "last");
  });
  const CallPtr call = wait_held(1).front();
  server.drain(seconds(100));
  EXPECT_FALSE(host_.drained());
  call->answer(std::move(call->request));
  client.join();
  EXPECT_TRUE(host_.wait_drained());
}

// A client takes CANCELLED for its own doing, and does not try again.
TEST_F(TransportGrpc, CallsThatComeInADrainAreServedOrFindTheServerUnavailable) {
  TestServer server(host_);
  auto channel = connect_to(server.address());
  std::thread running([&] {
    const Reply reply = call_unary(channel, "/test.Echo/Held", "last");
    EXPECT_TRUE(reply.status.ok()) << reply.status.error_message();
  });
  const CallPtr call = wait_held(1).front();
  server.drain(seconds(100));
  std::vector<std::thread> late;
  for (int i = 0; i < 40; ++i) {
    late.emplace_back([&] {
      const grpc::Status status = call_unary(channel, "/test.Echo/Inline", "late").status;
      if (status.ok()) return;  // It came before the client knew.
      EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
    });
  }
  call->answer(std::move(call->request));
  running.join();
  for (std::thread& thread : late) thread.join();
  EXPECT_TRUE(host_.wait_drained());
}

TEST_F(TransportGrpc, DrainCancelsAtItsTimeoutAndWaitsForTheHost) {
  TestServer server(host_);
  auto channel = connect_to(server.address());
  std::thread client(
      [&] { EXPECT_FALSE(call_unary(channel, "/test.Echo/Held", "last").status.ok()); });
  const CallPtr call = wait_held(1).front();
  server.drain(milliseconds(10));
  client.join();
  EXPECT_TRUE(call->wait_cancelled());
  EXPECT_FALSE(host_.drained());
  call->answer(sdk::Buffer::from("too late"));
  EXPECT_TRUE(host_.wait_drained());
}

TEST_F(TransportGrpc, TakesNoConnectionsAfterDrain) {
  TestServer server(host_);
  server.drain(seconds(0));
  EXPECT_TRUE(host_.wait_drained());
  RawClient client(server.port());
  EXPECT_EQ(client.read_to_end(), "");
}

TEST_F(TransportGrpc, IsDestroyedWithoutAStart) {
  mortise_transport* transport = nullptr;
  ASSERT_EQ(transport_table().create(host_.host(), sdk::bytes(""), &transport, nullptr),
            MORTISE_OK);
  mortise_connection connection{};
  connection.struct_size = sizeof(connection);
  connection.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  connection.serves = MORTISE_SERVES_RPC;
  EXPECT_EQ(transport_table().adopt(transport, &connection, nullptr), MORTISE_E_STOPPED);
  EXPECT_EQ(fcntl(connection.fd, F_GETFD), -1) << "the refused connection is closed";
  transport_table().destroy(transport);
}

TEST_F(TransportGrpc, RefusesBadOptionsByName) {
  const struct {
    const char* json;
    const char* message;
  } cases[] = {{R"({"thread": 1})", "unknown option \"thread\""},
               {R"({"request_slots": 16})", "unknown option \"request_slots\""},
               {R"({"threads": 0})", "option \"threads\" is 0, allowed are 1 to 64"},
               {R"({"stream_window": "a lot"})",
                "option \"stream_window\" is not a size such as 67108864 or \"64MB\""},
               {"[]", "the plugin's configuration is not a JSON object"}};
  for (const auto& c : cases) {
    mortise_transport* transport = nullptr;
    mortise_error error{};
    error.struct_size = sizeof(error);
    EXPECT_EQ(transport_table().create(host_.host(), sdk::bytes(c.json), &transport, &error),
              MORTISE_E_INVALID);
    EXPECT_EQ(transport, nullptr);
    EXPECT_STREQ(error.message, c.message);
  }
}

TEST_F(TransportGrpc, ClaimsHttp2AndNothingElse) {
  mortise_transport* transport = nullptr;
  ASSERT_EQ(transport_table().create(host_.host(), sdk::bytes("{}"), &transport, nullptr),
            MORTISE_OK);
  for (const mortise_opening_kind kind : std::initializer_list<mortise_opening_kind>{
           MORTISE_OPENING_HTTP2, MORTISE_OPENING_HTTP1, MORTISE_OPENING_OTHER, 99}) {
    mortise_opening opening{};
    opening.struct_size = sizeof(opening);
    opening.kind = kind;
    EXPECT_EQ(transport_table().claims(transport, &opening) > 0, kind == MORTISE_OPENING_HTTP2);
  }
  transport_table().destroy(transport);
}

}  // namespace
}  // namespace mortise::transport_grpc
