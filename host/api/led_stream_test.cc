// Streams that want a leader, between a transport and a stream that the test plays.
#include "host/api/led_stream.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <string>

#include "gtest/gtest.h"

namespace mortise::api {
namespace {

struct Client {
  std::string ended;
  int ends = 0;
  uint64_t credit = 0;
};

mortise_stream_events events() {
  mortise_stream_events out{};
  out.struct_size = sizeof out;
  out.on_message = [](void*, mortise_buffer message) { rpc::Payload taken(message); };
  out.on_credit = [](void* client, uint64_t bytes) {
    static_cast<Client*>(client)->credit += bytes;
  };
  out.on_end = [](void* client, mortise_rpc_code, mortise_bytes message) {
    auto* c = static_cast<Client*>(client);
    c->ended.assign(reinterpret_cast<const char*>(message.data), message.size);
    ++c->ends;
  };
  return out;
}

// Ends when it is canceled.
class Stream : public rpc::ServerStream {
 public:
  explicit Stream(const rpc::ClientStream& client) : client_(client) {}
  void on_message(rpc::Payload) override { client_.end(rpc_errors::kMalformed); }
  void on_half_close() override {}
  void on_grant(uint64_t) override { ++grants; }
  void on_cancel() override { client_.end(rpc_errors::kContextCanceled); }
  int grants = 0;

 private:
  rpc::ClientStream client_;
};

class LedStreamTest : public ::testing::Test {
 protected:
  LedStreamTest() : led_(all_.open(&events_, &client_)), stream_(led_->client()) {
    led_->begin(&stream_);
  }
  const mortise_stream_events events_ = events();
  Client client_;
  LedStreams all_;
  std::shared_ptr<LedStream> led_;
  Stream stream_;
};

TEST_F(LedStreamTest, PassesOnWhatBothSidesSay) {
  led_->client().grant(7);
  EXPECT_EQ(client_.credit, 7u);
  led_->on_grant(1);
  EXPECT_EQ(stream_.grants, 1);
  led_->on_cancel();
  EXPECT_EQ(client_.ended, "context canceled");
}

TEST_F(LedStreamTest, EndsForWantOfALeader) {
  all_.cancel_all();
  EXPECT_EQ(client_.ended, "etcdserver: no leader");
  all_.cancel_all();
  led_->on_grant(1);
  EXPECT_EQ(client_.ends, 1);
  EXPECT_EQ(stream_.grants, 0);
}

TEST_F(LedStreamTest, AStreamThatHasEndedIsLeftAlone) {
  led_->on_message(rpc::Payload());
  EXPECT_EQ(client_.ends, 1);
  std::string ended = client_.ended;
  all_.cancel_all();
  EXPECT_EQ(client_.ends, 1);
  EXPECT_EQ(client_.ended, ended);
}

// A stream may be opened a moment after its client came.
TEST(LateStreamTest, GetsWhatItsClientDidBefore) {
  const mortise_stream_events on_client = events();
  Client client;
  LedStreams all;
  auto led = all.open(&on_client, &client, /*needs_leader=*/false);
  led->on_grant(5);
  led->on_half_close();
  all.cancel_all();
  EXPECT_EQ(client.ends, 0);
  Stream stream(led->client());
  led->begin(&stream);
  EXPECT_EQ(stream.grants, 1);
  all.cancel_all();  // It needs no leader.
  EXPECT_EQ(client.ends, 0);
  led->on_cancel();
  EXPECT_EQ(client.ends, 1);
}

TEST(LateStreamTest, EndsWhenItsClientIsGoneBefore) {
  const mortise_stream_events on_client = events();
  Client client;
  LedStreams all;
  auto led = all.open(&on_client, &client, /*needs_leader=*/false);
  led->on_cancel();
  Stream stream(led->client());
  led->begin(&stream);
  EXPECT_EQ(client.ended, "context canceled");
}

// A stream whose end and grants take their time.
class SlowStream : public rpc::ServerStream {
 public:
  explicit SlowStream(const rpc::ClientStream& client) : client_(client) {}
  void on_message(rpc::Payload) override {}
  void on_half_close() override {}
  void on_grant(uint64_t) override {
    if (in_grant) in_grant();
  }
  void on_cancel() override {
    if (in_cancel) in_cancel();
    client_.end(rpc_errors::kContextCanceled);
  }
  std::function<void()> in_grant, in_cancel;

 private:
  rpc::ClientStream client_;
};

// A client as a transport has it: an end waits until the transport's own call has returned.
struct GatedClient {
  static mortise_stream_events events() {
    mortise_stream_events out{};
    out.struct_size = sizeof out;
    out.on_end = [](void* client, mortise_rpc_code, mortise_bytes) {
      auto* c = static_cast<GatedClient*>(client);
      std::lock_guard lock(c->gate);
      c->ended.set_value();
    };
    return out;
  }
  std::mutex gate;
  std::promise<void> ended;
};

TEST(EndingStreamTest, IsNotWaitedForByItsClient) {
  const mortise_stream_events on_client = GatedClient::events();
  GatedClient client;
  LedStreams all;
  auto led = all.open(&on_client, &client);
  SlowStream stream(led->client());
  std::promise<void> canceling, calling;
  stream.in_cancel = [&] {
    canceling.set_value();
    calling.get_future().wait();
  };
  led->begin(&stream);
  std::thread losing([&] { all.cancel_all(); });
  canceling.get_future().wait();
  {
    std::lock_guard inside(client.gate);
    calling.set_value();
    led->on_grant(1);
  }
  client.ended.get_future().wait();
  losing.join();
}

TEST(EndingStreamTest, IsNotGoneWhileItIsBegun) {
  const mortise_stream_events on_client = GatedClient::events();
  GatedClient client;
  LedStreams all;
  auto led = all.open(&on_client, &client, /*needs_leader=*/false);
  led->on_grant(1);
  SlowStream stream(led->client());
  std::promise<void> granting;
  std::atomic<bool> granted = false;
  stream.in_grant = [&] {
    granting.set_value();
    client.ended.get_future().wait();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    granted = true;
  };
  std::thread beginning([&] { led->begin(&stream); });
  granting.get_future().wait();
  led->client().end(rpc_errors::kStopped);
  EXPECT_TRUE(granted) << "the stream may be deleted now";
  beginning.join();
}

}  // namespace
}  // namespace mortise::api
