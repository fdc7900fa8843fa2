#include "host/snapshot/snapshot.h"

#include <gtest/gtest.h>

#include "host/apply/applier.h"
#include "host/bbolt/file.h"
#include "host/lease/lessor.h"
#include "host/membership/cluster.h"
#include "host/mvcc/compactor.h"
#include "host/mvcc/test_store.h"
#include "host/mvcc/view.h"
#include "host/snapshot/sha256.h"

namespace mortise::snapshot {
namespace {

using testing::Rows;
using Buckets = std::map<std::string, Rows>;

class SnapshotTest : public ::testing::Test {
 protected:
  void put(store::Keyspace keyspace, std::string row, std::string value) {
    rows_.push_back({keyspace, std::move(row), std::move(value)});
  }
  void put_member(const membership::Member& member) {
    put(store::kMembers, membership::member_row(member.id), membership::encode_member(member));
  }
  // Commits what was put, as of that place in the log.
  void commit(uint64_t index, uint64_t term) {
    store::WriteBatch batch;
    for (const Row& row : rows_) batch.put(row.keyspace, row.key, row.value);
    Status status = store_.get()->commit(batch, index, term);
    ASSERT_TRUE(status.ok()) << status.message();
    rows_.clear();
  }
  static std::string bytes_of(Snapshot* snapshot) {
    for (bool done = false; !done;) EXPECT_TRUE(snapshot->lay_out(1, &done).ok());
    ByteBuffer bytes;
    uint64_t size = snapshot->size();
    while (snapshot->bytes_left() > 0) EXPECT_TRUE(snapshot->read(1000, &bytes).ok());
    EXPECT_EQ(bytes.size(), size);
    return std::string(bytes.view());
  }
  static Buckets buckets_of(const std::string& image) {
    Buckets out;
    bbolt::MemorySource source(image);
    bbolt::File file = bbolt::File::open(&source).value();
    EXPECT_TRUE(file.check().ok());
    bbolt::Cursor all = file.buckets().value();
    bbolt::Row bucket, row;
    while (all.next(&bucket)) {
      Rows& rows = out[std::string(bucket.key)];
      bbolt::Cursor cursor = file.bucket(bucket.value).value();
      while (cursor.next(&row)) rows.emplace(row.key, row.value);
    }
    return out;
  }
  Buckets buckets() {
    auto snapshot = Snapshot::open(store_.get(), "3.7.0");
    EXPECT_TRUE(snapshot.ok()) << snapshot.status().message();
    return buckets_of(bytes_of(snapshot->get()));
  }

  struct Row {
    store::Keyspace keyspace;
    std::string key, value;
  };
  std::vector<Row> rows_;
  testing::TestStore store_;
};

std::string u64(uint64_t v) {
  std::string bytes(8, '\0');
  mvcc::put_u64_be(bytes.data(), v);
  return bytes;
}

TEST_F(SnapshotTest, EmptyStore) {
  Rows none;
  EXPECT_EQ(
      buckets(),
      (Buckets{{"alarm", none},
               {"auth", {{"authRevision", u64(1)}}},
               {"authRoles", none},
               {"authUsers", none},
               {"cluster", none},
               {"key", none},
               {"lease", none},
               {"members", none},
               {"members_removed", none},
               {"meta", {{"confState", "{\"auto_leave\":false}"}, {"storageVersion", "3.7.0"}}}}));
}

TEST_F(SnapshotTest, RowsThatAreTakenAsTheyAre) {
  put(store::kRevisions, mvcc::encode_revision({2, 0}), "a value");
  put(store::kRevisions, mvcc::encode_revision({3, 0}, true), "a tombstone");
  put(store::kCurrent, "key", "a value");
  put(store::kLeases, lease::lease_row(7), lease::encode_lease({7, 60, 20}));
  put(store::kAlarms, apply::encode_alarm({5, apply::kAlarmNoSpace}), "");
  commit(12, 3);
  Buckets got = buckets();
  EXPECT_EQ(got["key"], (Rows{{mvcc::encode_revision({2, 0}), "a value"},
                              {mvcc::encode_revision({3, 0}, true), "a tombstone"}}));
  EXPECT_EQ(got["lease"], (Rows{{u64(7), "\x08\x07\x10\x3c\x18\x14"}}));
  EXPECT_EQ(got["alarm"], (Rows{{"\x08\x05\x10\x01", ""}}));
}

TEST_F(SnapshotTest, Meta) {
  raft::ConfState conf_state;
  conf_state.voters = {3, UINT64_MAX};
  conf_state.learners = {4};
  put(store::kMeta, std::string(apply::kConfStateKey), apply::encode_conf_state(conf_state));
  put(store::kMeta, std::string(membership::kClusterVersionKey), "3.7.0");
  put(store::kMeta, std::string(membership::kDowngradeKey), "3.6.0");
  std::string state(mvcc::kStateBytes, '\0');
  mvcc::write_state(state.data(), {.revision = 9, .compacted = 5});
  put(store::kMeta, std::string(mvcc::kStateKey), state);
  commit(12, 3);
  Buckets got = buckets();
  // Compacted at 5, and no row is gone yet.
  EXPECT_EQ(got["meta"], (Rows{{"confState",
                                "{\"voters\":[3,18446744073709551615],\"learners\":[4],"
                                "\"auto_leave\":false}"},
                               {"consistent_index", u64(12)},
                               {"scheduledCompactRev", mvcc::encode_revision({5, 0})},
                               {"storageVersion", "3.7.0"},
                               {"term", u64(3)}}));
  EXPECT_EQ(got["cluster"],
            (Rows{{"clusterVersion", "3.7.0"},
                  {"downgrade", "{\"target-version\":\"3.6.0\",\"enabled\":true}"}}));
}

TEST_F(SnapshotTest, MembersAsGoWritesThem) {
  put_member({.id = 0x1234,
              .name = "a<b>&\"c\\\x01\xff",
              .peer_urls = {"http://a:1", "http://b:2"},
              .client_urls = {"http://c:3"}});
  put_member({.id = 0xabcdef0123456789, .peer_urls = {"http://d:4"}, .is_learner = true});
  commit(1, 1);
  EXPECT_EQ(buckets()["members"],
            (Rows{{"1234",
                   "{\"id\":4660,\"peerURLs\":[\"http://a:1\",\"http://b:2\"],\"name\":"
                   "\"a\\u003cb\\u003e\\u0026\\\"c\\\\\\u0001\xef\xbf\xbd\","
                   "\"clientURLs\":[\"http://c:3\"]}"},
                  {"abcdef0123456789",
                   "{\"id\":12379813738877118345,\"peerURLs\":[\"http://d:4\"],"
                   "\"isLearner\":true}"}}));
}

TEST_F(SnapshotTest, ShowsTheMomentOfItsOpening) {
  put(store::kRevisions, mvcc::encode_revision({2, 0}), "first");
  commit(2, 1);
  auto snapshot = Snapshot::open(store_.get(), "3.7.0").value();
  EXPECT_EQ(snapshot->position().index, 2u);
  put(store::kRevisions, mvcc::encode_revision({2, 0}), "other");
  put(store::kRevisions, mvcc::encode_revision({3, 0}), "second");
  commit(3, 1);
  Buckets got = buckets_of(bytes_of(snapshot.get()));
  EXPECT_EQ(got["key"], (Rows{{mvcc::encode_revision({2, 0}), "first"}}));
  EXPECT_EQ(got["meta"]["consistent_index"], u64(2));
}

TEST_F(SnapshotTest, UsersAndRoles) {
  put(store::kAuth, auth_row("auth", "authRevision"), u64(5));
  put(store::kAuth, auth_row("authUsers", "root"), "a user");
  commit(2, 1);
  Buckets got = buckets();
  EXPECT_EQ(got["auth"], (Rows{{"authRevision", u64(5)}}));
  EXPECT_EQ(got["authUsers"], (Rows{{"root", "a user"}}));
  EXPECT_EQ(got["authRoles"], Rows());

  put(store::kAuth, "x", "of no bucket");
  commit(3, 1);
  EXPECT_EQ(Snapshot::open(store_.get(), "3.7.0").status().message(),
            "a stored row of users and roles is malformed");
}

TEST_F(SnapshotTest, DamagedRowsAreRefused) {
  put(store::kMembers, membership::member_row(1), "\x0a");
  commit(2, 1);
  EXPECT_EQ(Snapshot::open(store_.get(), "3.7.0").status().message(),
            "a stored member is malformed");
}

TEST(Sha256Test, InPieces) {
  Sha256 digest;
  digest.add("a");
  digest.add("bc");
  EXPECT_EQ(digest.finish().substr(0, 4), "\xba\x78\x16\xbf");
}

}  // namespace
}  // namespace mortise::snapshot
