#include "host/snapshot/loader.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "host/apply/applier.h"
#include "host/bbolt/test_rows.h"
#include "host/lease/lessor.h"
#include "host/membership/cluster.h"
#include "host/mvcc/compactor.h"
#include "host/mvcc/hash.h"
#include "host/mvcc/test_store.h"
#include "host/mvcc/writer.h"
#include "host/snapshot/snapshot.h"
#include "proto/rpc.pb.h"

namespace mortise::snapshot {
namespace {

using testing::Rows;
using testing::TestStore;

std::vector<std::string> backends() {
  std::vector<std::string> out{"memory"};
  const char* build = std::getenv("MORTISE_BUILD_DIR");
  for (const char* name : {"rocksdb", "lmdb"}) {
    if (std::filesystem::exists(std::string(build) + "/plugins/backend_" + name + ".so")) {
      out.push_back(name);
    }
  }
  return out;
}

std::string u64(uint64_t v) {
  std::string bytes(8, '\0');
  mvcc::put_u64_be(bytes.data(), v);
  return bytes;
}

// A store with the writer that fills it.
class Member {
 public:
  explicit Member(const std::string& backend = "memory") : store_(backend) {}
  void open() {
    writer_ = std::make_unique<mvcc::Writer>(
        store_.get(), [](int64_t) { return true; }, [] { return false; });
    Status status = writer_->open();
    ASSERT_TRUE(status.ok()) << status.message();
    uint64_t term;
    ASSERT_TRUE(store_.get()->applied(&index_, &term).ok());
  }
  void txn(const etcdserverpb::TxnRequest& request) {
    std::string bytes = request.SerializeAsString();
    wire::TxnRequest decoded;
    ASSERT_TRUE(wire::decode(bytes, &decoded));
    mvcc::Outcome outcome;
    ASSERT_TRUE(writer_->txn(decoded, true, &outcome).ok());
    ASSERT_TRUE(outcome.rpc.ok());
  }
  void commit() {
    std::shared_ptr<mvcc::EventBatch> events;
    ASSERT_TRUE(writer_->commit(++index_, 3, &events).ok());
  }
  // Removes rows of the compaction, `pieces` of them at most.
  void compact(int64_t revision, size_t pieces) {
    ASSERT_TRUE(writer_->compact(revision).ok());
    commit();
    int64_t previous = mvcc::finished_compaction(reader()).value();
    std::vector<std::unique_ptr<mvcc::Removal>> removals;
    mvcc::CompactionOptions options;
    options.batch_versions_max = 10;
    options.pause = [] { return true; };
    mvcc::ScanResult scan;
    ASSERT_TRUE(mvcc::find_removals(
                    *store_.get(), previous, revision, options,
                    [&](auto removal) { removals.push_back(std::move(removal)); }, &scan)
                    .ok());
    for (size_t i = 0; i < std::min(pieces, removals.size()); ++i) {
      ASSERT_TRUE(store_.get()->commit(removals[i]->batch, index_, 3).ok());
    }
    ASSERT_TRUE(writer_->refresh().ok());
  }
  store::Reader reader() { return store_.get()->reader().value(); }
  TestStore& store() { return store_; }
  mvcc::Writer& writer() { return *writer_; }
  std::string image() {
    auto snapshot = Snapshot::open(store_.get(), "3.7.0");
    EXPECT_TRUE(snapshot.ok()) << snapshot.status().message();
    for (bool done = false; !done;) EXPECT_TRUE((*snapshot)->lay_out(1 << 20, &done).ok());
    ByteBuffer bytes;
    while ((*snapshot)->bytes_left() > 0) EXPECT_TRUE((*snapshot)->read(1 << 20, &bytes).ok());
    return std::string(bytes.view());
  }

 private:
  TestStore store_;
  std::unique_ptr<mvcc::Writer> writer_;
  uint64_t index_ = 0;
};

Result<Loaded> load_image(const std::string& image, Member* member, LoadOptions options = {}) {
  options.temp_dir = ::testing::TempDir();
  bbolt::MemorySource source(image);
  return load(source, options, member->store().get());
}

// The same history at every revision that is kept, and the same of everything else.
void expect_same(Member& a, Member& b) {
  for (store::Keyspace keyspace :
       {store::kRevisions, store::kCurrent, store::kKeyHistory, store::kLeases, store::kLeaseKeys,
        store::kAlarms, store::kMembers, store::kAuth}) {
    EXPECT_EQ(a.store().rows(keyspace), b.store().rows(keyspace)) << "keyspace " << keyspace;
  }
  auto of_a = mvcc::View::open(*a.store().get()).value();
  auto of_b = mvcc::View::open(*b.store().get()).value();
  EXPECT_EQ(of_a.state().revision, of_b.state().revision);
  EXPECT_EQ(of_a.state().compacted, of_b.state().compacted);
  EXPECT_EQ(mvcc::finished_compaction(of_a.reader()).value(),
            mvcc::finished_compaction(of_b.reader()).value());
  int64_t first = std::max<int64_t>(of_a.state().compacted, 1);
  for (int64_t revision = first; revision <= of_a.state().revision; ++revision) {
    mvcc::HashKvResult in_a, in_b;
    ASSERT_TRUE(mvcc::hash_kv(of_a, revision, &in_a).ok());
    ASSERT_TRUE(mvcc::hash_kv(of_b, revision, &in_b).ok());
    ASSERT_EQ(in_a.hash, in_b.hash) << "revision " << revision;
  }
}

class RandomHistory {
 public:
  explicit RandomHistory(uint64_t seed) : random_(seed) {}
  uint64_t below(uint64_t n) { return random_() % n; }

  etcdserverpb::TxnRequest txn() {
    etcdserverpb::TxnRequest txn;
    for (uint64_t n = 1 + below(3); n > 0; --n) {
      std::string key = this->key();
      if (below(4) == 0) {
        auto* del = txn.add_success()->mutable_request_delete_range();
        del->set_key(key);
        if (below(5) == 0) del->set_range_end(key + "\xff");
        return txn;  // What is deleted is not put in the same txn: etcd refuses that.
      }
      bool again = false;
      for (const auto& op : txn.success()) again = again || op.request_put().key() == key;
      if (again) continue;
      auto* put = txn.add_success()->mutable_request_put();
      put->set_key(key);
      put->set_value(std::string(below(60), 'v'));
      if (below(3) == 0) put->set_lease(static_cast<int64_t>(1 + below(4)));
    }
    return txn;
  }

 private:
  std::string key() {
    static const char kAlphabet[] = {'\0', 'a', 'b', '\xff'};
    std::string key(1 + below(3), '\0');
    for (char& c : key) c = kAlphabet[below(4)];
    return key;
  }
  std::mt19937_64 random_;
};

class LoaderTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Backend, LoaderTest, ::testing::ValuesIn(backends()),
                         [](const auto& info) { return info.param; });

TEST_P(LoaderTest, RandomHistories) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomHistory random(seed);
    Member source;
    source.open();
    for (int64_t lease : {1, 2, 3, 4}) {
      source.writer().put_row(store::kLeases, lease::lease_row(lease),
                              lease::encode_lease({lease, 60, 0}));
    }
    for (int i = 0; i < 300; ++i) {
      source.txn(random.txn());
      if (random.below(4) == 0) source.commit();
      if (random.below(60) == 0) {
        source.commit();
        int64_t low = std::max<int64_t>(source.writer().compacted() + 1, 1);
        int64_t width = source.writer().revision() - low;
        if (width <= 0) continue;
        int64_t at = low + static_cast<int64_t>(random.below(static_cast<uint64_t>(width)));
        source.compact(at, SIZE_MAX);
      }
    }
    source.commit();
    // The last compaction is cut short in half of the runs.
    int64_t last = std::max(source.writer().compacted() + 1, source.writer().revision() - 20);
    source.compact(last, seed % 2 == 0 ? SIZE_MAX : 1);

    Member copy(GetParam());
    auto loaded = load_image(source.image(), &copy, {.sort_bytes = seed < 4 ? 2000u : 1u << 20});
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    copy.store().reopen();
    expect_same(source, copy);
    EXPECT_EQ(loaded->keys, source.writer().key_count());

    // The copy goes on like the source.
    copy.open();
    EXPECT_EQ(copy.writer().key_count(), source.writer().key_count());
    for (int i = 0; i < 100; ++i) {
      auto txn = random.txn();
      source.txn(txn);
      copy.txn(txn);
    }
    source.commit();
    copy.commit();
    EXPECT_EQ(copy.writer().key_count(), source.writer().key_count());
    source.compact(source.writer().revision() - 1, SIZE_MAX);
    copy.compact(copy.writer().revision() - 1, SIZE_MAX);
    expect_same(source, copy);
  }
}

TEST_P(LoaderTest, EverythingElse) {
  Member source;
  source.open();
  raft::ConfState conf_state;
  conf_state.voters = {7, UINT64_MAX};
  conf_state.learners = {9};
  membership::Member member{.id = 7, .name = "a", .peer_urls = {"http://a:1", "http://b:1"}};
  membership::Member learner{.id = 9, .client_urls = {"http://c:2"}, .is_learner = true};
  mvcc::Writer& writer = source.writer();
  for (const auto& m : {member, learner}) {
    writer.put_row(store::kMembers, membership::member_row(m.id), membership::encode_member(m));
  }
  writer.put_row(store::kMembers, membership::member_row(8), "");  // Removed.
  writer.put_row(store::kAlarms, apply::encode_alarm({7, apply::kAlarmNoSpace}), "");
  writer.put_row(store::kLeases, lease::lease_row(-5), lease::encode_lease({-5, 60, 20}));
  writer.put_row(store::kAuth, auth_row("auth", "authRevision"), u64(4));
  writer.put_row(store::kAuth, auth_row("authUsers", "root"), "a user");
  writer.put_row(store::kMeta, apply::kConfStateKey, apply::encode_conf_state(conf_state));
  writer.put_row(store::kMeta, membership::kClusterVersionKey, "3.7.0");
  writer.put_row(store::kMeta, membership::kDowngradeKey, "3.6.0");
  source.commit();

  Member copy(GetParam());
  auto loaded = load_image(source.image(), &copy, {.cluster_id = 1, .member_id = 2});
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  EXPECT_EQ(loaded->conf_state, conf_state);
  copy.store().reopen();
  expect_same(source, copy);
  Rows meta = copy.store().rows(store::kMeta), want = source.store().rows(store::kMeta);
  EXPECT_EQ(meta[std::string(membership::kIdentityKey)], u64(1) + u64(2));
  meta.erase(std::string(membership::kIdentityKey));
  EXPECT_EQ(meta, want);
  uint64_t index, term;
  ASSERT_TRUE(copy.store().get()->applied(&index, &term).ok());
  EXPECT_EQ(index, 1);
  EXPECT_EQ(term, 3);
}

TEST_P(LoaderTest, WhatALeaderSaysCounts) {
  Member source;
  source.open();
  source.commit();
  raft::ConfState conf_state;
  conf_state.voters = {5};
  Member copy(GetParam());
  auto loaded =
      load_image(source.image(), &copy, {.position = Position{20, 4}, .conf_state = conf_state});
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  uint64_t index, term;
  ASSERT_TRUE(copy.store().get()->applied(&index, &term).ok());
  EXPECT_EQ(index, 20);
  EXPECT_EQ(term, 4);
  EXPECT_EQ(apply::read_conf_state(copy.reader()).value(), conf_state);

  Member other;
  auto refused = load_image(source.image(), &other, {.position = Position{0, 1}});
  EXPECT_EQ(refused.status().message(),
            "the snapshot holds entries of the log up to 1, not up to 0 as was said");
}

// What etcd writes and we do not.
std::string kv(int64_t revision, const std::string& key, int64_t lease = 0) {
  wire::KeyValue kv;
  kv.key = key;
  kv.create_revision = kv.mod_revision = revision;
  kv.version = 1;
  kv.lease = lease;
  std::string out;
  wire::append_key_value(&out, kv);
  return out;
}

bbolt::Buckets etcd_34() {
  return {{"alarm", {}},
          {"auth", {{"authRevision", u64(1)}}},
          {"authRoles", {}},
          {"authUsers", {}},
          {"cluster", {{"clusterVersion", "3.4.0"}}},
          {"key", {{mvcc::encode_revision({2, 0}), kv(2, "a", 77)}}},
          {"lease", {{u64(78), lease::encode_lease({78, 60, 0})}}},
          {"members", {{"a", R"({"id":10,"peerURLs":["http://localhost:2380"],"name":"n"})"}}},
          {"members_removed", {{"ff", "removed"}}},
          {"meta", {{"consistent_index", u64(9)}}}};
}

TEST_P(LoaderTest, FileWithoutMembershipOrTerm) {
  Member copy(GetParam());
  auto loaded = load_image(bbolt::write_image(etcd_34()), &copy);
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  EXPECT_EQ(loaded->position.index, 9);
  EXPECT_EQ(loaded->conf_state.voters, std::vector<raft::NodeId>{10});
  EXPECT_EQ(loaded->state.revision, 2);
  // The lease of the key is not there, so etcd forgets it, too.
  EXPECT_EQ(copy.store().rows(store::kLeaseKeys), Rows());
  EXPECT_EQ(copy.store().rows(store::kAuth), Rows());
  Rows members = copy.store().rows(store::kMembers);
  EXPECT_EQ(members.at(membership::member_row(255)), "") << "removed";
  EXPECT_EQ(members.size(), 2u);
}

TEST_P(LoaderTest, RevisionRaisedByEtcdutl) {
  bbolt::Buckets buckets = etcd_34();
  buckets["key"][mvcc::encode_revision({1000, 0})] = "";
  buckets["meta"]["scheduledCompactRev"] = mvcc::encode_revision({1000, 0});
  Member copy(GetParam());
  auto loaded = load_image(bbolt::write_image(buckets), &copy);
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  EXPECT_EQ(loaded->state.revision, 1000);
  EXPECT_EQ(loaded->state.compacted, 1000);
  EXPECT_EQ(loaded->keys, 1);
  EXPECT_EQ(copy.store().rows(store::kRevisions), buckets["key"]);
}

// What is wrong is refused, and the store stays without a position.
TEST_P(LoaderTest, Refused) {
  struct Case {
    const char* bucket;
    std::string key, value, error;
  };
  std::string revision = mvcc::encode_revision({2, 0});
  std::string later = mvcc::encode_revision({3, 0});
  const Case cases[] = {
      {"key", "short", kv(2, "k"), "a revision of the snapshot has a malformed name"},
      {"key", later, "\xff", "revision 3.0 of the snapshot has a malformed value"},
      {"key", later, kv(3, ""), "revision 3.0 of the snapshot has no key"},
      {"key", later, kv(4, "k"), "revision 3.0 of the snapshot says that it is of 4"},
      {"key", later + "t", "", "revision 3.0 of the snapshot has no key"},
      {"lease", u64(5), lease::encode_lease({6, 1, 0}), "a lease of the snapshot is malformed"},
      {"lease", "x", "", "a lease of the snapshot is malformed"},
      {"meta", "consistent_index", "1", "the snapshot's consistent_index is malformed"},
      {"meta", "confState", "[]", "the snapshot's confState is malformed"},
      {"meta", "confState", R"({"voters":[-1]})", "the snapshot's confState is malformed"},
      {"meta", "finishedCompactRev", "1", "the snapshot's finishedCompactRev is malformed"},
      {"meta", "storageVersion", "x", "the snapshot's storageVersion is malformed"},
      {"meta", "storageVersion", "3.8.0",
       "the snapshot has storage version 3.8.0; 3.7 is the newest that can be read"},
      {"members", "b", "{}", "the snapshot's member b is malformed"},
      {"members", "b", R"({"id":10})", "the snapshot's member b is malformed"},
      {"members_removed", "zz", "", "the snapshot's list of removed members is malformed"},
      {"cluster", "downgrade", "{", "the snapshot's downgrade is malformed"},
      {"alarm", "\xff", "", "the snapshot's alarm is malformed"},
  };
  for (const Case& c : cases) {
    bbolt::Buckets buckets = etcd_34();
    buckets[c.bucket][c.key] = c.value;
    Member copy(GetParam());
    auto loaded = load_image(bbolt::write_image(buckets), &copy);
    ASSERT_FALSE(loaded.ok()) << c.error;
    EXPECT_EQ(loaded.status().message(), c.error);
    copy.store().reopen();
    uint64_t index, term;
    ASSERT_TRUE(copy.store().get()->applied(&index, &term).ok());
    EXPECT_EQ(index, 0);
    EXPECT_EQ(copy.store().rows(store::kRevisions), Rows());
  }
}

TEST_P(LoaderTest, StopsWhenAsked) {
  bbolt::Buckets buckets = etcd_34();
  for (int64_t i = 3; i < 3000; ++i) {
    buckets["key"][mvcc::encode_revision({i, 0})] = kv(i, "k" + std::to_string(i));
  }
  std::string image = bbolt::write_image(buckets);
  for (int looks : {0, 2, 4, 8}) {
    Member copy(GetParam());
    auto loaded = load_image(image, &copy, {.keep_going = [&] { return looks-- > 0; }});
    EXPECT_EQ(loaded.status().code(), StatusCode::kStopped);
    EXPECT_EQ(copy.store().rows(store::kRevisions), Rows());
  }
}

TEST(LoaderAuthTest, SaysWhetherClientsMustAuthenticate) {
  bbolt::Buckets buckets = etcd_34();
  for (bool enabled : {false, true}) {
    buckets["auth"]["authEnabled"] = std::string(1, enabled ? '\1' : '\0');
    std::string image = bbolt::write_image(buckets);
    EXPECT_EQ(has_auth_enabled(bbolt::MemorySource(image)).value(), enabled);
  }
}

}  // namespace
}  // namespace mortise::snapshot
