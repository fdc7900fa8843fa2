// A member that lags behind what the others' logs still have gets all of it by a snapshot: after it
// was cut off, after it was down, on another backend than its leader's, and whatever happens to it
// meanwhile. All members hold the same afterwards, and its watchers miss
// nothing.
//
// By hand: MORTISE_CLUSTER_TARGETS names other members, such as "/opt/etcd,lmdb,rocksdb".
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/lib/cluster.h"
#include "tests/lib/faults.h"
#include "tests/lib/writes.h"

namespace mortise::testing {
namespace {

using ::testing::HasSubstr;

constexpr int kLag = 400;  // Writes that a member misses, far more than logs keep.
constexpr std::chrono::milliseconds kWriteBound{2000};

std::string targets() {
  const char* wanted = std::getenv("MORTISE_CLUSTER_TARGETS");
  return wanted != nullptr ? wanted : "lmdb,rocksdb,lmdb";
}

class StateTransferTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ClusterOptions options{.flags = {"--snapshot-count=50", "--snapshot-catchup-entries=20"},
                           .in_memory = true};
    cluster_ = std::make_unique<Cluster>(cluster_targets(targets()), options);
    ASSERT_EQ(cluster_->start().message(), "");
    put_some("before", 5);
    auto leader = cluster_->wait_leader();
    ASSERT_TRUE(leader.ok()) << leader.status().message();
    leader_ = *leader;
    follower_ = (leader_ + 1) % 3;
  }
  void TearDown() override {
    if (HasFailure()) ADD_FAILURE() << cluster_->logs();
  }
  void put_some(const std::string& prefix, int count) {
    for (int i = 0; i < count; ++i) {
      auto status = cluster_->client(leader_).put(prefix + std::to_string(i), "value");
      ASSERT_TRUE(status.ok()) << status_text(status);
    }
  }
  int64_t revision(size_t member) {
    etcdserverpb::HashKVResponse response;
    auto status = cluster_->client(member).hash_kv(0, &response);
    return status.ok() ? response.header().revision() : -1;
  }
  void compact(int64_t revision) {
    etcdserverpb::CompactionRequest request;
    request.set_revision(revision);
    etcdserverpb::CompactionResponse response;
    Client& client = cluster_->client(leader_);
    auto status = client.call(client.kv(), &etcdserverpb::KV::Stub::Compact, request, &response);
    ASSERT_TRUE(status.ok()) << status_text(status);
  }
  int64_t grant(int64_t ttl) {
    etcdserverpb::LeaseGrantRequest request;
    request.set_ttl(ttl);
    etcdserverpb::LeaseGrantResponse response;
    Client& client = cluster_->client(leader_);
    auto status =
        client.call(client.lease(), &etcdserverpb::Lease::Stub::LeaseGrant, request, &response);
    EXPECT_TRUE(status.ok()) << status_text(status);
    return response.id();
  }
  // While the follower is away the others must give up what it lacks.
  void let_it_lag() {
    // A leader keeps entries for members that were there a moment ago.
    std::this_thread::sleep_for(std::chrono::seconds(3));
    put_some("missed", kLag);
  }
  // As above, behind links that keep what they are sent: more than the leader lets be on its way.
  void let_it_lag_behind_cut_links() {
    const int64_t before = revision(leader_);
    const size_t logged = cluster_->node(leader_).log().size();
    std::this_thread::sleep_for(std::chrono::seconds(3));
    const std::string value(128 << 10, 'v');
    constexpr int kWrites = (48 << 20) / (128 << 10);
    for (int i = 0; i < kWrites; ++i) {
      auto status = cluster_->client(leader_).put("missed" + std::to_string(i), value);
      ASSERT_TRUE(status.ok()) << status_text(status);
    }
    EXPECT_TRUE(Cluster::wait_for([&] {
      return cluster_->node(leader_).log().find("peer became inactive", logged) !=
             std::string::npos;
    }));
    put_some("missed too", kLag / 2);
    EXPECT_LE(revision(follower_), before);
  }
  size_t snapshots_taken(size_t member) {
    std::string log = cluster_->node(member).log();
    size_t count = 0;
    for (size_t at = 0; (at = log.find("\"applied snapshot\"", at)) != std::string::npos; ++at) {
      ++count;
    }
    return count;
  }
  void expect_caught_up(size_t member, size_t snapshots) {
    EXPECT_TRUE(Cluster::wait_for([&] { return revision(member) == revision(leader_); }));
    Status equal = cluster_->check_equal();
    EXPECT_TRUE(equal.ok()) << equal.message();
    EXPECT_GE(snapshots_taken(member), snapshots);
  }
  // The stores in the member's directory.
  std::vector<std::string> stores(size_t member) {
    std::vector<std::string> out;
    std::string path = cluster_->node(member).data_dir() + "/member";
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      std::string name = entry.path().filename();
      if (name.starts_with("store")) out.push_back(name);
    }
    return out;
  }

  std::unique_ptr<Cluster> cluster_;
  size_t leader_ = 0, follower_ = 1;
};

// The watch of a client that stays connected while its server is cut off from the others.
class OpenWatch {
 public:
  explicit OpenWatch(Client* client) : stream_(client->watch().Watch(&context_)) {}
  ~OpenWatch() {
    context_.TryCancel();
    etcdserverpb::WatchResponse response;
    while (stream_->Read(&response)) {
    }
    (void)stream_->Finish();
  }
  void create(int64_t from) {
    etcdserverpb::WatchRequest request;
    request.mutable_create_request()->set_key(std::string(1, '\0'));
    request.mutable_create_request()->set_range_end(std::string(1, '\0'));
    request.mutable_create_request()->set_start_revision(from);
    ASSERT_TRUE(stream_->Write(request));
    ASSERT_TRUE(read().created());
  }
  etcdserverpb::WatchResponse read() {
    etcdserverpb::WatchResponse response;
    EXPECT_TRUE(stream_->Read(&response));
    return response;
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse>>
      stream_;
};

TEST_F(StateTransferTest, WatchersOfAMemberThatWasCutOffMissNothing) {
  OpenWatch watch(&cluster_->client(follower_));
  int64_t next = revision(follower_) + 1;
  watch.create(next);
  cluster_->network().isolate(follower_);
  let_it_lag_behind_cut_links();
  const int64_t last = revision(leader_);
  cluster_->network().mend();
  while (next <= last) {
    etcdserverpb::WatchResponse response = watch.read();
    ASSERT_FALSE(response.canceled()) << response.ShortDebugString();
    ASSERT_GT(response.events_size(), 0);
    for (const auto& event : response.events()) {
      ASSERT_EQ(event.kv().mod_revision(), next);
      ++next;
    }
  }
  expect_caught_up(follower_, 1);
  // Later events come as always.
  put_some("after", 1);
  EXPECT_EQ(watch.read().events(0).kv().key(), "after0");
  // Only the new store stays, and counts after a start.
  EXPECT_TRUE(Cluster::wait_for([&] { return stores(follower_).size() == 1; }));
  EXPECT_THAT(stores(follower_)[0], HasSubstr("store-"));
  cluster_->stop(follower_);
  ASSERT_EQ(cluster_->start(follower_).message(), "");
  put_some("later", 3);
  expect_caught_up(follower_, 1);
}

TEST_F(StateTransferTest, WatchersLearnThatTheirRevisionsAreCompacted) {
  OpenWatch watch(&cluster_->client(follower_));
  watch.create(revision(follower_) + 1);
  cluster_->network().isolate(follower_);
  let_it_lag_behind_cut_links();
  const int64_t compacted = revision(leader_);
  compact(compacted);
  put_some("after", 40);
  cluster_->network().mend();
  etcdserverpb::WatchResponse response = watch.read();
  // What the links kept comes before the snapshot.
  while (!response.canceled() && response.events_size() > 0) {
    EXPECT_LT(response.events().rbegin()->kv().mod_revision(), compacted);
    response = watch.read();
  }
  EXPECT_TRUE(response.canceled());
  EXPECT_EQ(response.compact_revision(), compacted);
  expect_caught_up(follower_, 1);
}

TEST_F(StateTransferTest, LeasesAndTheirKeysCome) {
  cluster_->stop(follower_);
  let_it_lag();
  const int64_t lease = grant(600);
  ASSERT_TRUE(cluster_->client(leader_).put("leased", "v", nullptr, lease).ok());
  put_some("after", 40);
  ASSERT_EQ(cluster_->start(follower_).message(), "");
  expect_caught_up(follower_, 1);
  etcdserverpb::LeaseRevokeRequest request;
  request.set_id(lease);
  etcdserverpb::LeaseRevokeResponse response;
  Client& client = cluster_->client(follower_);
  auto status =
      client.call(client.lease(), &etcdserverpb::Lease::Stub::LeaseRevoke, request, &response);
  EXPECT_TRUE(status.ok()) << status_text(status);
  expect_caught_up(follower_, 1);
  etcdserverpb::RangeRequest range;
  range.set_key("leased");
  etcdserverpb::RangeResponse keys;
  ASSERT_TRUE(client.range(range, &keys).ok());
  EXPECT_EQ(keys.kvs_size(), 0);
}

TEST_F(StateTransferTest, AMemberThatWasDown) {
  cluster_->stop(follower_);
  let_it_lag();
  ASSERT_EQ(cluster_->start(follower_).message(), "");
  expect_caught_up(follower_, 1);
}

// Killed again and again while it receives, loads and switches, under writes.
TEST_F(StateTransferTest, KilledMeanwhileUnderLoad) {
  std::vector<std::string> others;
  for (size_t i = 0; i < 3; ++i) {
    if (i != follower_) others.push_back(cluster_->endpoint(i));
  }
  const int64_t from = revision(leader_) + 1;
  Load load(4, 1, others, kWriteBound);
  cluster_->kill(follower_);
  let_it_lag();
  for (int round = 0; round < 12; ++round) {
    ASSERT_TRUE(cluster_->launch(follower_).ok());
    std::this_thread::sleep_for(std::chrono::milliseconds(150 + 60 * round));
    cluster_->kill(follower_);
    put_some("round" + std::to_string(round) + "-", 30);
  }
  ASSERT_EQ(cluster_->start(follower_).message(), "");
  load.stop();
  expect_caught_up(follower_, 1);
  const int64_t last = revision(follower_);
  auto history = read_history(&cluster_->client(follower_), from, last);
  ASSERT_TRUE(history.ok()) << history.status().message();
}

}  // namespace
}  // namespace mortise::testing
