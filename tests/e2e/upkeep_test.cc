// Compaction, its hashes, defragmentation and leases of a whole server, on each backend. Numbers
// and orders are those of etcd 3.7.1.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <thread>

#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

namespace pb = ::etcdserverpb;
using KV = pb::KV::Stub;
using Lease = pb::Lease::Stub;
using Maintenance = pb::Maintenance::Stub;

class UpkeepTest : public ::testing::TestWithParam<std::string> {
 protected:
  void start(std::vector<std::string> flags = {}) {
    node_.emplace(mortise_target(GetParam()), NodeOptions{.flags = std::move(flags)});
    ASSERT_EQ(node_->start().message(), "");
    client_.emplace(node_->endpoint());
  }
  void restart(std::vector<std::string> flags = {}) {
    client_.reset();
    ASSERT_TRUE(node_->stop().has_value());
    node_->options().flags = std::move(flags);
    ASSERT_EQ(node_->start().message(), "");
    client_.emplace(node_->endpoint());
  }
  void put(const std::string& key, const std::string& value, int64_t lease = 0) {
    ASSERT_TRUE(client_->put(key, value, &revision_, lease).ok());
  }
  std::string compact(int64_t revision, bool physical = true) {
    pb::CompactionRequest request;
    request.set_revision(revision);
    request.set_physical(physical);
    pb::CompactionResponse response;
    return status_text(client_->call(client_->kv(), &KV::Compact, request, &response));
  }
  // "hash compact_revision hash_revision", or the error.
  std::string hash(int64_t revision) {
    pb::HashKVResponse r;
    grpc::Status status = client_->hash_kv(revision, &r);
    if (!status.ok()) return status_text(status);
    return std::to_string(r.hash()) + " " + std::to_string(r.compact_revision()) + " " +
           std::to_string(r.hash_revision());
  }
  int64_t grant(int64_t id, int64_t ttl) {
    pb::LeaseGrantRequest request;
    request.set_id(id);
    request.set_ttl(ttl);
    pb::LeaseGrantResponse response;
    EXPECT_TRUE(client_->call(client_->lease(), &Lease::LeaseGrant, request, &response).ok());
    return response.ttl();
  }
  pb::StatusResponse status() {
    pb::StatusResponse response;
    EXPECT_TRUE(client_->status(&response).ok());
    return response;
  }
  // Lines of the log with this message.
  std::vector<nlohmann::json> logged(const std::string& message) {
    std::vector<nlohmann::json> out;
    std::istringstream log(node_->log());
    for (std::string line; std::getline(log, line);) {
      auto json = nlohmann::json::parse(line, nullptr, false);
      if (!json.is_discarded() && json["msg"] == message) out.push_back(json);
    }
    return out;
  }
  // Asks again until it is so.
  template <typename Condition>
  static bool wait_until(Condition condition) {
    auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return true;
  }

  std::optional<Node> node_;
  std::optional<Client> client_;
  int64_t revision_ = 0;
};

TEST_P(UpkeepTest, CompactionsLeaveTheirHashes) {
  const std::string compacted = "11 etcdserver: mvcc: required revision has been compacted";
  start();
  put("a", "1");
  put("b", "1");
  put("a", "2");
  pb::DeleteRangeRequest del;
  del.set_key("b");
  pb::DeleteRangeResponse deleted;
  ASSERT_TRUE(client_->call(client_->kv(), &KV::DeleteRange, del, &deleted).ok());
  put("c", "1");
  EXPECT_EQ(compact(4), "OK");
  EXPECT_EQ(hash(4), "3086679940 -1 4");
  put("a", "3");
  EXPECT_EQ(compact(6), "OK");
  EXPECT_EQ(hash(4), "3086679940 -1 4") << "still, though it cannot be read any more";
  EXPECT_EQ(hash(5), compacted);
  EXPECT_EQ(hash(6), "2664599291 4 6");
  EXPECT_EQ(hash(7), "643951048 6 7");
  EXPECT_EQ(hash(0), "643951048 6 7");
  EXPECT_EQ(logged("storing new hash").size(), 2u);
  EXPECT_EQ(logged("finished scheduled compaction").back()["hash"], 2664599291);
  // Hashes are in memory, as etcd's are.
  restart();
  EXPECT_EQ(hash(4), compacted);
  EXPECT_EQ(hash(7), "643951048 6 7");
}

TEST_P(UpkeepTest, APhysicalCompactionIsAnsweredWhenItsRowsAreGone) {
  start({"--compaction-batch-limit=7", "--compaction-sleep-interval=1ms"});
  for (int i = 0; i < 101; ++i) put("k", std::to_string(i));
  EXPECT_EQ(compact(revision_), "OK");
  auto finished = logged("finished scheduled compaction");
  ASSERT_EQ(finished.size(), 1u);
  EXPECT_EQ(finished[0]["compact-revision"], revision_);
  EXPECT_EQ(finished[0]["number-of-keys-compacted"], 100);
  for (const char* field : {"took", "current-db-size", "current-db-size-bytes",
                            "current-db-size-in-use", "current-db-size-in-use-bytes"}) {
    EXPECT_TRUE(finished[0].contains(field)) << field;
  }
}

TEST_P(UpkeepTest, AnInterruptedCompactionIsTakenUpAtTheNextStart) {
  start({"--compaction-batch-limit=1", "--compaction-sleep-interval=1h"});
  for (int i = 0; i < 20; ++i) put("k", std::to_string(i));
  EXPECT_EQ(compact(revision_, /*physical=*/false), "OK");
  int64_t compacted = revision_;
  restart();
  ASSERT_TRUE(wait_until([&] { return !logged("finished scheduled compaction").empty(); }));
  EXPECT_EQ(logged("finished scheduled compaction")[0]["compact-revision"], compacted);
  EXPECT_TRUE(wait_until([&] {
    return logged("previous compaction was interrupted, skip storing compaction hash value")
               .size() == 1;
  }));
  put("k", "new");
  EXPECT_EQ(compact(revision_), "OK");
  EXPECT_EQ(logged("storing new hash").size(), 1u);
}

TEST_P(UpkeepTest, CompactsByItselfAfterTheRetention) {
  start({"--auto-compaction-retention=200ms"});
  put("k", "first");
  EXPECT_TRUE(wait_until([&] {
    put("k", "again");
    return logged("completed auto periodic compaction").size() >= 2;
  }));
  auto started = logged("starting auto periodic compaction");
  ASSERT_GE(started.size(), 2u);
  EXPECT_EQ(started[0]["compact-period"], "200ms");
  int64_t at = started[0]["revision"];
  EXPECT_GE(at, 1);
  EXPECT_LT(at, started[1]["revision"]);
  pb::RangeRequest request;
  request.set_key("k");
  request.set_revision(at - 1 > 0 ? at - 1 : 1);
  pb::RangeResponse response;
  EXPECT_FALSE(client_->range(request, &response).ok());
}

// Values that do not compress, so that sizes mean something.
std::string random_value(size_t size, std::mt19937* random) {
  std::string value(size, '\0');
  for (char& c : value) c = static_cast<char>((*random)());
  return value;
}

TEST_P(UpkeepTest, DefragmentationLowersTheSize) {
  start();
  std::mt19937 random(7);
  constexpr int kKeys = 100, kRounds = 80;
  for (int round = 0; round < kRounds; ++round) {
    pb::TxnRequest txn;
    for (int i = 0; i < kKeys; ++i) {
      auto* put = txn.add_success()->mutable_request_put();
      put->set_key("k" + std::to_string(i));
      put->set_value(random_value(2000, &random));
    }
    pb::TxnResponse response;
    ASSERT_TRUE(client_->call(client_->kv(), &KV::Txn, txn, &response).ok());
    revision_ = response.header().revision();
  }
  auto defragment = [&] {
    pb::DefragmentResponse response;
    EXPECT_TRUE(client_
                    ->call(client_->maintenance(), &Maintenance::Defragment,
                           pb::DefragmentRequest(), &response)
                    .ok());
    EXPECT_FALSE(response.has_header());
  };
  defragment();  // Also brings everything to the disk.
  constexpr int64_t kBytes = int64_t{kKeys} * kRounds * 2000;
  pb::StatusResponse before = status();
  EXPECT_GT(before.dbsize(), kBytes);
  EXPECT_LE(before.dbsizeinuse(), before.dbsize());
  EXPECT_GT(before.dbsizeinuse(), kBytes);
  EXPECT_EQ(compact(revision_), "OK");
  defragment();
  // Files of which somebody still had a view go a moment later.
  EXPECT_TRUE(wait_until([&] { return status().dbsize() < before.dbsize() / 4; }));
  EXPECT_LT(status().dbsizeinuse(), before.dbsizeinuse() / 4);
  EXPECT_EQ(hash(revision_).substr(hash(revision_).find(' ')), " -1 " + std::to_string(revision_));
}

TEST_P(UpkeepTest, AnExpiredLeaseTakesItsKeysInOneRevision) {
  start();
  auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(grant(5, 1), 2) << "raised to the least";
  for (const char* key : {"b", "c", "a"}) put(key, "v", 5);
  grpc::ClientContext context;
  auto stream = client_->watch().Watch(&context);
  pb::WatchRequest request;
  request.mutable_create_request()->set_key(std::string(1, '\0'));
  request.mutable_create_request()->set_range_end(std::string(1, '\0'));
  request.mutable_create_request()->set_start_revision(revision_ + 1);
  ASSERT_TRUE(stream->Write(request));
  pb::WatchResponse response;
  ASSERT_TRUE(stream->Read(&response));
  ASSERT_TRUE(response.created());
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_GE(std::chrono::steady_clock::now() - begun, std::chrono::seconds(2)) << "early";
  std::string seen;
  for (const auto& event : response.events()) {
    EXPECT_EQ(event.type(), mvccpb::Event::DELETE);
    EXPECT_EQ(event.kv().mod_revision(), revision_ + 1);
    seen += event.kv().key();
  }
  EXPECT_EQ(seen, "abc");
  context.TryCancel();
}

TEST_P(UpkeepTest, KeepAliveStreamsAnswerInOrderAndEndWithTheClient) {
  start();
  grant(30, 300);
  grant(10, 100);
  grant(20, 200);
  grpc::ClientContext context;
  auto stream = client_->lease().LeaseKeepAlive(&context);
  for (int64_t id : {10, 404, 20}) {
    pb::LeaseKeepAliveRequest request;
    request.set_id(id);
    ASSERT_TRUE(stream->Write(request));
  }
  ASSERT_TRUE(stream->WritesDone());
  std::string answers;
  for (pb::LeaseKeepAliveResponse response; stream->Read(&response);) {
    EXPECT_EQ(response.header().revision(), 1);
    answers += std::to_string(response.id()) + ":" + std::to_string(response.ttl()) + " ";
  }
  EXPECT_EQ(answers, "10:100 404:0 20:200 ");
  EXPECT_TRUE(stream->Finish().ok());

  pb::LeaseLeasesResponse leases;
  ASSERT_TRUE(
      client_->call(client_->lease(), &Lease::LeaseLeases, pb::LeaseLeasesRequest(), &leases).ok());
  std::string order;
  for (const auto& lease : leases.leases()) order += std::to_string(lease.id()) + " ";
  EXPECT_EQ(order, "10 20 30 ");
}

TEST_P(UpkeepTest, ALeaseWithManyKeysAndManyLeasesAreRevoked) {
  start();
  constexpr int kLeases = 300;
  // On a slow machine a lease may end before its key comes; then it is granted again.
  for (int id = 1; id <= kLeases; ++id) {
    grpc::Status status;
    do {
      grant(id, 2);
      status = client_->put("k" + std::to_string(id), "v", &revision_, id);
    } while (status.error_message() == "etcdserver: requested lease not found");
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  EXPECT_TRUE(wait_until([&] {
    pb::LeaseLeasesResponse leases;
    EXPECT_TRUE(
        client_->call(client_->lease(), &Lease::LeaseLeases, pb::LeaseLeasesRequest(), &leases)
            .ok());
    return leases.leases_size() == 0;
  }));
  pb::RangeRequest request;
  request.set_key("k");
  request.set_range_end("l");
  request.set_count_only(true);
  pb::RangeResponse response;
  ASSERT_TRUE(client_->range(request, &response).ok());
  EXPECT_EQ(response.count(), 0);
}

INSTANTIATE_TEST_SUITE_P(Backends, UpkeepTest, ::testing::Values("rocksdb", "lmdb"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace mortise::testing
