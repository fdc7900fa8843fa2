// Downgrade, small quotas and the NOSPACE alarm, and the lines that the log has about slow
// requests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <thread>

#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

using namespace etcdserverpb;  // NOLINT: names of messages only.
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class MaintenanceTest : public ::testing::TestWithParam<std::string> {
 protected:
  void start(std::vector<std::string> flags) {
    node_ = std::make_unique<Node>(mortise_target(GetParam()),
                                   NodeOptions{.flags = std::move(flags), .in_memory = true});
    ASSERT_EQ(node_->start().message(), "");
    client_ = std::make_unique<Client>(node_->endpoint());
  }
  void restart() {
    ASSERT_TRUE(node_->stop().has_value());
    ASSERT_EQ(node_->start().message(), "");
    client_ = std::make_unique<Client>(node_->endpoint());
  }
  StatusResponse status() {
    StatusResponse response;
    EXPECT_EQ(status_text(client_->status(&response)), "OK");
    return response;
  }
  std::vector<std::string> errors() {
    StatusResponse response = status();
    return {response.errors().begin(), response.errors().end()};
  }
  std::string downgrade(DowngradeRequest::DowngradeAction action, const std::string& version) {
    DowngradeRequest request;
    request.set_action(action);
    request.set_version(version);
    DowngradeResponse response;
    grpc::Status s =
        client_->call(client_->maintenance(), &Maintenance::Stub::Downgrade, request, &response);
    return s.ok() ? response.version() : status_text(s);
  }
  std::string alarm(AlarmRequest::AlarmAction action, AlarmType type, uint64_t member) {
    AlarmRequest request;
    request.set_action(action);
    request.set_alarm(type);
    request.set_memberid(member);
    AlarmResponse response;
    return status_text(
        client_->call(client_->maintenance(), &Maintenance::Stub::Alarm, request, &response));
  }
  std::string put(const std::string& key, const std::string& value) {
    return status_text(client_->put(key, value));
  }
  void wait_until(const std::function<bool()>& holds) {
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!holds() && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_TRUE(holds());
  }
  std::string line_with(const std::string& text) {
    std::istringstream lines(node_->log());
    for (std::string line; std::getline(lines, line);) {
      if (line.find(text) != std::string::npos) return line;
    }
    return "no line with " + text;
  }

  std::unique_ptr<Node> node_;
  std::unique_ptr<Client> client_;
};

TEST_P(MaintenanceTest, DowngradeIsFollowedAndKept) {
  start({});
  EXPECT_EQ(status().storageversion(), "3.7.0");
  EXPECT_FALSE(status().downgradeinfo().enabled());
  EXPECT_EQ(downgrade(DowngradeRequest::VALIDATE, "3.6"), "3.7");
  EXPECT_EQ(downgrade(DowngradeRequest::ENABLE, "3.6.2"), "3.7");
  EXPECT_TRUE(status().downgradeinfo().enabled());
  EXPECT_EQ(status().downgradeinfo().targetversion(), "3.6.0");
  wait_until([&] { return status().storageversion() == "3.6.0"; });
  restart();
  EXPECT_EQ(status().storageversion(), "3.6.0");
  EXPECT_EQ(status().downgradeinfo().targetversion(), "3.6.0");
  EXPECT_EQ(downgrade(DowngradeRequest::ENABLE, "3.5"),
            "9 etcdserver: cluster has a downgrade job in progress");
  EXPECT_EQ(downgrade(DowngradeRequest::CANCEL, ""), "3.6");
  EXPECT_FALSE(status().downgradeinfo().enabled());
  EXPECT_EQ(status().downgradeinfo().targetversion(), "");
  wait_until([&] { return status().storageversion() == "3.7.0"; });
  restart();
  EXPECT_EQ(status().storageversion(), "3.7.0");
}

// The quota of etcd's own test of alarms: 13 pages.
TEST_P(MaintenanceTest, SmallQuota) {
  start({"--quota-backend-bytes=53248"});
  const std::string no_space = "8 etcdserver: mvcc: database space exceeded";
  EXPECT_EQ(status().dbsizequota(), 53248);
  EXPECT_EQ(put("small", std::string(64, 'a')), "OK");
  std::string last;
  for (int i = 0; i < 100 && last != no_space; ++i) last = put("big", std::string(4096, 'b'));
  EXPECT_EQ(last, no_space);
  const std::string text =
      "memberID:" + std::to_string(status().header().member_id()) + " alarm:NOSPACE";
  EXPECT_THAT(errors(), ElementsAre(text)) << "who is refused finds the alarm";
  EXPECT_EQ(put("small", "a"), no_space);
  restart();
  EXPECT_THAT(errors(), ElementsAre(text));
  EXPECT_EQ(put("small", "a"), no_space);

  DeleteRangeRequest del;
  del.set_key("big");
  DeleteRangeResponse deleted;
  ASSERT_TRUE(client_->call(client_->kv(), &KV::Stub::DeleteRange, del, &deleted).ok());
  CompactionRequest compaction;
  compaction.set_revision(deleted.header().revision());
  compaction.set_physical(true);
  CompactionResponse compacted;
  ASSERT_TRUE(client_->call(client_->kv(), &KV::Stub::Compact, compaction, &compacted).ok());
  DefragmentResponse defragmented;
  ASSERT_TRUE(client_
                  ->call(client_->maintenance(), &Maintenance::Stub::Defragment,
                         DefragmentRequest(), &defragmented)
                  .ok());
  EXPECT_EQ(put("small", "a"), no_space);  // Until the alarm is disarmed.
  EXPECT_EQ(alarm(AlarmRequest::DEACTIVATE, NOSPACE, status().header().member_id()), "OK");
  EXPECT_THAT(errors(), ElementsAre());
  EXPECT_EQ(put("small", "a"), "OK");
}

// Space that a defragmentation frees is given back although nothing is written afterwards.
TEST_P(MaintenanceTest, DefragmentLowersTheSizeAtOnce) {
  start({});
  int64_t revision = 0;
  std::mt19937 random(1);
  std::string value(1000000, '\0');  // That no backend can compress.
  for (int i = 0; i < 40; ++i) {
    for (char& c : value) c = static_cast<char>(random());
    ASSERT_TRUE(client_->put("big", value, &revision).ok());
  }
  DefragmentResponse response;
  auto defragment = [&] {
    return status_text(client_->call(client_->maintenance(), &Maintenance::Stub::Defragment,
                                     DefragmentRequest(), &response));
  };
  EXPECT_GT(status().dbsize(), 39'000'000) << "what is in memory only counts, too";
  EXPECT_EQ(defragment(), "OK");
  EXPECT_GT(status().dbsize(), 39'000'000);
  CompactionRequest compaction;
  compaction.set_revision(revision);
  compaction.set_physical(true);
  CompactionResponse compacted;
  ASSERT_TRUE(client_->call(client_->kv(), &KV::Stub::Compact, compaction, &compacted).ok());
  EXPECT_EQ(defragment(), "OK");
  // One version, twice, and what an empty store takes.
  EXPECT_LT(status().dbsize(), 5000000);
}

TEST_P(MaintenanceTest, AlarmsInStatus) {
  start({});
  EXPECT_EQ(alarm(AlarmRequest::ACTIVATE, CORRUPT, 7), "OK");
  EXPECT_EQ(alarm(AlarmRequest::ACTIVATE, NOSPACE, 0), "OK");
  EXPECT_EQ(alarm(AlarmRequest::ACTIVATE, static_cast<AlarmType>(9), 3), "OK");
  EXPECT_THAT(errors(),
              ElementsAre("alarm:NOSPACE", "memberID:3 alarm:9", "memberID:7 alarm:CORRUPT"));
}

TEST_P(MaintenanceTest, SlowRequestsAreLogged) {
  start({"--warning-apply-duration=1ns", "--warning-unary-request-duration=1ns"});
  ASSERT_EQ(put("key", "value"), "OK");
  RangeRequest range;
  range.set_key("key");
  range.set_keys_only(true);
  RangeResponse response;
  ASSERT_TRUE(client_->range(range, &response).ok());
  TxnRequest txn;
  auto* compare = txn.add_compare();
  compare->set_key("key");
  compare->set_target(Compare::VALUE);
  compare->set_value("other");
  auto* op = txn.add_failure()->mutable_request_put();
  op->set_key(std::string("a\0\"\n", 4));
  op->set_value("1234");
  TxnResponse answer;
  ASSERT_TRUE(client_->call(client_->kv(), &KV::Stub::Txn, txn, &answer).ok());
  EXPECT_THAT(line_with(R"("response type":"/etcdserverpb.KV/Put")"),
              AllOf(HasSubstr(R"("level":"warn")"), HasSubstr(R"("caller":"api/request_stats.cc:)"),
                    HasSubstr(R"("msg":"request stats","start time":")"),
                    HasSubstr(R"(,"time spent":")"), HasSubstr(R"(,"remote":"127.0.0.1:)"),
                    HasSubstr(R"("request count":1,"request size":12,"response count":0,)"
                              R"("response size":)"),
                    HasSubstr(R"("request content":"key:\"key\" value_size:5 "})")));
  EXPECT_THAT(line_with(R"("response type":"/etcdserverpb.KV/Range")"),
              AllOf(HasSubstr(R"("request count":0,"request size":7,"response count":1,)"),
                    HasSubstr(R"("request content":"key:\"key\" keys_only:true"})")));
  EXPECT_THAT(line_with(R"("response type":"/etcdserverpb.KV/Txn")"),
              AllOf(HasSubstr(R"("request count":1,"request size":14,"response count":0,)"),
                    HasSubstr(R"(compare:<target:VALUE key:\"key\" value_size:5 > success:<> )"
                              R"(failure:<request_put:<key:\"a\\000\\\"\\n\" value_size:4 >>)")));
  EXPECT_THAT(line_with("put:<key:"),
              AllOf(HasSubstr(R"("msg":"apply request took too long","took":")"),
                    HasSubstr(R"("expected-duration":"1ns","prefix":"","request":"header:<ID:)"),
                    HasSubstr(R"(> put:<key:\"key\" value_size:5 >","response":"size:4"})")));
  EXPECT_THAT(line_with("read-only range "),
              AllOf(HasSubstr(R"("msg":"apply request took too long","took":")"),
                    HasSubstr(R"("request":"key:\"key\" keys_only:true",)"
                              R"("response":"range_response_count:1 size:19"})")));
}

TEST_P(MaintenanceTest, FailedRequestsAreLogged) {
  start({});
  LeaseRevokeRequest revoke;
  revoke.set_id(77);
  LeaseRevokeResponse response;
  ASSERT_FALSE(client_->call(client_->lease(), &Lease::Stub::LeaseRevoke, revoke, &response).ok());
  EXPECT_THAT(line_with("failed to apply request"),
              AllOf(HasSubstr(R"(lease_revoke:<id:000000000000004d>","response":"")"),
                    HasSubstr(R"("error":")")));
}

INSTANTIATE_TEST_SUITE_P(Backends, MaintenanceTest, ::testing::Values("rocksdb", "lmdb"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace mortise::testing
