// The stream of Maintenance.Snapshot, step by step: credit, cancellation at any point, stop.
#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <thread>

#include "host/api/fake_node.h"
#include "host/api/methods.h"
#include "host/mvcc/revision.h"
#include "host/mvcc/test_store.h"
#include "host/snapshot/sha256.h"
#include "proto/rpc.pb.h"

namespace mortise::api {
namespace {

// Keeps the steps of snapshots until they are run.
class StepNode : public FakeNode {
 public:
  bool between_commits(std::function<void()> task) override { return add(std::move(task)); }
  bool run_snapshot(std::function<void()> task) override { return add(std::move(task)); }
  void stop() {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  bool run_step() {
    std::function<void()> task;
    {
      std::lock_guard lock(mutex_);
      if (tasks_.empty()) return false;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
    return true;
  }
  void run_all() {
    while (run_step()) {
    }
  }

 private:
  bool add(std::function<void()> task) {
    std::lock_guard lock(mutex_);
    if (!stopped_) tasks_.push_back(std::move(task));
    return !stopped_;
  }
  std::mutex mutex_;
  std::deque<std::function<void()>> tasks_;
  bool stopped_ = false;
};

// A client, and what it has been sent.
class FakeClient {
 public:
  explicit FakeClient(const Context& context) {
    mortise_stream_events events{};
    events.struct_size = sizeof events;
    events.on_message = [](void* self, mortise_buffer message) {
      static_cast<FakeClient*>(self)->take(rpc::Payload(message));
    };
    events.on_credit = [](void*, uint64_t) {};
    events.on_end = [](void* self, mortise_rpc_code code, mortise_bytes) {
      auto* client = static_cast<FakeClient*>(self);
      std::lock_guard lock(client->mutex_);
      EXPECT_FALSE(client->ended_) << "ended twice";
      client->ended_ = true;
      client->code_ = code;
    };
    stream_ = maintenance_snapshot(context, rpc::ClientStream(&events, this), nullptr, &refused_);
  }
  void request(std::string_view bytes = {}) {
    ByteBuffer buffer;
    buffer.append(bytes);
    stream_->on_message(rpc::Payload(rpc::to_buffer(std::move(buffer))));
    if (!ended()) stream_->on_half_close();
  }
  void grant(uint64_t bytes) { stream_->on_grant(bytes); }
  void cancel() { stream_->on_cancel(); }

  bool ended() {
    std::lock_guard lock(mutex_);
    return ended_;
  }
  RpcCode code() const { return static_cast<RpcCode>(code_); }
  size_t messages() {
    std::lock_guard lock(mutex_);
    return messages_;
  }
  const std::string& blobs() const { return blobs_; }
  rpc::ServerStream* stream() { return stream_; }
  const RpcStatus& refused() const { return refused_; }

 private:
  void take(rpc::Payload message) {
    etcdserverpb::SnapshotResponse response;
    EXPECT_TRUE(parse(message.view(), &response));
    std::lock_guard lock(mutex_);
    EXPECT_FALSE(ended_) << "a message after the end";
    blobs_ += response.blob();
    ++messages_;
  }
  rpc::ServerStream* stream_;
  RpcStatus refused_;
  std::mutex mutex_;
  std::string blobs_;
  size_t messages_ = 0;
  bool ended_ = false;
  mortise_rpc_code code_ = 0;
};

constexpr uint64_t kPlenty = uint64_t{1} << 40;

class SnapshotStreamTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // Three steps of layout, then some of sending.
    store::WriteBatch batch;
    std::deque<std::string> keys;
    std::string value(1000, 'v');
    for (int64_t main = 2; main < 3000; ++main) {
      keys.push_back(mvcc::encode_revision({main, 0}));
      batch.put(store::kRevisions, keys.back(), value);
    }
    ASSERT_TRUE(store_.get()->commit(batch, 1, 1).ok());
    context_.node = &node_;
    context_.store = store_.get();
    context_.open_snapshots = &open_;
  }

  testing::TestStore store_;
  StepNode node_;
  std::atomic<uint32_t> open_{0};
  Context context_;
};

TEST_F(SnapshotStreamTest, SendsNoMoreThanTheCredit) {
  FakeClient client(context_);
  client.request();
  node_.run_all();
  EXPECT_EQ(client.messages(), 0u);
  client.grant(1);  // One message may overshoot.
  node_.run_all();
  EXPECT_EQ(client.messages(), 1u);
  client.grant(33 << 10);
  node_.run_all();
  EXPECT_EQ(client.messages(), 2u);
  EXPECT_FALSE(node_.run_step());  // Nothing waits while there is no credit.
  client.grant(kPlenty);
  node_.run_all();
  ASSERT_TRUE(client.ended());
  EXPECT_EQ(client.code(), RpcCode::kOk);
  EXPECT_EQ(open_, 0u);
  ASSERT_GT(client.blobs().size(), size_t{3} << 20);
  snapshot::Sha256 digest;
  digest.add(std::string_view(client.blobs()).substr(0, client.blobs().size() - 32));
  EXPECT_EQ(digest.finish(), client.blobs().substr(client.blobs().size() - 32));
}

TEST_F(SnapshotStreamTest, CancelEndsItAtOnceAtAnyPoint) {
  size_t steps = 0;
  for (bool complete = false; !complete; ++steps) {
    FakeClient client(context_);
    client.grant(kPlenty);
    client.request();
    for (size_t i = 0; i < steps; ++i) node_.run_step();
    complete = client.ended();
    if (complete) continue;
    size_t messages = client.messages();
    client.cancel();
    EXPECT_TRUE(client.ended());
    EXPECT_EQ(client.code(), RpcCode::kCanceled);
    node_.run_all();
    EXPECT_EQ(client.messages(), messages);
    EXPECT_EQ(open_, 0u) << "after " << steps << " steps";
  }
  EXPECT_GT(steps, 6u);
}

TEST_F(SnapshotStreamTest, CancelOfAStreamThatWaits) {
  FakeClient before(context_);
  before.cancel();
  EXPECT_EQ(before.code(), RpcCode::kCanceled);
  FakeClient waits(context_);
  waits.request();
  waits.grant(1);
  node_.run_all();
  waits.cancel();
  EXPECT_EQ(waits.code(), RpcCode::kCanceled);
  EXPECT_EQ(open_, 0u);
}

TEST_F(SnapshotStreamTest, StreamsTakeTurns) {
  FakeClient one(context_), two(context_);
  for (FakeClient* client : {&one, &two}) {
    client->grant(kPlenty);
    client->request();
  }
  while (node_.run_step()) {
    size_t difference =
        std::max(one.messages(), two.messages()) - std::min(one.messages(), two.messages());
    EXPECT_LE(difference, 33u);  // A MiB, and the digest.
  }
  EXPECT_EQ(one.blobs(), two.blobs());
  EXPECT_TRUE(one.ended() && two.ended());
}

TEST_F(SnapshotStreamTest, AStopEndsIt) {
  for (size_t steps : {size_t{0}, size_t{1}, size_t{3}, size_t{6}}) {
    StepNode node;
    context_.node = &node;
    FakeClient client(context_);
    client.grant(kPlenty);
    if (steps > 0) client.request();
    for (size_t i = 1; i < steps; ++i) node.run_step();
    node.stop();
    if (steps == 0) client.request();
    node.run_all();
    ASSERT_TRUE(client.ended()) << steps;
    EXPECT_EQ(client.code(), RpcCode::kUnavailable) << steps;
    EXPECT_EQ(open_, 0u);
  }
}

TEST_F(SnapshotStreamTest, RefusesWhatIsNoRequest) {
  FakeClient malformed(context_);
  malformed.request("\x08");
  EXPECT_EQ(malformed.code(), RpcCode::kInternal);
  FakeClient nothing(context_);
  nothing.stream()->on_half_close();
  EXPECT_EQ(nothing.code(), RpcCode::kInternal);
  EXPECT_EQ(open_, 0u);
}

TEST_F(SnapshotStreamTest, LimitsHowManyAreOpen) {
  std::vector<std::unique_ptr<FakeClient>> clients;
  for (uint32_t i = 0; i < kOpenSnapshotsMax; ++i) {
    clients.push_back(std::make_unique<FakeClient>(context_));
  }
  FakeClient one_more(context_);
  EXPECT_EQ(one_more.stream(), nullptr);
  EXPECT_EQ(one_more.refused().message(), "etcdserver: too many requests");
  clients[3]->cancel();
  FakeClient now(context_);
  EXPECT_NE(now.stream(), nullptr);
  now.cancel();
  for (uint32_t i = 0; i < kOpenSnapshotsMax; ++i) {
    if (i != 3) clients[i]->cancel();
  }
  EXPECT_EQ(open_, 0u);
}

// Grants and a cancel race with the steps; for the sanitizers.
TEST_F(SnapshotStreamTest, ThreadsRace) {
  std::atomic<bool> stop = false;
  std::thread steps([&] {
    while (!stop) {
      if (!node_.run_step()) std::this_thread::yield();
    }
    node_.run_all();
  });
  std::mt19937 random(3);
  for (int round = 0; round < 60; ++round) {
    // A view is let go by the step after the cancel.
    while (open_ == kOpenSnapshotsMax) std::this_thread::yield();
    FakeClient client(context_);
    client.request();
    // Less than the file, so that the stream does not end by itself.
    for (size_t i = random() % 20; i > 0; --i) client.grant(random() % 100000);
    client.cancel();
    EXPECT_TRUE(client.ended());
  }
  stop = true;
  steps.join();
  EXPECT_EQ(open_, 0u);
}

}  // namespace
}  // namespace mortise::api
