#include "host/apply/applier.h"

#include <gtest/gtest.h>

#include "host/mvcc/test_random.h"
#include "host/raft/membership_codec.h"
#include "proto/raft_internal.pb.h"
#include "proto/rpc.pb.h"

namespace mortise::apply {
namespace {

namespace pb = ::etcdserverpb;
using testing::escape;
using testing::Model;
using testing::RandomRequests;
using testing::Rows;
using testing::TestStore;
using Entries = std::vector<raft::EntryRef>;

// A log in the making.
class Log {
 public:
  void add(raft::EntryType type, std::string data) {
    auto entry = std::make_shared<raft::Entry>();
    entry->index = entries_.size() + 1;
    entry->term = 1 + entries_.size() / 100;
    entry->type = type;
    entry->data = std::move(data);
    entries_.push_back(entry);
  }
  // Returns the request's id.
  template <typename Request>
  uint64_t add(uint32_t field, const Request& request) {
    uint64_t id = 1000 + entries_.size();
    add(raft::EntryType::kNormal,
        wire::encode_raft_request(id, field, request.SerializeAsString()));
    return id;
  }
  uint64_t put(const std::string& key, const std::string& value = "v", int64_t lease = 0) {
    pb::PutRequest r;
    r.set_key(key);
    r.set_value(value);
    r.set_lease(lease);
    return add(wire::kRaftPut, r);
  }
  uint64_t del(const std::string& key) {
    pb::DeleteRangeRequest r;
    r.set_key(key);
    return add(wire::kRaftDeleteRange, r);
  }
  uint64_t grant(int64_t id, int64_t ttl) {
    pb::LeaseGrantRequest r;
    r.set_id(id);
    r.set_ttl(ttl);
    return add(wire::kRaftLeaseGrant, r);
  }
  uint64_t revoke(int64_t id) {
    pb::LeaseRevokeRequest r;
    r.set_id(id);
    return add(wire::kRaftLeaseRevoke, r);
  }
  uint64_t compact(int64_t revision) {
    pb::CompactionRequest r;
    r.set_revision(revision);
    return add(wire::kRaftCompaction, r);
  }
  uint64_t alarm(pb::AlarmRequest::AlarmAction action, pb::AlarmType type, uint64_t member = 5) {
    pb::AlarmRequest r;
    r.set_action(action);
    r.set_alarm(type);
    r.set_memberid(member);
    return add(wire::kRaftAlarm, r);
  }
  void membership(raft::ChangeType type, const membership::ChangeContext& context,
                  uint64_t request_id = 0) {
    raft::MembershipChange change;
    change.id = request_id;
    change.changes.push_back({type, context.member.id});
    if (type != raft::ChangeType::kRemoveNode)
      change.context = membership::encode_change_context(context);
    add(raft::EntryType::kConfChange, raft::encode_membership(change));
  }
  const Entries& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }

 private:
  Entries entries_;
};

// One member: a store and what the server puts around an applier.
class Node {
 public:
  Node() { start(); }

  // Without what was committed since the last sync, as after a power failure.
  void crash() {
    parts_.reset();
    store_.crash();
    start();
  }
  void restart() {
    parts_.reset();
    store_.reopen();
    start();
  }

  Status apply(const Entries& entries, size_t from, size_t to) {
    return parts_->applier.apply(std::span(entries).subspan(from, to - from));
  }
  // All of the log that is new.
  void apply(const Log& log) {
    Status status = apply(log.entries(), applied_, log.size());
    ASSERT_TRUE(status.ok()) << status.message();
    applied_ = log.size();
  }
  void wait_for(uint64_t id) {
    struct Recorder : Waiter {
      Recorder(Node* n, uint64_t i) : node(n), id(i) {}
      void complete(ApplyResult result) override {
        node->trace.push_back("answer " + std::to_string(id));
        node->results_[id] = std::move(result);
      }
      Node* node;
      uint64_t id;
    };
    parts_->waiters.add(id, std::make_unique<Recorder>(this, id),
                        WaitList::Clock::time_point::max());
  }
  // Applies what is new in the log; the answer to the request `id`.
  template <typename Response>
  Response answer(const Log& log, uint64_t id, std::string* error = nullptr) {
    wait_for(id);
    apply(log);
    Response response;
    EXPECT_TRUE(results_.contains(id));
    const ApplyResult& result = results_[id];
    EXPECT_EQ(result.rpc.ok(), error == nullptr) << result.rpc.message();
    if (error != nullptr) *error = result.rpc.message();
    EXPECT_TRUE(response.ParseFromString(std::string(result.body.view())));
    return response;
  }
  template <typename Response = pb::PutResponse>
  std::string error(const Log& log, uint64_t id) {
    std::string text;
    answer<Response>(log, id, &text);
    return text;
  }
  const ApplyResult& result(uint64_t id) { return results_[id]; }
  bool answered(uint64_t id) const { return results_.contains(id); }

  void remove_compacted() {
    auto reader = store_.get()->reader().value();
    mvcc::CompactionOptions options;
    options.batch_versions_max = 3;
    options.pause = [] { return true; };
    mvcc::ScanResult scan;
    std::vector<std::unique_ptr<mvcc::Removal>> pieces;
    ASSERT_TRUE(mvcc::find_removals(
                    *store_.get(), mvcc::finished_compaction(reader).value(),
                    parts_->applier.visible().compacted, options,
                    [&](std::unique_ptr<mvcc::Removal> r) { pieces.push_back(std::move(r)); },
                    &scan)
                    .ok());
    for (auto& piece : pieces) ASSERT_TRUE(parts_->applier.remove(*piece).ok());
  }

  std::vector<Rows> all_rows() const {
    std::vector<Rows> out;
    for (uint32_t k = store::kMeta; k <= store::kKeyCounts; ++k) {
      out.push_back(store_.rows(static_cast<store::Keyspace>(k)));
    }
    return out;
  }
  Rows rows(store::Keyspace keyspace) const { return store_.rows(keyspace); }
  store::Store* store() { return store_.get(); }
  Applier& applier() { return parts_->applier; }
  lease::Lessor& lessor() { return parts_->lessor; }
  membership::Cluster& cluster() { return parts_->cluster; }
  Alarms& alarms() { return parts_->alarms; }
  size_t waiting() const { return parts_->waiters.size(); }

  std::vector<std::string> trace;  // Of the hooks and the answers.
  std::vector<std::string> warnings;
  std::vector<int64_t> compactions;
  raft::ConfState joint_conf;  // What the core makes of a change of several members.
  bool over_quota = false;
  std::vector<std::string> slow, failed;

 private:
  struct Parts {
    explicit Parts(Node* node)
        : lessor({2, false, [] { return lease::Clock::time_point(); }}),
          cluster(1, 5),
          applier(node->store_.get(), &lessor, &cluster, &alarms, &waiters, node->hooks()) {}
    lease::Lessor lessor;
    membership::Cluster cluster;
    Alarms alarms;
    WaitList waiters;
    Applier applier;
  };

  void start() {
    parts_ = std::make_unique<Parts>(this);
    Status status = parts_->applier.open();
    MORTISE_CHECK(status.ok(), status.message());
    applied_ = parts_->applier.applied_index();
    conf_ = read_conf_state(store_.get()->reader().value()).value();
  }
  Hooks hooks() {
    Hooks hooks;
    hooks.membership_changed =
        [this](const raft::MembershipChange& change) -> Result<raft::ConfState> {
      if (change.v2) return joint_conf;
      raft::NodeId id = change.changes[0].node;
      if (id == raft::kNoNode) return conf_;
      if (change.changes[0].type == raft::ChangeType::kUpdateNode) return conf_;
      std::erase(conf_.voters, id);
      std::erase(conf_.learners, id);
      if (change.changes[0].type == raft::ChangeType::kAddNode) conf_.voters.push_back(id);
      if (change.changes[0].type == raft::ChangeType::kAddLearner) conf_.learners.push_back(id);
      return conf_;
    };
    hooks.committed = [this](const mvcc::State& state, uint64_t index) {
      trace.push_back("commit " + std::to_string(index) + " revision " +
                      std::to_string(state.revision));
    };
    hooks.publish = [this](std::shared_ptr<mvcc::EventBatch> batch) {
      trace.push_back("publish " + std::to_string(batch->events.size()));
    };
    hooks.wants_prev = [] { return false; };
    hooks.over_quota = [this] { return over_quota; };
    hooks.slow_after = std::chrono::nanoseconds(-1);
    hooks.was_slow = [this](const wire::RaftRequest& request, const ApplyResult* result, auto) {
      slow.push_back((result == nullptr ? "commit " : "apply ") + std::to_string(request.id));
    };
    hooks.has_failed = [this](const wire::RaftRequest& request, const ApplyResult& result, auto) {
      failed.push_back(std::to_string(request.id) + " " + result.rpc.message());
    };
    hooks.compact = [this](int64_t revision) { compactions.push_back(revision); };
    hooks.log = [this](std::string_view level, std::string_view message, const LogFields& fields) {
      if (level == "info") return;
      warnings.emplace_back(message);
      for (const LogField& field : fields) {
        const auto* text = std::get_if<std::string>(&field.second);
        if (text != nullptr) warnings.back() += " " + *text;
      }
    };
    hooks.removed_self = [this] { trace.push_back("removed"); };
    return hooks;
  }

  TestStore store_;
  raft::ConfState conf_;
  std::map<uint64_t, ApplyResult> results_;
  size_t applied_ = 0;
  std::unique_ptr<Parts> parts_;
};

TEST(Applier, PublishesBeforeItAnswersAndOnlyAfterTheCommit) {
  Log log;
  Node node;
  uint64_t first = log.put("a"), second = log.del("missing"), third = log.put("b");
  for (uint64_t id : {first, second, third}) node.wait_for(id);
  node.apply(log);
  EXPECT_EQ(node.trace, (std::vector<std::string>{"commit 3 revision 3", "publish 2", "answer 1000",
                                                  "answer 1001", "answer 1002"}));
  EXPECT_EQ(node.result(first).revision, 2);
  EXPECT_EQ(node.result(second).revision, 2) << "a delete of nothing takes no revision";
  EXPECT_EQ(node.result(third).revision, 3);
  EXPECT_EQ(node.waiting(), 0u);
}

TEST(Applier, UnknownAndRepeatedIdsAreAppliedAndAnsweredOnce) {
  Log log;
  Node node;
  log.put("a");
  uint64_t id = log.put("b");
  log.add(raft::EntryType::kNormal, log.entries().back()->data);  // The same request again.
  node.wait_for(id);
  node.wait_for(77777);
  node.apply(log);
  EXPECT_EQ(node.result(id).revision, 3);
  EXPECT_EQ(node.applier().visible().revision, 4);
  EXPECT_EQ(std::count(node.trace.begin(), node.trace.end(), "answer " + std::to_string(id)), 1);
  EXPECT_FALSE(node.answered(77777));
  EXPECT_EQ(node.waiting(), 1u);
}

TEST(Applier, ClientErrorsChangeNothing) {
  Log log;
  Node node;
  log.put("a");
  node.apply(log);
  Rows before = node.rows(store::kRevisions);
  EXPECT_EQ(node.error(log, log.put("b", "v", 404)), "etcdserver: requested lease not found");
  EXPECT_EQ(node.error<pb::CompactionResponse>(log, log.compact(9)),
            "etcdserver: mvcc: required revision is a future revision");
  pb::TxnRequest txn;
  txn.add_success()->mutable_request_put()->set_key("c");
  auto* bad = txn.add_success()->mutable_request_put();
  bad->set_key("missing");
  bad->set_ignore_value(true);
  EXPECT_EQ(node.error<pb::TxnResponse>(log, log.add(wire::kRaftTxn, txn)),
            "etcdserver: key not found");
  EXPECT_EQ(node.rows(store::kRevisions), before);
  EXPECT_EQ(node.applier().applied_index(), 4u);
}

// As etcd counts: by what a request does, each member all that is applied.
TEST(Applier, WhatIsAppliedIsCounted) {
  Log log;
  Node node;
  const uint64_t put = log.put("a", "12");
  log.put("b", "345");
  log.put("b", "v", 404);
  log.del("a");
  log.del("none");
  pb::TxnRequest txn;
  txn.add_compare()->set_key("a");
  txn.add_success()->mutable_request_range()->set_key("a");
  txn.add_failure()->mutable_request_put()->set_key("c");
  log.add(wire::kRaftTxn, txn);
  log.grant(7, 60);
  log.put("d", "v", 7);
  log.revoke(7);
  node.wait_for(put);
  node.apply(log);
  const mvcc::WriteCounters& writes = node.applier().write_counters();
  EXPECT_EQ(writes.puts.value(), 3u);
  EXPECT_EQ(writes.put_bytes.value(), 3u + 4u + 2u);
  EXPECT_EQ(writes.deletes.value(), 3u) << "with the key of the lease";
  EXPECT_EQ(writes.ranges.value(), 2u) << "one to compare, one to answer";
  EXPECT_EQ(writes.txns.value(), 1u);
  EXPECT_EQ(writes.keys.load(), 1u);
  auto count = [](const auto& times) {
    uint64_t sum = 0;
    for (uint64_t n : times.figures(1).counts) sum += n;
    return sum;
  };
  const OpCounters& puts = node.applier().counters()[op_of(wire::kRaftPut)];
  EXPECT_EQ(count(puts.applied), 3u);
  EXPECT_EQ(count(puts.refused), 1u);
  EXPECT_EQ(count(node.applier().counters()[op_of(wire::kRaftTxn)].applied), 1u);
  EXPECT_EQ(count(node.applier().counters()[op_of(0)].answered), 1u) << "of nobody's proposal";
  EXPECT_EQ(node.lessor().counters().granted.value(), 1u);
  EXPECT_EQ(node.lessor().counters().revoked.value(), 1u);
  EXPECT_EQ(op_name(op_of(wire::kRaftPut)), "Put");
  EXPECT_EQ(op_name(op_of(77)), "Unknown");
}

TEST(Applier, NoSpaceRefusesWhatGrowsAndNothingElse) {
  const std::string kNoSpace = "etcdserver: mvcc: database space exceeded";
  Log log;
  Node node;
  log.put("a");
  log.grant(7, 100);
  auto raised =
      node.answer<pb::AlarmResponse>(log, log.alarm(pb::AlarmRequest::ACTIVATE, pb::NOSPACE));
  ASSERT_EQ(raised.alarms_size(), 1);
  EXPECT_EQ(raised.alarms(0).memberid(), 5u);
  EXPECT_EQ(raised.alarms(0).alarm(), pb::NOSPACE);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(node.error(log, log.put("b")), kNoSpace);
    EXPECT_EQ(node.error(log, log.grant(8, 100)), kNoSpace);
    pb::TxnRequest grows;
    grows.add_failure()->mutable_request_txn()->add_success()->mutable_request_put()->set_key("c");
    EXPECT_EQ(node.error(log, log.add(wire::kRaftTxn, grows)), kNoSpace);
    node.restart();  // The alarm is in the store.
  }
  pb::TxnRequest shrinks;
  shrinks.add_success()->mutable_request_range()->set_key("a");
  shrinks.add_success()->mutable_request_delete_range()->set_key("x");
  node.answer<pb::TxnResponse>(log, log.add(wire::kRaftTxn, shrinks));
  EXPECT_EQ(node.answer<pb::DeleteRangeResponse>(log, log.del("a")).deleted(), 1);
  node.answer<pb::LeaseRevokeResponse>(log, log.revoke(7));
  node.answer<pb::CompactionResponse>(log, log.compact(2));
  node.answer<pb::AlarmResponse>(log, log.alarm(pb::AlarmRequest::DEACTIVATE, pb::NOSPACE));
  node.answer<pb::PutResponse>(log, log.put("b"));
  EXPECT_TRUE(node.rows(store::kAlarms).empty());
}

// The size is the member's own, so what it lets through is applied wherever it is in the log.
TEST(Applier, WhatGrowsAFullStoreIsAppliedAndToldSo) {
  const std::string kNoSpace = "etcdserver: mvcc: database space exceeded";
  Log log;
  Node node;
  node.over_quota = true;
  EXPECT_EQ(node.error(log, log.put("a")), kNoSpace);
  EXPECT_EQ(node.answer<pb::DeleteRangeResponse>(log, log.del("a")).deleted(), 1);
}

TEST(Applier, ReportsWhatWasSlowAndWhatFailed) {
  Log log;
  Node node;
  uint64_t first = log.put("a"), second = log.put("b", "v", 404);
  node.apply(log);
  uint64_t third = log.compact(2), fourth = log.compact(2);
  node.apply(log);
  auto text = [](const char* what, uint64_t id) { return what + std::to_string(id); };
  EXPECT_EQ(node.slow, (std::vector<std::string>{text("apply ", first), text("apply ", second),
                                                 text("commit ", second), text("apply ", third),
                                                 text("apply ", fourth), text("commit ", fourth)}));
  // That a revision is compacted is no failure of the request's own.
  EXPECT_EQ(node.failed, (std::vector<std::string>{std::to_string(second) +
                                                   " etcdserver: requested lease not found"}));
}

TEST(Applier, CorruptRefusesAllThatTouchesKeys) {
  const std::string kCorrupt = "etcdserver: corrupt cluster";
  Log log;
  Node node;
  log.put("a");
  log.alarm(pb::AlarmRequest::ACTIVATE, pb::CORRUPT);
  node.apply(log);
  EXPECT_EQ(node.error(log, log.put("b")), kCorrupt);
  EXPECT_EQ(node.error(log, log.del("a")), kCorrupt);
  EXPECT_EQ(node.error(log, log.add(wire::kRaftTxn, pb::TxnRequest())), kCorrupt);
  EXPECT_EQ(node.error(log, log.compact(2)), kCorrupt);
  EXPECT_EQ(node.error(log, log.grant(1, 9)), kCorrupt);
  EXPECT_EQ(node.error(log, log.revoke(1)), kCorrupt);
  node.answer<pb::AlarmResponse>(log, log.alarm(pb::AlarmRequest::DEACTIVATE, pb::CORRUPT));
  node.answer<pb::PutResponse>(log, log.put("b"));
}

TEST(Applier, AlarmsAreListedAndIdempotent) {
  Log log;
  Node node;
  log.alarm(pb::AlarmRequest::ACTIVATE, pb::NOSPACE, 9);
  log.alarm(pb::AlarmRequest::ACTIVATE, pb::NOSPACE, 9);
  log.alarm(pb::AlarmRequest::ACTIVATE, pb::NOSPACE, 3);
  log.alarm(pb::AlarmRequest::ACTIVATE, pb::CORRUPT, 9);
  log.alarm(pb::AlarmRequest::ACTIVATE, pb::NONE, 4);
  auto all = node.answer<pb::AlarmResponse>(log, log.alarm(pb::AlarmRequest::GET, pb::NONE, 0));
  ASSERT_EQ(all.alarms_size(), 3);
  EXPECT_EQ(all.alarms(0).memberid(), 3u);
  EXPECT_EQ(node.rows(store::kAlarms).size(), 3u);
  auto some = node.answer<pb::AlarmResponse>(log, log.alarm(pb::AlarmRequest::GET, pb::CORRUPT, 0));
  ASSERT_EQ(some.alarms_size(), 1);
  EXPECT_EQ(some.alarms(0).memberid(), 9u);
  log.alarm(pb::AlarmRequest::DEACTIVATE, pb::NOSPACE, 9);
  node.apply(log);
  EXPECT_TRUE(node.alarms().is_active(kAlarmNoSpace)) << "member 3 has raised it too";
  auto gone =
      node.answer<pb::AlarmResponse>(log, log.alarm(pb::AlarmRequest::DEACTIVATE, pb::NOSPACE, 9));
  EXPECT_EQ(gone.alarms_size(), 0);
}

TEST(Applier, LeasesAreGrantedAndRevokedWithTheirKeysInOneRevision) {
  Log log;
  Node node;
  auto granted = node.answer<pb::LeaseGrantResponse>(log, log.grant(7, 1));
  EXPECT_EQ(granted.id(), 7);
  EXPECT_EQ(granted.ttl(), 2) << "raised to the least";
  EXPECT_EQ(node.error(log, log.grant(7, 10)), "etcdserver: lease already exists");
  EXPECT_EQ(node.error(log, log.grant(8, 9'000'000'001)), "etcdserver: too large lease TTL");
  log.put("b", "1", 7);
  log.put("a", "1", 7);
  log.put("c", "1");
  node.apply(log);
  EXPECT_EQ(node.applier().visible().revision, 4);
  node.restart();
  EXPECT_TRUE(node.lessor().exists(7));
  log.put("ab", "1", 7);
  uint64_t revoke = log.revoke(7);
  node.answer<pb::LeaseRevokeResponse>(log, revoke);
  EXPECT_EQ(node.result(revoke).revision, 6);
  EXPECT_TRUE(node.rows(store::kLeases).empty());
  EXPECT_TRUE(node.rows(store::kLeaseKeys).empty());
  EXPECT_EQ(node.rows(store::kCurrent).size(), 1u);
  Rows revisions = node.rows(store::kRevisions);
  for (int64_t sub : {0, 1, 2})
    EXPECT_TRUE(revisions.contains(mvcc::encode_revision({6, sub}, true)));
  EXPECT_EQ(node.error(log, log.revoke(7)), "etcdserver: requested lease not found");
  EXPECT_FALSE(node.lessor().exists(7));
}

TEST(Applier, LeasesOfOneBatchAreEachRevokedWithWhatHangsOnThem) {
  Log log;
  Node node;
  for (int64_t id : {1, 2, 3}) log.grant(id, 60);
  log.put("stored", "1", 1);
  log.put("moved", "1", 2);
  log.put("gone", "1", 3);
  node.apply(log);
  // All of this is one batch.
  log.put("new", "1", 1);
  log.put("moved", "1", 1);
  log.put("stored", "1");
  log.del("gone");
  log.put("late", "1", 3);
  uint64_t first = log.revoke(1), second = log.revoke(2), third = log.revoke(3);
  for (uint64_t id : {first, second, third}) node.wait_for(id);
  node.apply(log);
  EXPECT_EQ(node.result(first).revision, 10);
  EXPECT_EQ(node.result(second).revision, 10) << "a lease without keys takes no revision";
  EXPECT_EQ(node.result(third).revision, 11);
  Rows revisions = node.rows(store::kRevisions);
  EXPECT_TRUE(revisions.contains(mvcc::encode_revision({10, 1}, true)));
  EXPECT_FALSE(revisions.contains(mvcc::encode_revision({10, 2}, true)));
  EXPECT_TRUE(revisions.contains(mvcc::encode_revision({11, 0}, true)));
  EXPECT_EQ(node.rows(store::kCurrent).size(), 1u);
  EXPECT_TRUE(node.rows(store::kLeaseKeys).empty());
  EXPECT_TRUE(node.rows(store::kLeases).empty());
}

TEST(Applier, CheckpointsOfLeasesAreStored) {
  Log log;
  Node node;
  log.grant(7, 600);
  log.grant(8, 600);
  pb::LeaseCheckpointRequest request;
  for (auto [id, left] : {std::pair(7, 41), std::pair(8, 42), std::pair(404, 43)}) {
    auto* checkpoint = request.add_checkpoints();
    checkpoint->set_id(id);
    checkpoint->set_remaining_ttl(left);
  }
  log.add(wire::kRaftLeaseCheckpoint, request);
  request.Clear();
  request.add_checkpoints()->set_id(8);  // As before a renewal.
  log.add(wire::kRaftLeaseCheckpoint, request);
  node.apply(log);
  EXPECT_EQ(node.rows(store::kLeases).size(), 2u);
  for (int round = 0; round < 2; ++round) {
    node.lessor().promote(std::chrono::milliseconds(0));
    EXPECT_EQ(node.lessor().info(7)->remaining_ttl, 41);
    EXPECT_EQ(node.lessor().info(7)->granted_ttl, 600);
    EXPECT_EQ(node.lessor().info(8)->remaining_ttl, 600);
    node.restart();
  }
}

TEST(Applier, ClusterVersionAndAttributesAreKept) {
  Log log;
  Node node;
  membershippb::ClusterVersionSetRequest version;
  version.set_ver("3.7.0");
  log.add(wire::kRaftClusterVersionSet, version);
  log.membership(raft::ChangeType::kAddNode, {{5, "", {"http://a:1"}, {}, false}, false});
  membershippb::ClusterMemberAttrSetRequest attributes;
  attributes.set_member_id(5);
  attributes.mutable_member_attributes()->set_name("m5");
  attributes.mutable_member_attributes()->add_client_urls("http://a:2");
  log.add(wire::kRaftClusterMemberAttrSet, attributes);
  attributes.set_member_id(404);
  log.add(wire::kRaftClusterMemberAttrSet, attributes);
  node.apply(log);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(node.cluster().version(), "3.7.0");
    ASSERT_EQ(node.cluster().members().size(), 1u);
    EXPECT_EQ(node.cluster().member(5)->name, "m5");
    EXPECT_EQ(node.cluster().member(5)->client_urls, std::vector<std::string>{"http://a:2"});
    EXPECT_EQ(node.cluster().member(5)->peer_urls, std::vector<std::string>{"http://a:1"});
    node.restart();
  }
}

// etcdserverpb.Request, as etcd up to 3.5 logs it: bare, with all of its fields.
std::string v2_put(const std::string& path, const std::string& value) {
  std::string out;
  wire::append_varint_field(&out, 1, 77);
  wire::append_bytes_field(&out, 2, "PUT");
  wire::append_bytes_field(&out, 3, path);
  wire::append_bytes_field(&out, 4, value);
  wire::append_bytes_field(&out, 6, "");
  return out;
}

TEST(Applier, WhatOldMembersPublishIsKept) {
  Node node;
  Log log;
  raft::MembershipChange change;
  change.changes = {{raft::ChangeType::kAddNode, 6}};
  membership::Member member;
  member.id = 6;
  member.peer_urls = {"http://b:1"};
  change.context = membership::encode_change_context({member, false});
  log.add(raft::EntryType::kConfChange, raft::encode_membership(change));
  log.add(raft::EntryType::kNormal, v2_put("/0/version", "3.5.0"));
  log.add(raft::EntryType::kNormal,
          v2_put("/0/members/6/attributes", R"({"name":"m6","clientURLs":["http://b:2"]})"));
  log.add(raft::EntryType::kNormal, v2_put("/1/key", "value"));
  log.add(raft::EntryType::kNormal, v2_put("/0/members/6/attributes", "not JSON"));
  node.apply(log);
  EXPECT_EQ(node.applier().applied_index(), 5u);
  EXPECT_EQ(node.cluster().version(), "3.5.0");
  EXPECT_EQ(node.cluster().member(6)->name, "m6");
  EXPECT_EQ(node.cluster().member(6)->client_urls, std::vector<std::string>{"http://b:2"});
  EXPECT_TRUE(node.rows(store::kCurrent).empty());
  node.restart();
  EXPECT_EQ(node.cluster().version(), "3.5.0");
  EXPECT_EQ(node.cluster().member(6)->name, "m6");
}

TEST(Applier, MembershipChangesKeepWhatAMemberHasPublished) {
  Log log;
  Node node;
  log.membership(raft::ChangeType::kAddNode, {{5, "m5", {"http://a:1"}, {}, false}, false});
  log.membership(raft::ChangeType::kAddLearner, {{6, "", {"http://b:1"}, {}, true}, false});
  membershippb::ClusterMemberAttrSetRequest attributes;
  attributes.set_member_id(6);
  attributes.mutable_member_attributes()->set_name("m6");
  attributes.mutable_member_attributes()->add_client_urls("http://b:2");
  log.add(wire::kRaftClusterMemberAttrSet, attributes);
  node.apply(log);
  EXPECT_TRUE(node.cluster().member(6)->is_learner);
  log.membership(raft::ChangeType::kAddNode, {{6, "", {}, {}, false}, true});
  log.membership(raft::ChangeType::kUpdateNode, {{6, "", {"http://b:9"}, {}, false}, false});
  log.membership(raft::ChangeType::kUpdateNode, {{404, "", {"http://b:9"}, {}, false}, false});
  node.apply(log);
  for (int round = 0; round < 2; ++round) {
    auto member = node.cluster().member(6);
    ASSERT_TRUE(member.has_value());
    EXPECT_FALSE(member->is_learner);
    EXPECT_EQ(member->name, "m6");
    EXPECT_EQ(member->client_urls, std::vector<std::string>{"http://b:2"});
    EXPECT_EQ(member->peer_urls, std::vector<std::string>{"http://b:9"});
    EXPECT_FALSE(node.cluster().member(404).has_value());
    node.restart();
  }
  log.membership(raft::ChangeType::kRemoveNode, {{5, "", {}, {}, false}, false});
  node.apply(log);
  EXPECT_FALSE(node.cluster().member(5).has_value());
  EXPECT_TRUE(node.cluster().is_removed(5));
  EXPECT_EQ(node.rows(store::kMembers).size(), 2u) << "that it was removed is remembered";
  EXPECT_EQ(node.trace.back(), "removed") << "the member itself was";
  auto conf = read_conf_state(node.store()->reader().value()).value();
  EXPECT_EQ(conf.voters, std::vector<raft::NodeId>{6});
}

// The proposer hears why, and the core is told of a change without effect.
TEST(Applier, MembershipChangesAgainstTheRulesHaveNoEffect) {
  Log log;
  Node node;
  log.membership(raft::ChangeType::kAddNode, {{5, "m5", {"http://a:1"}, {}, false}, false});
  log.membership(raft::ChangeType::kAddNode, {{6, "m6", {"http://b:1"}, {}, false}, false});
  log.membership(raft::ChangeType::kRemoveNode, {{6, "", {}, {}, false}, false});
  node.apply(log);
  const struct {
    raft::ChangeType type;
    membership::ChangeContext context;
    const char* error;
  } kTests[] = {
      {raft::ChangeType::kAddNode, {{6, "", {"http://c:1"}, {}, false}, false}, "member not found"},
      {raft::ChangeType::kAddNode,
       {{7, "", {"http://a:1"}, {}, false}, false},
       "Peer URLs already exists"},
      {raft::ChangeType::kAddNode,
       {{5, "", {}, {}, false}, true},
       "can only promote a learner member"},
      {raft::ChangeType::kUpdateNode,
       {{404, "", {"http://c:1"}, {}, false}, false},
       "member not found"},
      {raft::ChangeType::kRemoveNode, {{6, "", {}, {}, false}, false}, "member not found"},
      {raft::ChangeType::kRemoveNode,
       {{5, "", {}, {}, false}, false},
       "re-configuration failed due to not enough started members"},
  };
  uint64_t id = 100;
  for (const auto& test : kTests) {
    node.wait_for(++id);
    log.membership(test.type, test.context, id);
    node.apply(log);
    EXPECT_EQ(node.result(id).rpc.message(), "etcdserver: " + std::string(test.error));
    EXPECT_EQ(node.cluster().members().size(), 1u);
  }
  node.wait_for(++id);
  log.membership(raft::ChangeType::kAddLearner, {{7, "", {"http://c:1"}, {}, true}, false}, id);
  node.apply(log);
  EXPECT_TRUE(node.result(id).rpc.ok());
  node.restart();
  EXPECT_TRUE(node.cluster().is_removed(6));
  EXPECT_TRUE(node.cluster().member(7)->is_learner);
}

TEST(Applier, ObserversFollowTheMembers) {
  Log log;
  Node node;
  std::vector<std::string> seen;
  membership::Observer observer;
  observer.added = [&](const auto& m) { seen.push_back("+" + m.peer_urls[0]); };
  observer.urls_updated = [&](const auto& m) { seen.push_back("~" + m.peer_urls[0]); };
  observer.removed = [&](uint64_t id) { seen.push_back("-" + std::to_string(id)); };
  node.cluster().observe(observer);
  log.membership(raft::ChangeType::kAddNode, {{5, "m5", {"a"}, {}, false}, false});
  log.membership(raft::ChangeType::kAddNode, {{6, "m6", {"b"}, {}, false}, false});
  log.membership(raft::ChangeType::kUpdateNode, {{6, "", {"c"}, {}, false}, false});
  log.membership(raft::ChangeType::kUpdateNode, {{6, "", {"c"}, {}, false}, false});
  log.membership(raft::ChangeType::kRemoveNode, {{6, "", {}, {}, false}, false});
  node.apply(log);
  EXPECT_EQ(seen, (std::vector<std::string>{"+a", "+b", "~c", "-6"}));
  // A store that replaces this one, as a snapshot does it.
  seen.clear();
  Log other;
  other.membership(raft::ChangeType::kAddNode, {{5, "m5", {"x"}, {}, false}, false});
  other.membership(raft::ChangeType::kAddNode, {{8, "m8", {"d"}, {}, false}, false});
  Node second;
  second.apply(other);
  ASSERT_TRUE(node.cluster().load(second.store()->reader().value()).ok());
  EXPECT_EQ(seen, (std::vector<std::string>{"~x", "+d"}));
}

TEST(Applier, JointChangesAreAboutKnownMembers) {
  Log log;
  Node node;
  for (uint64_t id : {5, 6, 7}) {
    log.membership(raft::ChangeType::kAddNode,
                   {{id, "", {"http://m:" + std::to_string(id)}, {}, false}, false});
  }
  raft::MembershipChange change;
  change.v2 = true;
  change.changes = {{raft::ChangeType::kRemoveNode, 6}, {raft::ChangeType::kAddLearner, 7}};
  node.joint_conf = {{5}, {}, {5, 6, 7}, {7}, true};
  log.add(raft::EntryType::kConfChangeV2, raft::encode_membership(change));
  node.apply(log);
  EXPECT_TRUE(node.cluster().member(6).has_value()) << "it votes until joint is left";
  change.changes.clear();
  node.joint_conf = {{5}, {7}, {}, {}, false};
  log.add(raft::EntryType::kConfChangeV2, raft::encode_membership(change));
  node.apply(log);
  EXPECT_FALSE(node.cluster().member(6).has_value());
  EXPECT_TRUE(node.cluster().member(7)->is_learner);
  change.changes = {{raft::ChangeType::kAddNode, 404}};
  log.add(raft::EntryType::kConfChangeV2, raft::encode_membership(change));
  node.apply(log);
  EXPECT_EQ(node.cluster().members().size(), 2u);
}

TEST(Applier, ConfStateRowRoundTrips) {
  raft::ConfState state{{1, 2, UINT64_MAX}, {4}, {5, 0}, {6}, true};
  pb::PutRequest unused;
  Node node;
  store::WriteBatch batch;
  std::string row = encode_conf_state(state);
  batch.put(store::kMeta, kConfStateKey, row);
  ASSERT_TRUE(node.store()->commit(batch, 1, 1).ok());
  EXPECT_EQ(read_conf_state(node.store()->reader().value()).value(), state);
}

TEST(Applier, RequestsOfUnknownKindsTakeTheirPlaceInTheLog) {
  Log log;
  Node node;
  log.put("a");
  uint64_t id = log.add(777, pb::PutRequest());
  EXPECT_EQ(node.error(log, id), "etcdserver: request is not implemented");
  log.add(raft::EntryType::kNormal, "");
  log.add(raft::EntryType::kNormal, wire::encode_raft_request(1, wire::kRaftAuthStatus, ""));
  log.put("b");
  node.apply(log);
  EXPECT_EQ(node.applier().applied_index(), 5u);
  EXPECT_EQ(node.applier().visible().revision, 3);
  EXPECT_EQ(node.warnings.size(), 1u);
}

TEST(Applier, DamagedEntriesStopTheNode) {
  for (const std::string& data :
       {std::string("\xff\xff\xff"), wire::encode_raft_request(1, wire::kRaftPut, "\x0a\x7fshort"),
        wire::encode_raft_request(1, wire::kRaftTxn, "\x0a\x7fshort")}) {
    Log log;
    Node node;
    log.add(raft::EntryType::kNormal, data);
    EXPECT_EQ(node.apply(log.entries(), 0, 1).code(), StatusCode::kCorruption) << escape(data);
  }
  Log log;
  Node node;
  log.add(raft::EntryType::kConfChange, "\xff");
  EXPECT_FALSE(node.apply(log.entries(), 0, 1).ok());
}

TEST(Applier, EntriesThatAreAppliedAlreadyAreSkipped) {
  Log log;
  Node node;
  for (int i = 0; i < 5; ++i) log.put("k" + std::to_string(i));
  node.apply(log);
  auto rows = node.all_rows();
  ASSERT_TRUE(node.apply(log.entries(), 0, 5).ok());
  ASSERT_TRUE(node.apply(log.entries(), 2, 4).ok());
  EXPECT_EQ(node.all_rows(), rows);
  log.put("next");
  ASSERT_TRUE(node.apply(log.entries(), 1, 6).ok());
  EXPECT_EQ(node.applier().visible().revision, 7);
}

TEST(Applier, CompactionsAreAnnouncedAfterTheCommit) {
  Log log;
  Node node;
  log.put("a");
  log.put("a");
  uint64_t first = log.compact(2), again = log.compact(2);
  node.wait_for(first);
  node.wait_for(again);
  node.apply(log);
  EXPECT_TRUE(node.result(first).rpc.ok());
  EXPECT_EQ(node.result(again).rpc.message(),
            "etcdserver: mvcc: required revision has been compacted");
  EXPECT_EQ(node.compactions, std::vector<int64_t>{2});
  EXPECT_EQ(node.applier().visible().compacted, 2);
  node.restart();
  EXPECT_EQ(node.applier().visible().compacted, 2);
  log.put("b");
  log.compact(4);
  node.apply(log);
  node.remove_compacted();
  EXPECT_EQ(node.applier().applied_index(), 6u);
  EXPECT_EQ(node.rows(store::kRevisions).size(), 2u);
}

TEST(Applier, TxnReadsARevisionOfItsOwnBatch) {
  Log log;
  Node node;
  log.put("a", "1");
  log.put("a", "2");
  pb::TxnRequest txn;
  auto* range = txn.add_success()->mutable_request_range();
  range->set_key("a");
  range->set_revision(2);
  txn.add_success()->mutable_request_put()->set_key("b");
  auto response = node.answer<pb::TxnResponse>(log, log.add(wire::kRaftTxn, txn));
  ASSERT_EQ(response.responses(0).response_range().kvs_size(), 1);
  EXPECT_EQ(response.responses(0).response_range().kvs(0).value(), "1");
}

TEST(Applier, LargeBatchesAreCommittedInParts) {
  Log log;
  Node node;
  for (size_t i = 0; i < kBatchOpsMax / 3 + 100; ++i) log.put("k" + std::to_string(i));
  node.apply(log);
  ASSERT_GE(node.trace.size(), 4u);
  EXPECT_EQ(node.trace[0], "commit 6667 revision 6668");
  EXPECT_EQ(node.applier().applied_index(), log.size());
}

// Everything that a log may hold, from a seed.
Log random_log(uint64_t seed, size_t size) {
  Log log;
  Model model;  // Knows which leases and revisions make sense.
  RandomRequests random(seed, &model, {.key_bytes_max = 2});
  for (uint64_t id : {5, 6}) {
    log.membership(raft::ChangeType::kAddNode,
                   {{id, "", {"http://m:" + std::to_string(id)}, {}, false}, false});
  }
  while (log.size() < size) {
    uint64_t kind = random.below(100);
    auto lease = static_cast<int64_t>(1 + random.below(5));
    if (kind < 40) {
      pb::PutResponse ignored;
      pb::PutRequest put = random.put();
      (void)model.put(put, &ignored);
      log.add(wire::kRaftPut, put);
    } else if (kind < 50) {
      pb::DeleteRangeResponse ignored;
      pb::DeleteRangeRequest del = random.delete_range();
      (void)model.delete_range(del, &ignored);
      log.add(wire::kRaftDeleteRange, del);
    } else if (kind < 75) {
      pb::TxnResponse ignored;
      pb::TxnRequest txn = random.txn();
      (void)model.txn(txn, &ignored);
      log.add(wire::kRaftTxn, txn);
    } else if (kind < 80) {
      model.grant(lease);
      log.grant(lease, 60);
    } else if (kind < 84) {
      model.revoke(lease);
      log.revoke(lease);
    } else if (kind < 86) {
      int64_t revision = random.revision();
      (void)model.compact(revision);
      log.compact(revision);
    } else if (kind < 88) {
      log.alarm(pb::AlarmRequest::ACTIVATE, random.percent(90) ? pb::NOSPACE : pb::CORRUPT);
    } else if (kind < 93) {
      log.alarm(pb::AlarmRequest::DEACTIVATE, random.percent(50) ? pb::NOSPACE : pb::CORRUPT);
    } else if (kind < 95) {
      log.add(raft::EntryType::kNormal, "");
    } else if (kind < 97) {
      log.membership(raft::ChangeType::kUpdateNode,
                     {{5 + random.below(3), "", {"http://n:1"}, {}, false}, false});
    } else if (kind < 98) {
      log.add(999, pb::PutRequest());
    } else {
      membershippb::ClusterVersionSetRequest version;
      version.set_ver("3." + std::to_string(random.below(9)) + ".0");
      log.add(wire::kRaftClusterVersionSet, version);
    }
  }
  return log;
}

class RandomLog : public ::testing::TestWithParam<uint64_t> {};

TEST_P(RandomLog, BatchesWaitersAndRemovalsDoNotChangeTheStore) {
  Log log = random_log(GetParam(), 600);
  std::mt19937_64 random(GetParam());
  Node one;  // Entry by entry, removing at once.
  for (size_t i = 0; i < log.size(); ++i) {
    ASSERT_TRUE(one.apply(log.entries(), i, i + 1).ok()) << i;
    if (random() % 20 == 0) one.remove_compacted();
  }
  Node other;  // In large batches, with answers.
  for (size_t i = 0; i < log.size(); i += 3) other.wait_for(1000 + i);
  for (size_t from = 0; from < log.size();) {
    size_t to = std::min(log.size(), from + 1 + random() % 100);
    ASSERT_TRUE(other.apply(log.entries(), from, to).ok());
    from = to;
  }
  for (uint64_t index = 1; index <= log.size(); ++index) {
    ASSERT_EQ(one.applier().effects().sum(index), other.applier().effects().sum(index)) << index;
  }
  one.remove_compacted();
  other.remove_compacted();
  EXPECT_EQ(one.all_rows(), other.all_rows()) << "seed " << GetParam();
  EXPECT_GT(one.applier().visible().revision, 50);
}

TEST_P(RandomLog, ReplayAfterACrashGivesTheSameStore) {
  Log log = random_log(GetParam(), 400);
  std::mt19937_64 random(GetParam());
  Node steady;
  steady.apply(log);
  Node crashing;
  uint64_t lost = 0;
  for (size_t at = 0; at < log.size();) {
    size_t to = std::min(log.size(), at + 1 + random() % 40);
    // The log's reader may begin before what the store holds.
    size_t from = at - std::min<size_t>(at, random() % 5);
    ASSERT_TRUE(crashing.apply(log.entries(), from, to).ok());
    at = to;
    if (random() % 3 == 0) {
      ASSERT_TRUE(crashing.store()->sync().ok());
    }
    if (random() % 3 == 0) {
      crashing.crash();
      ASSERT_LE(crashing.applier().applied_index(), at);
      lost += at - crashing.applier().applied_index();
      at = crashing.applier().applied_index();
    }
  }
  EXPECT_GT(lost, 0u);
  EXPECT_EQ(crashing.all_rows(), steady.all_rows()) << "seed " << GetParam();
  EXPECT_EQ(crashing.applier().applied_index(), log.size());
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomLog, ::testing::Range<uint64_t>(1, 9));

TEST(WaitList, TakesOnceAndExpires) {
  struct Nothing : Waiter {
    void complete(ApplyResult) override {}
  };
  WaitList list;
  WaitList::Clock::time_point start;
  for (uint64_t id = 1; id <= 40; ++id) {
    list.add(id, std::make_unique<Nothing>(), start + std::chrono::seconds(id));
  }
  EXPECT_NE(list.take(7), nullptr);
  EXPECT_EQ(list.take(7), nullptr);
  EXPECT_EQ(list.take_expired(start + std::chrono::seconds(10)).size(), 9u);
  EXPECT_EQ(list.size(), 30u);
  EXPECT_EQ(list.take_all().size(), 30u);
  EXPECT_EQ(list.size(), 0u);
}

}  // namespace
}  // namespace mortise::apply
