#include "host/api/call_metrics.h"

#include <gtest/gtest.h>

namespace mortise::api {
namespace {

using std::chrono::milliseconds;

TEST(MethodCounters, CallsAreCountedByTheirEnd) {
  MethodCounters method;
  method.began(10);
  method.began(5);
  method.ended(RpcCode::kOk, 7, milliseconds(1));
  method.ended(RpcCode::kUnavailable, 0, milliseconds(1));
  method.ended(static_cast<RpcCode>(99), 0, milliseconds(1));
  EXPECT_EQ(method.started.value(), 2u);
  EXPECT_EQ(method.received_bytes.value(), 15u);
  EXPECT_EQ(method.sent_bytes.value(), 7u);
  EXPECT_EQ(method.of(RpcCode::kOk).value(), 1u);
  EXPECT_EQ(method.of(RpcCode::kUnavailable).value(), 1u);
  EXPECT_EQ(method.of(RpcCode::kUnknown).value(), 1u);
}

TEST(CallMetrics, DurationsOfMethodsAreKeptIfAskedFor) {
  CallMetrics basic(1, false);
  basic.method(0).ended(RpcCode::kOk, 0, milliseconds(1));
  EXPECT_EQ(basic.method(0).handling, nullptr);

  CallMetrics extensive(1, true);
  for (int ms : {1, 5, 6, 20'000}) extensive.method(0).ended(RpcCode::kOk, 0, milliseconds(ms));
  HistogramFigures times = extensive.method(0).handling->figures();
  EXPECT_EQ(times.bounds.size(), 11u);
  EXPECT_EQ(times.counts, (std::vector<uint64_t>{2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}));
  EXPECT_DOUBLE_EQ(times.sum, 20.012);
}

TEST(CallMetrics, ClientsAreCountedByVersion) {
  CallMetrics metrics(1, false);
  metrics.count_client(false, "3.7");
  metrics.count_client(false, "3.7");
  metrics.count_client(true, "3.7");
  metrics.count_client(true, "");
  auto clients = metrics.clients();
  ASSERT_EQ(clients.size(), 2u);
  EXPECT_EQ(clients[0]->version, "3.7");
  EXPECT_EQ(clients[0]->unary.value(), 2u);
  EXPECT_EQ(clients[0]->streams.value(), 1u);
  EXPECT_EQ(clients[1]->version, "unknown");
}

// Clients choose the text: it must not make the server remember without end.
TEST(CallMetrics, VersionsBeyondTheLimitAreCountedTogether) {
  CallMetrics metrics(1, false);
  for (int i = 0; i < 1000; ++i) metrics.count_client(false, "v" + std::to_string(i));
  metrics.count_client(false, std::string(1 << 20, 'x'));
  auto clients = metrics.clients();
  ASSERT_EQ(clients.size(), kClientVersionsMax + 1);
  EXPECT_EQ(clients.back()->version, "other");
  EXPECT_EQ(clients.back()->unary.value(), 1001 - kClientVersionsMax);
}

// What a stream and its client have been told, in order.
struct Ends : rpc::ServerStream {
  void on_message(rpc::Payload message) override { text += "m" + std::string(message.view()); }
  void on_half_close() override { text += "h"; }
  void on_grant(uint64_t bytes) override { text += "g" + std::to_string(bytes); }
  void on_cancel() override {
    text += "c";
    client.end(rpc_errors::kContextCanceled);
  }
  mortise_stream_events events() {
    mortise_stream_events events{};
    events.struct_size = sizeof events;
    events.on_message = [](void* self, mortise_buffer message) {
      rpc::Payload payload(message);
      static_cast<Ends*>(self)->text += "M" + std::string(payload.view());
    };
    events.on_credit = [](void* self, uint64_t bytes) {
      static_cast<Ends*>(self)->text += "G" + std::to_string(bytes);
    };
    events.on_end = [](void* self, mortise_rpc_code code, mortise_bytes) {
      static_cast<Ends*>(self)->text += "E" + std::to_string(code);
    };
    return events;
  }
  rpc::ClientStream client;
  std::string text;
};

rpc::Payload payload(std::string_view text) {
  ByteBuffer bytes(text.size());
  bytes.append(text);
  return rpc::Payload(rpc::to_buffer(std::move(bytes)));
}

TEST(CountedStream, PassesEverythingOnAndCounts) {
  MethodCounters method;
  Ends ends;
  const mortise_stream_events of_client = ends.events();
  std::weak_ptr<CountedStream> watched;
  {
    auto stream = std::make_shared<CountedStream>(&method, &of_client, &ends);
    watched = stream;
    const mortise_stream_events counted = stream->open();
    ends.client = rpc::ClientStream(&counted, stream.get());
    stream->begin(&ends);
  }
  rpc::ServerStream* stream = watched.lock().get();
  stream->on_grant(9);
  stream->on_message(payload("abc"));
  ends.client.grant(4);
  ByteBuffer answer(2);
  answer.append("xy");
  ends.client.send(std::move(answer));
  stream->on_half_close();
  EXPECT_EQ(method.of(RpcCode::kCanceled).value(), 0u);
  stream->on_cancel();
  EXPECT_TRUE(watched.expired());
  EXPECT_EQ(ends.text, "g9mabcG4MxyhcE1");
  EXPECT_EQ(method.started.value(), 1u);
  EXPECT_EQ(method.received.value(), 1u);
  EXPECT_EQ(method.received_bytes.value(), 3u);
  EXPECT_EQ(method.sent.value(), 1u);
  EXPECT_EQ(method.sent_bytes.value(), 2u);
  EXPECT_EQ(method.of(RpcCode::kCanceled).value(), 1u);
}

}  // namespace
}  // namespace mortise::api
