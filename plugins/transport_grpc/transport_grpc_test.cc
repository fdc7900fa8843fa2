// Unary calls, connections and the transport's life. Streams are in stream_call_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
    host_.add_unary("/test.Echo/Held", [this](CallPtr call) {
      std::lock_guard lock(mutex_);
      held_.push_back(std::move(call));
      changed_.notify_all();
      return MORTISE_OK;
    });
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
    for (size_t size : {size_t{0}, size_t{1}, size_t{23}, size_t{24}, size_t{9000}, size_t{4} << 20}) {
      std::string body(size, 'x');
      for (size_t i = 0; i < size; ++i) body[i] = static_cast<char>(i * 31 + i / 251);
      const Reply reply = call_unary(channel, path, body);
      EXPECT_TRUE(reply.status.ok()) << reply.status.error_message();
      EXPECT_TRUE(reply.body == body) << path << " " << size;
    }
  }
}

}  // namespace
}  // namespace mortise::transport_grpc
