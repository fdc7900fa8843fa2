// Leases in a cluster: kept alive and asked about through any member, over changes of leaders and
// restarts. RocksDB and LMDB mixed, and Debian's etcd for comparison where it behaves the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "host/peer/codec.h"
#include "host/peer/http_client.h"
#include "host/wire/raft_request.h"
#include "tests/lib/cluster.h"

namespace mortise::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using LeaseStub = etcdserverpb::Lease::Stub;

class LeaseClusterTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    for (const Target& target : cluster_targets(GetParam())) {
      if (!available(target)) GTEST_SKIP() << target.binary << " is not installed";
    }
  }
  void start(std::vector<std::string> flags = {}, bool in_memory = true) {
    cluster_ = std::make_unique<Cluster>(
        cluster_targets(GetParam()),
        ClusterOptions{.flags = std::move(flags), .in_memory = in_memory});
    ASSERT_EQ(cluster_->start().message(), "");
  }
  size_t leader() {
    auto found = cluster_->wait_leader();
    EXPECT_TRUE(found.ok()) << found.status().message();
    return found.ok() ? *found : 0;
  }
  int64_t grant(size_t member, int64_t ttl) {
    etcdserverpb::LeaseGrantRequest request;
    request.set_ttl(ttl);
    etcdserverpb::LeaseGrantResponse response;
    Client& client = cluster_->client(member);
    grpc::Status status = client.call(client.lease(), &LeaseStub::LeaseGrant, request, &response);
    EXPECT_TRUE(status.ok()) << status_text(status);
    return response.id();
  }
  etcdserverpb::LeaseTimeToLiveResponse time_to_live(size_t member, int64_t lease) {
    etcdserverpb::LeaseTimeToLiveRequest request;
    request.set_id(lease);
    request.set_keys(true);
    etcdserverpb::LeaseTimeToLiveResponse response;
    Client& client = cluster_->client(member);
    grpc::Status status =
        client.call(client.lease(), &LeaseStub::LeaseTimeToLive, request, &response);
    EXPECT_TRUE(status.ok()) << member << ": " << status_text(status);
    return response;
  }
  // The TTLs that a stream of keep-alives is answered with.
  std::vector<int64_t> keep_alive(size_t member, const std::vector<int64_t>& leases,
                                  grpc::Status* status) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallBound);
    auto stream = cluster_->client(member).lease().LeaseKeepAlive(&context);
    for (int64_t lease : leases) {
      etcdserverpb::LeaseKeepAliveRequest request;
      request.set_id(lease);
      stream->Write(request);
    }
    stream->WritesDone();
    std::vector<int64_t> ttls;
    etcdserverpb::LeaseKeepAliveResponse response;
    while (stream->Read(&response)) {
      EXPECT_EQ(response.id(), leases[ttls.size()]) << "in order";
      ttls.push_back(response.ttl());
    }
    *status = stream->Finish();
    return ttls;
  }
  int64_t keep_alive(size_t member, int64_t lease) {
    grpc::Status status;
    auto ttls = keep_alive(member, std::vector{lease}, &status);
    EXPECT_TRUE(status.ok()) << status_text(status);
    return ttls.size() == 1 ? ttls[0] : -1;
  }

  std::unique_ptr<Cluster> cluster_;
};

TEST_P(LeaseClusterTest, AnyMemberKnowsALease) {
  start();
  int64_t lease = grant(0, 100);
  ASSERT_TRUE(cluster_->client(1).put("a", "v", nullptr, lease).ok());
  for (size_t member = 0; member < 3; ++member) {
    EXPECT_EQ(keep_alive(member, lease), 100) << member;
    EXPECT_EQ(keep_alive(member, 404), 0) << member;
    auto known = time_to_live(member, lease);
    EXPECT_EQ(known.id(), lease);
    EXPECT_EQ(known.grantedttl(), 100);
    EXPECT_GE(known.ttl(), 90);
    EXPECT_LE(known.ttl(), 100);
    ASSERT_EQ(known.keys_size(), 1) << member;
    EXPECT_EQ(known.keys(0), "a");
    EXPECT_EQ(known.header().member_id(), cluster_->id(member));
    EXPECT_GT(known.header().revision(), 1);
    auto unknown = time_to_live(member, 404);
    EXPECT_EQ(unknown.ttl(), -1);
    EXPECT_EQ(unknown.grantedttl(), 0);
    EXPECT_EQ(unknown.id(), 404);
  }
}

// Many on one stream, through a member that does not lead: each has to ask the leader.
TEST_P(LeaseClusterTest, AFollowerForwardsManyKeepAlives) {
  start();
  size_t follower = (leader() + 1) % 3;
  std::vector<int64_t> leases;
  for (int i = 0; i < 10; ++i) leases.push_back(grant(follower, 50 + i));
  std::vector<int64_t> wanted, expected;
  for (int i = 0; i < 3000; ++i) {
    wanted.push_back(leases[i % 10]);
    expected.push_back(50 + i % 10);
  }
  auto begin = steady_clock::now();
  std::vector<std::thread> streams;
  for (int i = 0; i < 3; ++i) {
    streams.emplace_back([&] {
      grpc::Status status;
      EXPECT_EQ(keep_alive(follower, wanted, &status), expected);
      EXPECT_TRUE(status.ok()) << status_text(status);
    });
  }
  for (std::thread& stream : streams) stream.join();
  auto took = std::chrono::duration<double>(steady_clock::now() - begin).count();
  RecordProperty("keep_alives_per_second", static_cast<int>(9000 / took));
}

// The leader dies while leases are kept alive through the others: none ends before its time.
TEST_P(LeaseClusterTest, NoLeaseEndsEarlyWhenTheLeaderDies) {
  start();
  constexpr int64_t kTtl = 4;
  size_t first = leader();
  size_t other = (first + 1) % 3;
  int64_t kept = grant(other, kTtl), left = grant(other, kTtl);
  ASSERT_TRUE(cluster_->client(other).put("kept", "v", nullptr, kept).ok());
  ASSERT_TRUE(cluster_->client(other).put("left", "v", nullptr, left).ok());
  std::this_thread::sleep_for(seconds(2));
  // What is renewed now has four seconds from now on, whoever leads.
  EXPECT_EQ(keep_alive(other, kept), kTtl);
  auto renewed = steady_clock::now();
  cluster_->kill(first);
  auto next = cluster_->wait_leader(first);
  ASSERT_TRUE(next.ok()) << next.status().message();
  etcdserverpb::RangeRequest request;
  request.set_key("kept");
  bool gone = false;
  while (!gone && steady_clock::now() - renewed < kClusterBound) {
    etcdserverpb::RangeResponse response;
    auto asked = steady_clock::now();
    grpc::Status status = cluster_->client(other).range(request, &response);
    gone = status.ok() && response.kvs_size() == 0;
    if (gone) {
      EXPECT_GE(asked - renewed, seconds(kTtl) - milliseconds(100));
    }
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_TRUE(gone);
  EXPECT_EQ(keep_alive(other, kept), 0);
  EXPECT_EQ(time_to_live(other, left).ttl(), -1);
}

// A client that goes on through one member does not notice that another one leads.
TEST_P(LeaseClusterTest, KeepAlivesGoOnOverAChangeOfLeaders) {
  start();
  size_t first = leader();
  size_t other = (first + 1) % 3;
  int64_t lease = grant(other, 30);
  cluster_->kill(first);
  // No waiting for the new leader: that is the member's work.
  EXPECT_EQ(keep_alive(other, lease), 30);
  EXPECT_EQ(time_to_live(other, lease).grantedttl(), 30);
}

TEST_P(LeaseClusterTest, WithoutALeaderTheClientIsTold) {
  start();
  size_t last = (leader() + 1) % 3;
  int64_t lease = grant(last, 100);
  for (size_t member = 0; member < 3; ++member) {
    if (member != last) cluster_->kill(member);
  }
  Cluster::wait_for([&] {
    etcdserverpb::StatusResponse status;
    return cluster_->client(last).status(&status).ok() && status.leader() == 0;
  });
  grpc::Status status;
  EXPECT_TRUE(keep_alive(last, {lease}, &status).empty());
  EXPECT_EQ(status_text(status), "14 etcdserver: no leader");
  etcdserverpb::LeaseTimeToLiveRequest request;
  request.set_id(lease);
  etcdserverpb::LeaseTimeToLiveResponse response;
  Client& client = cluster_->client(last);
  status = client.call(client.lease(), &LeaseStub::LeaseTimeToLive, request, &response);
  EXPECT_EQ(status_text(status), "14 etcdserver: no leader");
}

INSTANTIATE_TEST_SUITE_P(Clusters, LeaseClusterTest, ::testing::Values("mixed", "etcd"),
                         [](const auto& test) { return test.param; });

class LeaseCheckpointTest : public LeaseClusterTest {
 protected:
  // As a follower forwards a proposal, since a leader makes checkpoints every five minutes only.
  void log_checkpoint(size_t leads, int64_t lease, int64_t remaining) {
    std::string checkpoint, request;
    wire::append_varint_field(&checkpoint, 1, static_cast<uint64_t>(lease));
    wire::append_varint_field(&checkpoint, 2, static_cast<uint64_t>(remaining));
    wire::append_bytes_field(&request, 1, checkpoint);
    raft::Message message;
    message.type = raft::MessageType::kProp;
    message.from = cluster_->id((leads + 1) % 3);
    message.to = cluster_->id(leads);
    auto entry = std::make_shared<raft::Entry>();
    entry->data = wire::encode_raft_request(4711, wire::kRaftLeaseCheckpoint, request);
    message.entries.push_back(entry);
    etcdserverpb::StatusResponse status;
    ASSERT_TRUE(cluster_->client(leads).status(&status).ok());
    peer::HttpCall call;
    call.url = cluster_->node(leads).peer_url();
    call.path = "/raft";
    call.method = "POST";
    call.headers = {{"Content-Type", "application/protobuf"},
                    {"X-Server-From", peer::hex_text(message.from)},
                    {"X-Server-Version", "3.7.1"},
                    {"X-Min-Cluster-Version", "3.0.0"},
                    {"X-Etcd-Cluster-ID", peer::hex_text(status.header().cluster_id())}};
    peer::append_message(message, &call.body);
    auto answer = peer::HttpClient().call_and_wait(call);
    ASSERT_TRUE(answer.ok()) << answer.status().message();
    EXPECT_EQ(answer->status, 204) << answer->body;
  }
};

// What was left of a lease outlives its leader, and a restart of all; a keep-alive makes it whole,
// which outlives them, too.
TEST_P(LeaseCheckpointTest, OutlivesALeaderAndARestart) {
  start({"--feature-gates=LeaseCheckpoint=true"}, /*in_memory=*/false);
  size_t first = leader();
  int64_t lease = grant(first, 1000), renewed = grant(first, 1000);
  log_checkpoint(first, lease, 400);
  log_checkpoint(first, renewed, 400);
  // A write that was logged later is applied later.
  ASSERT_TRUE(cluster_->client(first).put("k", "v").ok());
  EXPECT_EQ(keep_alive((first + 1) % 3, renewed), 1000);
  EXPECT_GT(time_to_live(first, lease).ttl(), 900) << "a leader goes by its own clock";

  ASSERT_TRUE(cluster_->stop(first));
  auto next = cluster_->wait_leader(first);
  ASSERT_TRUE(next.ok()) << next.status().message();
  auto expect_times = [&](size_t member) {
    EXPECT_LE(time_to_live(member, lease).ttl(), 402) << member;
    EXPECT_GT(time_to_live(member, lease).ttl(), 300) << member;
    EXPECT_EQ(time_to_live(member, lease).grantedttl(), 1000);
    EXPECT_GT(time_to_live(member, renewed).ttl(), 900) << member;
  };
  expect_times(*next);
  ASSERT_EQ(cluster_->start(first).message(), "");
  expect_times(first);

  for (size_t member = 0; member < 3; ++member) ASSERT_TRUE(cluster_->stop(member));
  for (size_t member = 0; member < 3; ++member) ASSERT_TRUE(cluster_->launch(member).ok());
  ASSERT_EQ(cluster_->wait_serving().message(), "");
  for (size_t member = 0; member < 3; ++member) expect_times(member);
}

INSTANTIATE_TEST_SUITE_P(Clusters, LeaseCheckpointTest, ::testing::Values("mixed"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace mortise::testing
