// Locks and elections through the server's own services, on both backends: who waits gets its turn
// in the order of arrival and alone, whoever goes away in between, and answers are etcd's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <future>
#include <random>
#include <thread>

#include "proto/election.grpc.pb.h"
#include "proto/health.grpc.pb.h"
#include "proto/lock.grpc.pb.h"
#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

using Election = v3electionpb::Election::Stub;
using Lease = etcdserverpb::Lease::Stub;
using Lock = v3lockpb::Lock::Stub;
using KV = etcdserverpb::KV::Stub;

// A client with the services that this is about.
class LockClient : public Client {
 public:
  explicit LockClient(const std::string& endpoint)
      : Client(endpoint),
        lock_(v3lockpb::Lock::NewStub(channel())),
        election_(v3electionpb::Election::NewStub(channel())) {}

  Election& election() { return *election_; }

  int64_t grant(int64_t ttl = 60) {
    etcdserverpb::LeaseGrantRequest request;
    request.set_ttl(ttl);
    etcdserverpb::LeaseGrantResponse response;
    grpc::Status status = call(lease(), &Lease::LeaseGrant, request, &response);
    EXPECT_EQ(status_text(status), "OK");
    return response.id();
  }
  void revoke(int64_t id) {
    etcdserverpb::LeaseRevokeRequest request;
    request.set_id(id);
    etcdserverpb::LeaseRevokeResponse response;
    EXPECT_TRUE(call(lease(), &Lease::LeaseRevoke, request, &response).ok());
  }
  std::string lock(const std::string& name, int64_t lease, v3lockpb::LockResponse* response,
                   grpc::ClientContext* context) {
    v3lockpb::LockRequest request;
    request.set_name(name);
    request.set_lease(lease);
    context->set_deadline(std::chrono::system_clock::now() + kCallBound);
    return status_text(lock_->Lock(context, request, response));
  }
  std::string lock(const std::string& name, int64_t lease,
                   v3lockpb::LockResponse* response = nullptr) {
    v3lockpb::LockResponse ignored;
    grpc::ClientContext context;
    return lock(name, lease, response != nullptr ? response : &ignored, &context);
  }
  std::string unlock(const std::string& key, int64_t* revision = nullptr) {
    v3lockpb::UnlockRequest request;
    request.set_key(key);
    v3lockpb::UnlockResponse response;
    std::string text = status_text(call(*lock_, &Lock::Unlock, request, &response));
    if (revision != nullptr) *revision = response.header().revision();
    return text;
  }
  std::string campaign(const std::string& name, int64_t lease, const std::string& value,
                       v3electionpb::CampaignResponse* response) {
    v3electionpb::CampaignRequest request;
    request.set_name(name);
    request.set_lease(lease);
    request.set_value(value);
    return status_text(call(*election_, &Election::Campaign, request, response));
  }
  std::string proclaim(const v3electionpb::LeaderKey& leader, const std::string& value) {
    v3electionpb::ProclaimRequest request;
    *request.mutable_leader() = leader;
    request.set_value(value);
    v3electionpb::ProclaimResponse response;
    return status_text(call(*election_, &Election::Proclaim, request, &response));
  }
  std::string resign(const v3electionpb::LeaderKey& leader) {
    v3electionpb::ResignRequest request;
    *request.mutable_leader() = leader;
    v3electionpb::ResignResponse response;
    return status_text(call(*election_, &Election::Resign, request, &response));
  }
  std::string leader(const std::string& name, v3electionpb::LeaderResponse* response) {
    v3electionpb::LeaderRequest request;
    request.set_name(name);
    return status_text(call(*election_, &Election::Leader, request, response));
  }
  int64_t count(const std::string& prefix) {
    etcdserverpb::RangeRequest request;
    request.set_key(prefix);
    std::string end = prefix;
    ++end.back();
    request.set_range_end(end);
    request.set_count_only(true);
    etcdserverpb::RangeResponse response;
    EXPECT_TRUE(range(request, &response).ok());
    return response.count();
  }
  // Until so many keys of the prefix are there.
  void wait_for_count(const std::string& prefix, int64_t wanted) {
    auto deadline = std::chrono::steady_clock::now() + kCallBound;
    while (count(prefix) != wanted) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << count(prefix) << " keys";
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
  // Makes the key; false if it was there.
  bool create(const std::string& key, int64_t lease) {
    etcdserverpb::TxnRequest txn;
    auto* compare = txn.add_compare();
    compare->set_target(etcdserverpb::Compare::CREATE);
    compare->set_key(key);
    auto* put = txn.add_success()->mutable_request_put();
    put->set_key(key);
    put->set_lease(lease);
    etcdserverpb::TxnResponse response;
    EXPECT_TRUE(call(kv(), &KV::Txn, txn, &response).ok());
    return response.succeeded();
  }
  void remove(const std::string& key) {
    etcdserverpb::DeleteRangeRequest request;
    request.set_key(key);
    etcdserverpb::DeleteRangeResponse response;
    EXPECT_TRUE(call(kv(), &KV::DeleteRange, request, &response).ok());
  }

 private:
  std::unique_ptr<v3lockpb::Lock::Stub> lock_;
  std::unique_ptr<v3electionpb::Election::Stub> election_;
};

std::string hex(int64_t lease) {
  char text[20];
  std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(lease));
  return text;
}

class LockTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    node_ = std::make_unique<Node>(mortise_target(GetParam()), NodeOptions{.in_memory = true});
    ASSERT_EQ(node_->start().message(), "");
    client_ = std::make_unique<LockClient>(node_->endpoint());
  }
  void TearDown() override {
    if (client_) {
      EXPECT_EQ(status_text(client_->put("after", "v")), "OK");
    }
  }
  // A call of another thread.
  std::thread in_background(std::function<void(LockClient&)> body) {
    return std::thread([this, body = std::move(body)] {
      LockClient client(node_->endpoint());
      body(client);
    });
  }

  std::unique_ptr<Node> node_;
  std::unique_ptr<LockClient> client_;
};

TEST_P(LockTest, AnswersOfLockAndUnlock) {
  int64_t lease = client_->grant();
  int64_t before = 0;
  ASSERT_TRUE(client_->put("seed", "v", &before).ok());
  v3lockpb::LockResponse locked;
  EXPECT_EQ(client_->lock("m", lease, &locked), "OK");
  EXPECT_EQ(locked.key(), "m/" + hex(lease));
  EXPECT_EQ(locked.header().revision(), before + 1);
  EXPECT_EQ(client_->lock("m", lease, &locked), "OK") << "a session may lock what it holds";
  EXPECT_EQ(locked.header().revision(), before + 1);
  int64_t revision = 0;
  EXPECT_EQ(client_->unlock(locked.key(), &revision), "OK");
  EXPECT_EQ(revision, before + 2);
  EXPECT_EQ(client_->unlock(locked.key(), &revision), "OK");
  EXPECT_EQ(revision, before + 2);
  // As in etcd errors of the inner requests have their texts and no code.
  EXPECT_EQ(client_->unlock(""), "2 etcdserver: key is not provided");
  EXPECT_EQ(client_->lock("m", 12345), "2 etcdserver: requested lease not found");
  EXPECT_EQ(client_->lock("m", -5), "2 etcdserver: requested lease not found");
  EXPECT_EQ(client_->lock(std::string(1572860, 'x'), lease), "2 etcdserver: request is too large");
  EXPECT_EQ(client_->lock("", lease, &locked), "OK");
  EXPECT_EQ(locked.key(), "/" + hex(lease));
}

TEST_P(LockTest, WithoutALeaseTheServerGrantsOneOfAMinute) {
  v3lockpb::LockResponse locked;
  EXPECT_EQ(client_->lock("m", 0, &locked), "OK");
  etcdserverpb::LeaseLeasesResponse leases;
  ASSERT_TRUE(
      client_
          ->call(client_->lease(), &Lease::LeaseLeases, etcdserverpb::LeaseLeasesRequest(), &leases)
          .ok());
  ASSERT_EQ(leases.leases_size(), 1);
  EXPECT_EQ(locked.key(), "m/" + hex(leases.leases(0).id()));
  etcdserverpb::LeaseTimeToLiveRequest request;
  request.set_id(leases.leases(0).id());
  request.set_keys(true);
  etcdserverpb::LeaseTimeToLiveResponse time;
  ASSERT_TRUE(client_->call(client_->lease(), &Lease::LeaseTimeToLive, request, &time).ok());
  EXPECT_EQ(time.grantedttl(), 60);
  ASSERT_EQ(time.keys_size(), 1);
  EXPECT_EQ(time.keys(0), locked.key());
}

TEST_P(LockTest, TurnsComeInTheOrderOfArrival) {
  constexpr int kWaiting = 20;
  int64_t holder = client_->grant();
  ASSERT_EQ(client_->lock("m", holder), "OK");
  std::mutex mutex;
  std::vector<int> order;
  std::vector<std::thread> threads;
  for (int i = 0; i < kWaiting; ++i) {
    threads.push_back(in_background([&, i](LockClient& client) {
      v3lockpb::LockResponse locked;
      EXPECT_EQ(client.lock("m", client.grant(), &locked), "OK");
      {
        std::lock_guard lock(mutex);
        order.push_back(i);
      }
      EXPECT_EQ(client.unlock(locked.key()), "OK");
    }));
    client_->wait_for_count("m/", i + 2);
  }
  EXPECT_TRUE(order.empty());
  // Keys of others, also such that begin alike, are no part of it.
  for (const char* key : {"m", "m0", "m.", "n/1"}) ASSERT_TRUE(client_->put(key, "v").ok());
  EXPECT_EQ(client_->unlock("m/" + hex(holder)), "OK");
  for (std::thread& thread : threads) thread.join();
  std::vector<int> want(kWaiting);
  for (int i = 0; i < kWaiting; ++i) want[i] = i;
  EXPECT_EQ(order, want);
}

TEST_P(LockTest, WhoGoesAwayLeavesNoKeyAndHoldsUpNobody) {
  int64_t holder = client_->grant();
  ASSERT_EQ(client_->lock("m", holder), "OK");
  grpc::ClientContext canceled;
  std::thread first = in_background([&](LockClient& client) {
    v3lockpb::LockResponse locked;
    EXPECT_THAT(client.lock("m", client.grant(), &locked, &canceled), ::testing::StartsWith("1 "));
  });
  client_->wait_for_count("m/", 2);
  std::thread second = in_background([&](LockClient& client) {
    v3lockpb::LockResponse locked;
    EXPECT_EQ(client.lock("m", client.grant(), &locked), "OK");
  });
  client_->wait_for_count("m/", 3);
  canceled.TryCancel();
  first.join();
  client_->wait_for_count("m/", 2);
  EXPECT_EQ(client_->unlock("m/" + hex(holder)), "OK");
  second.join();
}

TEST_P(LockTest, AnExpiredLeaseHandsOver) {
  int64_t holder = client_->grant(2);
  ASSERT_EQ(client_->lock("m", holder), "OK");
  // The holder does nothing more.
  v3lockpb::LockResponse locked;
  EXPECT_EQ(client_->lock("m", client_->grant(), &locked), "OK");
  EXPECT_EQ(client_->count("m/"), 1);
}

TEST_P(LockTest, WhoLosesItsLeaseWhileItWaitsIsToldInTurn) {
  int64_t holder = client_->grant();
  int64_t lost = client_->grant();
  ASSERT_EQ(client_->lock("m", holder), "OK");
  std::thread waiting = in_background([&](LockClient& client) {
    EXPECT_EQ(client.lock("m", lost), "2 mutex: session is expired");
  });
  client_->wait_for_count("m/", 2);
  client_->revoke(lost);
  EXPECT_EQ(client_->unlock("m/" + hex(holder)), "OK");
  waiting.join();
}

TEST_P(LockTest, AStopAnswersWhoWaits) {
  ASSERT_EQ(client_->lock("m", client_->grant()), "OK");
  std::thread waiting = in_background(
      [&](LockClient& client) { EXPECT_THAT(client.lock("m", 0), ::testing::StartsWith("14 ")); });
  client_->wait_for_count("m/", 2);
  ASSERT_TRUE(node_->stop().has_value());
  waiting.join();
  ASSERT_EQ(node_->start().message(), "");
  client_->wait_for_count("m/", 1);
}

// Contenders as processes of their own, which are killed.
TEST(LockChild, DISABLED_LocksAndHolds) {
  LockClient client(std::getenv("LOCK_TEST_ENDPOINT"));
  for (;;) {
    int64_t lease = client.grant(2);
    v3lockpb::LockResponse locked;
    if (client.lock("m", lease, &locked) != "OK") continue;
    // Both keys go with the lease, in one revision.
    if (!client.create("inside", lease)) std::abort();
    ::pause();
  }
}

std::unique_ptr<Process> start_child(const std::string& endpoint, const std::string& output) {
  Command command;
  command.argv = {std::filesystem::read_symlink("/proc/self/exe").string(),
                  "--gtest_filter=LockChild.DISABLED_LocksAndHolds",
                  "--gtest_also_run_disabled_tests"};
  command.env = {"LOCK_TEST_ENDPOINT=" + endpoint};
  command.output_path = output;
  auto process = Process::start(command);
  EXPECT_EQ(process.status().message(), "");
  return process.ok() ? std::move(*process) : nullptr;
}

// One of the fifty: locks, is inside alone or gives up early, unlocks.
void contend(LockClient& client, uint64_t seed, int rounds, std::atomic<int>* entered) {
  std::mt19937_64 random(seed);
  for (int i = 0; i < rounds; ++i) {
    int64_t lease = client.grant();
    v3lockpb::LockResponse locked;
    grpc::ClientContext context;
    std::thread canceler;
    if (random() % 3 == 0) {
      canceler = std::thread([&context, ms = random() % 30] {
        std::this_thread::sleep_for(std::chrono::milliseconds(ms));
        context.TryCancel();
      });
    }
    std::string status = client.lock("m", lease, &locked, &context);
    if (canceler.joinable()) canceler.join();
    if (status == "OK") {
      EXPECT_TRUE(client.create("inside", lease)) << "somebody else is inside";
      entered->fetch_add(1);
      client.remove("inside");
      EXPECT_EQ(client.unlock(locked.key()), "OK");
    } else {
      EXPECT_THAT(status, ::testing::StartsWith("1 "));
      // The lock may have been won and the answer lost; what is left goes with the lease.
      client.revoke(lease);
    }
  }
}

TEST_P(LockTest, FiftyContendersOfWhomSomeAreCanceledOrKilledAreAlone) {
  constexpr int kThreads = 44, kChildren = 6, kRounds = 6;
  std::vector<std::unique_ptr<Process>> children(kChildren);
  std::atomic<int> entered{0}, running{kThreads};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.push_back(in_background([&, i](LockClient& client) {
      contend(client, static_cast<uint64_t>(i) + 1, kRounds, &entered);
      --running;
    }));
  }
  std::string output = node_->dir() + "/children";
  std::mt19937_64 random(7);
  while (running > 0) {
    auto& child = children[random() % kChildren];
    if (child != nullptr) {
      EXPECT_TRUE(child->running()) << read_text(output);
    }
    child = nullptr;  // Killed, whether it waits or holds.
    child = start_child(node_->endpoint(), output);
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 100));
  }
  children.clear();
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(entered, kThreads);
  // All that the killed held or waited for goes, and the next one gets it.
  EXPECT_EQ(client_->lock("m", client_->grant()), "OK");
  client_->wait_for_count("m/", 1);
}

TEST_P(LockTest, AnswersOfAnElection) {
  int64_t lease = client_->grant();
  v3electionpb::LeaderResponse leader;
  EXPECT_EQ(client_->leader("e", &leader), "2 election: no leader");
  v3electionpb::CampaignResponse won;
  EXPECT_EQ(client_->campaign("e", lease, "v1", &won), "OK");
  EXPECT_EQ(won.leader().name(), "e");
  EXPECT_EQ(won.leader().key(), "e/" + hex(lease));
  EXPECT_EQ(won.leader().rev(), won.header().revision());
  EXPECT_EQ(won.leader().lease(), lease);
  v3electionpb::CampaignResponse again;
  EXPECT_EQ(client_->campaign("e", lease, "v2", &again), "OK");
  EXPECT_EQ(again.leader().rev(), won.leader().rev());
  EXPECT_EQ(client_->leader("e", &leader), "OK");
  EXPECT_EQ(leader.kv().value(), "v2");
  EXPECT_EQ(leader.kv().lease(), lease);
  EXPECT_EQ(leader.header().revision(), leader.kv().mod_revision());
  EXPECT_EQ(client_->proclaim(won.leader(), "v3"), "OK");
  EXPECT_EQ(client_->leader("e", &leader), "OK");
  EXPECT_EQ(leader.kv().value(), "v3");
  v3electionpb::LeaderKey other = won.leader();
  other.set_rev(other.rev() + 1);
  EXPECT_EQ(client_->proclaim(other, "x"), "2 election: not leader");
  EXPECT_EQ(client_->resign(other), "OK");
  other = won.leader();
  other.set_lease(777);
  EXPECT_EQ(client_->proclaim(other, "x"), "2 etcdserver: requested lease not found");
  other.clear_key();
  EXPECT_EQ(client_->proclaim(other, "x"), "2 etcdserver: key is not provided");
  EXPECT_EQ(client_->resign(other), "2 etcdserver: key is not provided");
  EXPECT_EQ(client_->leader("e", &leader), "OK") << "only the right key resigns";
  EXPECT_EQ(client_->resign(won.leader()), "OK");
  EXPECT_EQ(client_->resign(won.leader()), "OK");
  EXPECT_EQ(client_->proclaim(won.leader(), "x"), "2 election: not leader");
  EXPECT_EQ(client_->campaign("e", 999, "v", &won), "2 etcdserver: requested lease not found");
  v3electionpb::ProclaimResponse proclaimed;
  EXPECT_EQ(status_text(client_->call(client_->election(), &Election::Proclaim,
                                      v3electionpb::ProclaimRequest(), &proclaimed)),
            "2 \"leader\" field must be provided");
  v3electionpb::ResignResponse resigned;
  EXPECT_EQ(status_text(client_->call(client_->election(), &Election::Resign,
                                      v3electionpb::ResignRequest(), &resigned)),
            "2 \"leader\" field must be provided");
}

// Reads a stream of leaders on a thread of its own.
class Observing {
 public:
  Observing(LockClient* client, const std::string& name) {
    v3electionpb::LeaderRequest request;
    request.set_name(name);
    stream_ = client->election().Observe(&context_, request);
    thread_ = std::thread([this] {
      v3electionpb::LeaderResponse response;
      while (stream_->Read(&response)) {
        std::lock_guard lock(mutex_);
        seen_.push_back(response);
        changed_.notify_all();
      }
    });
  }
  ~Observing() {
    context_.TryCancel();
    thread_.join();
    std::ignore = stream_->Finish();
  }
  // The value of response number `index`, once it has come.
  std::string value(size_t index) { return response(index).kv().value(); }
  v3electionpb::LeaderResponse response(size_t index) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kCallBound, [&] { return seen_.size() > index; })) {
      ADD_FAILURE() << "no response number " << index;
      return {};
    }
    return seen_[index];
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v3electionpb::LeaderResponse>> stream_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<v3electionpb::LeaderResponse> seen_;
  std::thread thread_;
};

TEST_P(LockTest, ObserversSeeEachLeaderInOrder) {
  constexpr int kLeaders = 10;
  Observing early(client_.get(), "e");
  std::vector<std::thread> threads;
  std::promise<void> all_are_there;
  std::shared_future<void> may_resign = all_are_there.get_future().share();
  for (int i = 0; i < kLeaders; ++i) {
    threads.push_back(in_background([&, i](LockClient& client) {
      v3electionpb::CampaignResponse won;
      EXPECT_EQ(client.campaign("e", client.grant(), std::to_string(i), &won), "OK");
      EXPECT_EQ(early.value(2 * static_cast<size_t>(i)), std::to_string(i));
      EXPECT_EQ(client.proclaim(won.leader(), std::to_string(i) + "!"), "OK");
      EXPECT_EQ(early.value(2 * static_cast<size_t>(i) + 1), std::to_string(i) + "!");
      Observing late(&client, "e");
      EXPECT_EQ(late.value(0), std::to_string(i) + "!");
      may_resign.wait();
      EXPECT_EQ(client.resign(won.leader()), "OK");
    }));
    client_->wait_for_count("e/", i + 1);
  }
  all_are_there.set_value();
  for (std::thread& thread : threads) thread.join();
}

TEST_P(LockTest, ObserversGoOnOverACompaction) {
  Observing observing(client_.get(), "e");
  v3electionpb::CampaignResponse won, next;
  ASSERT_EQ(client_->campaign("e", client_->grant(), "a", &won), "OK");
  EXPECT_EQ(observing.value(0), "a");
  int64_t revision = 0;
  ASSERT_TRUE(client_->put("x", "v", &revision).ok());
  etcdserverpb::CompactionRequest compaction;
  compaction.set_revision(revision);
  etcdserverpb::CompactionResponse compacted;
  ASSERT_TRUE(client_->call(client_->kv(), &KV::Compact, compaction, &compacted).ok());
  ASSERT_EQ(client_->proclaim(won.leader(), "b"), "OK");
  EXPECT_EQ(observing.value(1), "b");
  ASSERT_EQ(client_->resign(won.leader()), "OK");
  ASSERT_EQ(client_->campaign("e", client_->grant(), "c", &next), "OK");
  EXPECT_EQ(observing.value(2), "c");
  EXPECT_EQ(observing.response(2).header().revision(), next.leader().rev());
}

TEST_P(LockTest, Health) {
  auto health = grpc::health::v1::Health::NewStub(client_->channel());
  using Health = grpc::health::v1::Health::Stub;
  grpc::health::v1::HealthCheckRequest request;
  grpc::health::v1::HealthCheckResponse response;
  EXPECT_EQ(status_text(client_->call(*health, &Health::Check, request, &response)), "OK");
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
  grpc::health::v1::HealthListResponse list;
  EXPECT_TRUE(
      client_->call(*health, &Health::List, grpc::health::v1::HealthListRequest(), &list).ok());
  EXPECT_EQ(list.statuses().size(), 1U);
  for (const auto& [service, status] :
       {std::pair("", grpc::health::v1::HealthCheckResponse::SERVING),
        std::pair("absent", grpc::health::v1::HealthCheckResponse::SERVICE_UNKNOWN)}) {
    request.set_service(service);
    grpc::ClientContext context;
    auto stream = health->Watch(&context, request);
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.status(), status);
    context.TryCancel();
    EXPECT_FALSE(stream->Read(&response));
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  EXPECT_EQ(status_text(client_->call(*health, &Health::Check, request, &response)),
            "5 unknown service");
}

INSTANTIATE_TEST_SUITE_P(Backends, LockTest, ::testing::Values("rocksdb", "lmdb"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace mortise::testing
