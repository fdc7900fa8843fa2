// Members whose data differs from the others': a row of a stopped member's store is changed, and
// each of the checks has to find it. RocksDB and LMDB mixed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "host/loader/host_services.h"
#include "host/loader/loader.h"
#include "host/mvcc/revision.h"
#include "host/store/store.h"
#include "host/wire/key_value.h"
#include "tests/lib/cluster.h"

namespace mortise::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using KvStub = etcdserverpb::KV::Stub;
using MaintenanceStub = etcdserverpb::Maintenance::Stub;

constexpr const char* kCorrupt = "15 etcdserver: corrupt cluster";

// What is changed in the KeyValue of a key.
enum class Damage {
  kValue,    // Of its revision, as HashKV sees it.
  kVersion,  // Of its newest state: nothing that HashKV sees, but the next put goes on from there.
};

void damage(const Node& node, const std::string& key, Damage what) {
  const char* build = std::getenv("MORTISE_BUILD_DIR");
  ASSERT_NE(build, nullptr);
  auto plugin =
      loader::load(node.target().backend, {std::string(build) + "/plugins"}, "backend_").value();
  loader::HostObject host{loader::HostOptions{}};
  auto store = store::Store::open(loader::backend(*plugin).value(), host.get(),
                                  node.data_dir() + "/member/store", "{}")
                   .value();
  store::Reader reader = store->reader().value();
  bool found = false;
  std::string_view bytes;
  ASSERT_TRUE(reader.get(store::kCurrent, key, &found, &bytes).ok());
  ASSERT_TRUE(found) << key;
  std::string old(bytes);
  wire::KeyValue kv;
  ASSERT_TRUE(wire::decode_key_value(old, &kv));
  std::string value(kv.value);
  if (what == Damage::kValue) {
    value.back() ^= 1;
    kv.value = value;
  } else {
    kv.version += 7;
  }
  std::string changed(wire::key_value_size(kv), '\0');
  wire::write_key_value(changed.data(), kv);
  std::string revision = mvcc::encode_revision({kv.mod_revision, 0});
  reader.close();
  store::WriteBatch batch;
  if (what == Damage::kValue) {
    batch.put(store::kRevisions, revision, changed);
  } else {
    batch.put(store::kCurrent, key, changed);
  }
  uint64_t index = 0, term = 0;
  ASSERT_TRUE(store->applied(&index, &term).ok());
  ASSERT_TRUE(store->commit(batch, index, term, /*sync=*/true).ok());
}

class CorruptionTest : public ::testing::Test {
 protected:
  void start(std::vector<std::string> flags) {
    cluster_ = std::make_unique<Cluster>(cluster_targets("mixed"), ClusterOptions{flags});
    ASSERT_EQ(cluster_->start().message(), "");
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(cluster_->client(0).put("k" + std::to_string(i), "value").ok());
    }
  }
  size_t leader() {
    auto found = cluster_->wait_leader();
    EXPECT_TRUE(found.ok()) << found.status().message();
    return found.ok() ? *found : 0;
  }
  void stop_and_damage(size_t member, Damage what) {
    ASSERT_TRUE(cluster_->stop(member));
    damage(cluster_->node(member), "k7", what);
  }

  // The members that have raised CORRUPT, as `asked` tells them.
  std::vector<uint64_t> alarms(size_t asked) {
    etcdserverpb::AlarmRequest request;
    request.set_action(etcdserverpb::AlarmRequest::GET);
    request.set_alarm(etcdserverpb::CORRUPT);
    etcdserverpb::AlarmResponse response;
    auto& client = cluster_->client(asked);
    (void)client.call(client.maintenance(), &MaintenanceStub::Alarm, request, &response,
                      std::chrono::milliseconds(2000));
    std::vector<uint64_t> ids;
    for (const auto& alarm : response.alarms()) ids.push_back(alarm.memberid());
    return ids;
  }
  void expect_alarm_for(size_t member, size_t asked) {
    std::vector<uint64_t> raised;
    EXPECT_TRUE(Cluster::wait_for([&] { return !(raised = alarms(asked)).empty(); }))
        << cluster_->logs();
    EXPECT_EQ(raised, std::vector<uint64_t>{cluster_->id(member)});
  }
  void disarm(size_t asked, uint64_t id) {
    etcdserverpb::AlarmRequest request;
    request.set_action(etcdserverpb::AlarmRequest::DEACTIVATE);
    request.set_alarm(etcdserverpb::CORRUPT);
    request.set_memberid(id);
    etcdserverpb::AlarmResponse response;
    auto& client = cluster_->client(asked);
    grpc::Status status =
        client.call(client.maintenance(), &MaintenanceStub::Alarm, request, &response);
    EXPECT_TRUE(status.ok()) << status_text(status);
  }
  std::string read(size_t member) {
    etcdserverpb::RangeRequest request;
    request.set_key("k1");
    request.set_serializable(true);
    etcdserverpb::RangeResponse response;
    return status_text(cluster_->client(member).range(request, &response));
  }
  std::string put(size_t member) { return status_text(cluster_->client(member).put("k7", "new")); }

  std::unique_ptr<Cluster> cluster_;
};

TEST_F(CorruptionTest, AMemberThatDiffersDoesNotStart) {
  start({});
  stop_and_damage(1, Damage::kValue);
  ASSERT_TRUE(cluster_->launch(1).ok());
  auto exit = cluster_->node(1).wait();
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->code, 1);
  EXPECT_THAT(cluster_->node(1).log(), HasSubstr("found data inconsistency with peers"));
  EXPECT_TRUE(alarms(0).empty());
  EXPECT_EQ(put(0), "OK");
}

TEST_F(CorruptionTest, TheLeadersComparisonFindsIt) {
  start({"--feature-gates=InitialCorruptCheck=false", "--corrupt-check-time=1s"});
  size_t member = (leader() + 1) % 3;
  stop_and_damage(member, Damage::kValue);
  // It may be found before it serves.
  ASSERT_EQ(cluster_->launch(member).message(), "");
  expect_alarm_for(member, leader());
}

TEST_F(CorruptionTest, CompactionsFindIt) {
  start({"--feature-gates=InitialCorruptCheck=false", "--corrupt-check-time=0s",
         "--compact-hash-check-time=1s"});
  size_t member = (leader() + 1) % 3;
  stop_and_damage(member, Damage::kValue);
  ASSERT_EQ(cluster_->start(member).message(), "");
  etcdserverpb::CompactionRequest request;
  request.set_revision(15);
  etcdserverpb::CompactionResponse response;
  auto& client = cluster_->client(leader());
  grpc::Status status = client.call(client.kv(), &KvStub::Compact, request, &response);
  ASSERT_TRUE(status.ok()) << status_text(status);
  expect_alarm_for(member, leader());
}

// The running hash: with nothing but puts, and by the defaults.
TEST_F(CorruptionTest, TheNextPutTellsAndTheMemberStandsBack) {
  start({});
  size_t member = (leader() + 1) % 3;
  stop_and_damage(member, Damage::kVersion);
  ASSERT_EQ(cluster_->start(member).message(), "");
  EXPECT_EQ(read(member), "OK") << "nothing has come of it yet";
  EXPECT_EQ(put(0), "OK");
  size_t other = leader() == member ? (member + 1) % 3 : leader();
  expect_alarm_for(member, other);

  EXPECT_TRUE(Cluster::wait_for([&] { return read(member) == kCorrupt; })) << read(member);
  EXPECT_EQ(read(other), "OK") << "as with etcd, the others go on to answer reads";
  EXPECT_EQ(put(other), kCorrupt) << "as with etcd, nobody writes";
  EXPECT_TRUE(Cluster::wait_for([&] {
    return cluster_->node(member).log().find("this member's data differs") != std::string::npos;
  }));

  // A restart does not help; what does is a new member in its place.
  ASSERT_TRUE(cluster_->stop(member));
  ASSERT_EQ(cluster_->remove(member).message(), "");
  disarm(other, cluster_->id(member));
  auto added = cluster_->add(cluster_targets("lmdb")[0]);
  ASSERT_TRUE(added.ok()) << added.status().message();
  ASSERT_EQ(cluster_->wait_serving(*added).message(), "") << cluster_->logs();
  EXPECT_EQ(put(*added), "OK");
  EXPECT_EQ(cluster_->check_equal().message(), "");
  EXPECT_TRUE(alarms(other).empty());
}

TEST_F(CorruptionTest, ALeaderThatDiffersLetsOthersLead) {
  start({});
  size_t member = leader();
  stop_and_damage(member, Damage::kVersion);
  ASSERT_EQ(cluster_->start(member).message(), "");
  // It leads again, by the will of its operator.
  EXPECT_TRUE(Cluster::wait_for([&] {
    size_t leads = leader();
    if (leads == member) return true;
    etcdserverpb::MoveLeaderRequest request;
    request.set_targetid(cluster_->id(member));
    etcdserverpb::MoveLeaderResponse response;
    auto& client = cluster_->client(leads);
    (void)client.call(client.maintenance(), &MaintenanceStub::MoveLeader, request, &response);
    return false;
  }));
  EXPECT_EQ(put(member), "OK");
  size_t other = (member + 1) % 3;
  expect_alarm_for(member, other);
  auto next = cluster_->wait_leader(member);
  EXPECT_TRUE(next.ok()) << next.status().message();
  EXPECT_EQ(read(member), kCorrupt);
}

// With gates that say so, nobody looks.
TEST_F(CorruptionTest, ChecksCanBeTurnedOff) {
  start({"--feature-gates=InitialCorruptCheck=false,CompactHashCheck=false",
         "--apply-hash-check-time=0s"});
  size_t member = (leader() + 1) % 3;
  stop_and_damage(member, Damage::kValue);
  ASSERT_EQ(cluster_->start(member).message(), "");
  EXPECT_EQ(put(0), "OK");
  EXPECT_NE(cluster_->check_equal().message(), "");
  EXPECT_THAT(cluster_->node(member).log(), Not(HasSubstr("corruption check")));
}

}  // namespace
}  // namespace mortise::testing
