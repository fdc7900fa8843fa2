#include "tools/bench/load.h"

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>

#include "proto/rpc.grpc.pb.h"
#include "tools/bench/channels.h"
#include "tools/bench/keepalive.h"
#include "tools/bench/report.h"
#include "tools/bench/unary.h"
#include "tools/bench/watch.h"

namespace mortise::bench {
namespace {

// Finishes each request by an alarm that is due at once, every `fail_every`-th with an error.
class FakeCaller : public Caller {
 public:
  FakeCaller(grpc::CompletionQueue* queue, uint64_t fail_every, std::atomic<uint64_t>* started)
      : queue_(queue), fail_every_(fail_every), started_(started) {}

  void start(uint64_t sequence) override {
    ++*started_;
    const bool fail = fail_every_ > 0 && sequence % fail_every_ == 0;
    status_ = fail ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "away") : grpc::Status::OK;
    alarm_.Set(queue_, gpr_now(GPR_CLOCK_MONOTONIC), this);
  }
  bool on_event(bool) override { return true; }
  const grpc::Status& status() const override { return status_; }
  bool is_read() const override { return false; }
  void cancel() override { alarm_.Cancel(); }

 private:
  grpc::CompletionQueue* queue_;
  uint64_t fail_every_;
  std::atomic<uint64_t>* started_;
  grpc::Status status_;
  grpc::Alarm alarm_;
};

LoadResult run_fake(const Load& load, uint64_t fail_every, std::atomic<uint64_t>* started) {
  return run_load(load, [&](int, int, grpc::CompletionQueue* queue) {
    return std::make_unique<FakeCaller>(queue, fail_every, started);
  });
}

TEST(Load, SendsTheTotalOnAnyNumberOfThreads) {
  for (int threads : {1, 3}) {
    std::atomic<uint64_t> started{0};
    Load load;
    load.total = 1000;
    load.clients = 7;
    load.threads = threads;
    const LoadResult result = run_fake(load, 0, &started);
    EXPECT_EQ(started, 1000u);
    EXPECT_EQ(result.stats.succeeded(), 1000u);
    EXPECT_EQ(result.stats.failed(), 0u);
    EXPECT_GT(result.elapsed_s, 0);
  }
}

TEST(Load, CountsErrorsByCode) {
  std::atomic<uint64_t> started{0};
  Load load;
  load.total = 100;
  load.clients = 4;
  const LoadResult result = run_fake(load, 10, &started);
  EXPECT_EQ(result.stats.succeeded(), 90u);
  ASSERT_EQ(result.stats.errors.count("UNAVAILABLE"), 1u);
  EXPECT_EQ(result.stats.errors.at("UNAVAILABLE").count, 10u);
  EXPECT_EQ(result.stats.errors.at("UNAVAILABLE").first_message, "away");
}

TEST(Load, StopsAfterTooManyErrors) {
  std::atomic<uint64_t> started{0};
  Load load;
  load.total = 1000000;
  load.max_errors = 5;
  const LoadResult result = run_fake(load, 1, &started);
  EXPECT_EQ(result.stats.failed(), 5u);
  EXPECT_EQ(started, 5u);
}

TEST(Load, KeepsToTheRate) {
  std::atomic<uint64_t> started{0};
  Load load;
  load.total = 21;
  load.rate = 200;
  load.clients = 2;
  // The last of 21 requests is due 20/200 s after the start; earlier would be too fast.
  EXPECT_GE(run_fake(load, 0, &started).elapsed_s, 0.1);
  EXPECT_EQ(started, 21u);
}

TEST(Load, ADurationEndsTheRun) {
  std::atomic<uint64_t> started{0};
  Load load;
  load.duration_s = 0.05;
  load.rate = 100;
  const LoadResult result = run_fake(load, 0, &started);
  // Due at 0, 10, 20, 30 and 40 ms. A slow machine may not reach all of them in time.
  EXPECT_LE(started, 5u);
  EXPECT_EQ(result.stats.succeeded(), started);
}

// Stores nothing but what the tests ask about.
class FakeServer : public etcdserverpb::KV::Service,
                   public etcdserverpb::Lease::Service,
                   public etcdserverpb::Watch::Service {
 public:
  FakeServer() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(static_cast<etcdserverpb::KV::Service*>(this));
    builder.RegisterService(static_cast<etcdserverpb::Lease::Service*>(this));
    builder.RegisterService(static_cast<etcdserverpb::Watch::Service*>(this));
    server_ = builder.BuildAndStart();
  }
  ~FakeServer() override { server_->Shutdown(std::chrono::system_clock::now()); }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  grpc::Status Put(grpc::ServerContext* context, const etcdserverpb::PutRequest* request,
                   etcdserverpb::PutResponse*) override {
    std::lock_guard lock(mutex);
    keys.insert(request->key());
    peers.insert(context->peer());
    value_bytes += request->value().size();
    if (watch_stream != nullptr) {
      etcdserverpb::WatchResponse response;
      auto* kv = response.add_events()->mutable_kv();
      kv->set_key(request->key());
      kv->set_value(request->value());
      watch_stream->Write(response);
    }
    return grpc::Status::OK;
  }

  grpc::Status Range(grpc::ServerContext*, const etcdserverpb::RangeRequest* request,
                     etcdserverpb::RangeResponse* response) override {
    std::lock_guard lock(mutex);
    last_range = *request;
    response->add_kvs()->set_key(request->key());
    return grpc::Status::OK;
  }

  grpc::Status Txn(grpc::ServerContext*, const etcdserverpb::TxnRequest* request,
                   etcdserverpb::TxnResponse* response) override {
    std::lock_guard lock(mutex);
    for (const auto& op : request->success()) keys.insert(op.request_put().key());
    response->set_succeeded(true);
    return grpc::Status::OK;
  }

  grpc::Status LeaseKeepAlive(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<etcdserverpb::LeaseKeepAliveResponse,
                               etcdserverpb::LeaseKeepAliveRequest>* stream) override {
    etcdserverpb::LeaseKeepAliveRequest request;
    while (stream->Read(&request)) {
      etcdserverpb::LeaseKeepAliveResponse response;
      response.set_id(request.id());
      response.set_ttl(request.id() % 10 == 0 ? 0 : 60);
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

  grpc::Status Watch(grpc::ServerContext*,
                     grpc::ServerReaderWriter<etcdserverpb::WatchResponse,
                                              etcdserverpb::WatchRequest>* stream) override {
    etcdserverpb::WatchRequest request;
    while (stream->Read(&request)) {
      std::lock_guard lock(mutex);
      watch_stream = stream;
      etcdserverpb::WatchResponse response;
      response.set_created(true);
      stream->Write(response);
    }
    std::lock_guard lock(mutex);
    watch_stream = nullptr;
    return grpc::Status::OK;
  }

  std::mutex mutex;
  std::set<std::string> keys;
  std::set<std::string> peers;
  size_t value_bytes = 0;
  etcdserverpb::RangeRequest last_range;
  grpc::ServerReaderWriter<etcdserverpb::WatchResponse, etcdserverpb::WatchRequest>* watch_stream =
      nullptr;

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

struct Target {
  explicit Target(const FakeServer& server) { options.endpoints = {server.address()}; }

  LoadResult unary() {
    load.clients = options.clients;
    load.total = options.total;
    return run_unary(
        open(), load, [&](int t) { return make_command_requests(options, t); }, on_put);
  }
  const Channels& open() {
    auto opened = open_channels(options);
    EXPECT_TRUE(opened.ok()) << opened.status().message();
    if (opened.ok()) channels = std::move(opened).value();
    return channels;
  }

  Options options;
  Load load;
  Channels channels;
  PutObserver on_put;
};

TEST(Unary, PutsEveryKeyOnConnectionsOfTheirOwn) {
  FakeServer server;
  Target run(server);
  run.options.clients = 8;
  run.options.conns = 4;
  run.options.total = 200;
  run.options.key_space = 100;
  run.options.value_size = 10;
  const LoadResult result = run.unary();
  EXPECT_EQ(result.stats.writes.count(), 200u);
  EXPECT_EQ(server.keys.size(), 100u);
  EXPECT_EQ(*server.keys.begin(), "00000000");
  EXPECT_EQ(*server.keys.rbegin(), "00000099");
  EXPECT_EQ(server.peers.size(), 4u);
  EXPECT_EQ(server.value_bytes, 2000u);
}

TEST(Unary, RangesAsAsked) {
  FakeServer server;
  Target run(server);
  run.options.command = Command::kRange;
  run.options.total = 3;
  run.options.key_space = 10;
  run.options.prefix_range = true;
  run.options.range_limit = 5;
  run.options.revision = 9;
  run.options.serializable = true;
  const LoadResult result = run.unary();
  EXPECT_EQ(result.stats.reads.count(), 3u);
  EXPECT_EQ(result.stats.keys_read, 3u);
  EXPECT_EQ(server.last_range.key(), "00000000");
  EXPECT_EQ(server.last_range.range_end(), std::string("00000009\0", 9));
  EXPECT_EQ(server.last_range.limit(), 5);
  EXPECT_EQ(server.last_range.revision(), 9);
  EXPECT_TRUE(server.last_range.serializable());
}

TEST(Unary, PreloadPutsEachKeyOnceInBatches) {
  FakeServer server;
  Target run(server);
  run.options.key_space = run.options.preload = 25;
  run.options.preload_batch = 10;
  run.load.total = preload_request_count(run.options);
  EXPECT_EQ(run.load.total, 3u);
  const LoadResult result = run_unary(
      run.open(), run.load, [&](int t) { return make_preload_requests(run.options, t); }, nullptr);
  EXPECT_EQ(result.stats.succeeded(), 3u);
  EXPECT_EQ(server.keys.size(), 25u);
}

TEST(Unary, TransactionsPutNeighbouringKeys) {
  FakeServer server;
  Target run(server);
  run.options.command = Command::kTxnPut;
  run.options.key_space = 12;
  run.options.txn_ops = 4;
  run.options.total = 3;
  EXPECT_EQ(run.unary().stats.succeeded(), 3u);
  EXPECT_EQ(server.keys.size(), 12u);
}

TEST(Unary, AnRpcTheServerDoesNotKnowIsAnError) {
  FakeServer server;
  Target run(server);
  run.load.total = 2;
  const LoadResult result = run_unary(
      run.open(), run.load, [](int) { return make_lease_requests(Rpc::kLeaseGrant, 1, 5); },
      nullptr);
  EXPECT_EQ(result.stats.errors.at("UNIMPLEMENTED").count, 2u);
  Report report;
  report.run = result;
  EXPECT_EQ(report.failures(), 2u);
  EXPECT_NE(report_json(report).find("\"UNIMPLEMENTED\""), std::string::npos);
}

TEST(KeepAlive, ALeaseThatIsGoneIsAnError) {
  FakeServer server;
  Target run(server);
  run.load.clients = 3;
  run.load.total = 20;
  const LoadResult result = run_keepalive(run.open(), run.load, 1, 10);
  EXPECT_EQ(result.stats.succeeded(), 18u);
  EXPECT_EQ(result.stats.errors.at("NOT_FOUND").count, 2u);
}

TEST(Watch, CountsAndTimesEveryEvent) {
  FakeServer server;
  Target run(server);
  run.options.command = Command::kWatch;
  run.options.total = 50;
  run.options.key_space = 5;
  run.options.watchers = 5;
  WatchReceiver receiver(run.open(), run.options);
  ASSERT_TRUE(receiver.start().ok());
  run.on_put = [&](uint64_t key) { receiver.expect(key); };
  EXPECT_EQ(run.unary().stats.succeeded(), 50u);
  const WatchResult result = receiver.finish();
  EXPECT_EQ(result.expected, 50u);
  EXPECT_EQ(result.arrived, 50u);
  EXPECT_EQ(result.delivery.count(), 50u);
  EXPECT_EQ(result.canceled, 0u);
}

TEST(Watch, LostEventsAreFailures) {
  Report report;
  report.watch.emplace();
  report.watch->expected = 5;
  report.watch->arrived = 3;
  report.watch->canceled = 1;
  EXPECT_EQ(report.failures(), 3u);
}

}  // namespace
}  // namespace mortise::bench
