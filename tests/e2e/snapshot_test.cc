// Maintenance.Snapshot: Debian's etcdctl saves it, accepts it and restores it, and Debian's etcd
// then serves the same data at the same revisions.
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <regex>
#include <thread>

#include "host/bbolt/file.h"
#include "host/snapshot/sha256.h"
#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

using Rows = std::map<std::string, std::string>;
using Buckets = std::map<std::string, Rows>;

// All of the file's buckets, after everything in it has been checked.
Buckets read_buckets(const std::string& path) {
  Buckets out;
  auto source = bbolt::FileSource::open(path).value();
  auto file = bbolt::File::open(source.get());
  EXPECT_TRUE(file.ok()) << file.status().message();
  if (!file.ok()) return out;
  Status checked = file->check();
  EXPECT_TRUE(checked.ok()) << checked.message();
  bbolt::Cursor all = file->buckets().value();
  bbolt::Row bucket, row;
  while (all.next(&bucket)) {
    Rows& rows = out[std::string(bucket.key)];
    bbolt::Cursor cursor = file->bucket(bucket.value).value();
    while (cursor.next(&row)) rows.emplace(row.key, row.value);
    EXPECT_TRUE(cursor.status().ok()) << cursor.status().message();
  }
  EXPECT_TRUE(all.status().ok()) << all.status().message();
  return out;
}

uint64_t u64(std::string_view bytes) {
  uint64_t v = 0;
  for (char c : bytes.substr(0, 8)) v = v << 8 | static_cast<uint8_t>(c);
  return v;
}
int64_t main_revision(std::string_view row) { return static_cast<int64_t>(u64(row)); }

class SnapshotTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!available(etcd_target())) GTEST_SKIP() << "Debian's etcd is not installed";
    if (run_command({.argv = {"etcdctl", "version"}}).exit.code != 0) GTEST_SKIP() << "no etcdctl";
    Status status = node_.start();
    ASSERT_TRUE(status.ok()) << status.message();
    client_ = std::make_unique<Client>(node_.endpoint());
  }

  Output etcdctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"etcdctl", "--endpoints=" + node_.endpoint()});
    return run_command({.argv = arguments, .env = {"ETCDCTL_API=3"}});
  }
  std::string save() {
    std::string path = node_.dir() + "/saved" + std::to_string(++saved_);
    Output output = etcdctl({"snapshot", "save", path});
    EXPECT_EQ(output.exit.code, 0) << output.text;
    return path;
  }
  // "revision keys size", after etcdctl has checked the file.
  std::string status(const std::string& path) {
    Output output = etcdctl({"snapshot", "status", path, "-w", "json"});
    EXPECT_EQ(output.exit.code, 0) << output.text;
    std::smatch match;
    EXPECT_TRUE(std::regex_search(
        output.text, match,
        std::regex("\"revision\":([0-9]+),\"totalKey\":([0-9]+),\"totalSize\":([0-9]+)")))
        << output.text;
    return match[1].str() + " " + match[2].str() + " " + match[3].str();
  }
  // An etcd that runs on the file.
  std::unique_ptr<Node> restore(const std::string& path) {
    auto etcd = std::make_unique<Node>(etcd_target(), NodeOptions{.in_memory = true});
    Output output = etcdctl({"snapshot", "restore", path, "--data-dir=" + etcd->data_dir(),
                             "--name=node", "--initial-cluster=node=" + etcd->peer_url(),
                             "--initial-advertise-peer-urls=" + etcd->peer_url()});
    EXPECT_EQ(output.exit.code, 0) << output.text;
    Status status = etcd->start();
    EXPECT_TRUE(status.ok()) << status.message();
    return etcd;
  }

  // The same keys with the same versions, the same history and leases.
  void expect_same(Client& other) {
    etcdserverpb::HashKVResponse want, got;
    ASSERT_TRUE(client_->hash_kv(0, &want).ok());
    ASSERT_TRUE(other.hash_kv(0, &got).ok());
    EXPECT_EQ(got.hash(), want.hash());
    EXPECT_EQ(got.compact_revision(), want.compact_revision());
    EXPECT_EQ(got.header().revision(), want.header().revision());

    etcdserverpb::RangeRequest range;
    range.set_key(std::string(1, '\0'));
    range.set_range_end(std::string(1, '\0'));
    range.set_limit(3);
    etcdserverpb::RangeResponse ours, theirs;
    ASSERT_TRUE(client_->range(range, &ours).ok());
    ASSERT_TRUE(other.range(range, &theirs).ok());
    ours.clear_header();
    theirs.clear_header();
    EXPECT_EQ(ours.DebugString(), theirs.DebugString());
    EXPECT_EQ(leases(*client_), leases(other));
  }
  static std::set<int64_t> leases(Client& client) {
    etcdserverpb::LeaseLeasesResponse response;
    auto status = client.call(client.lease(), &etcdserverpb::Lease::Stub::LeaseLeases,
                              etcdserverpb::LeaseLeasesRequest(), &response);
    EXPECT_TRUE(status.ok()) << status_text(status);
    std::set<int64_t> ids;
    for (const auto& lease : response.leases()) ids.insert(lease.id());
    return ids;
  }
  void compact(int64_t revision) {
    etcdserverpb::CompactionRequest request;
    request.set_revision(revision);
    request.set_physical(true);
    etcdserverpb::CompactionResponse response;
    auto status =
        client_->call(client_->kv(), &etcdserverpb::KV::Stub::Compact, request, &response);
    ASSERT_TRUE(status.ok()) << status_text(status);
  }
  void put(const std::string& key, const std::string& value, int64_t lease = 0) {
    auto status = client_->put(key, value, nullptr, lease);
    ASSERT_TRUE(status.ok()) << status_text(status);
  }
  // `count` keys with one revision for each hundred.
  void put_many(int count) {
    for (int i = 0; i < count;) {
      etcdserverpb::TxnRequest txn;
      for (int n = 0; n < 100; ++n, ++i) {
        auto* put = txn.add_success()->mutable_request_put();
        put->set_key("many/" + std::to_string(1000000 + i));
        put->set_value("value " + std::to_string(i));
      }
      etcdserverpb::TxnResponse response;
      auto status = client_->call(client_->kv(), &etcdserverpb::KV::Stub::Txn, txn, &response);
      ASSERT_TRUE(status.ok()) << status_text(status);
    }
  }

  Node node_{mortise_target(GetParam()), {.in_memory = true}};
  std::unique_ptr<Client> client_;
  int saved_ = 0;
};

TEST_P(SnapshotTest, EmptyStore) {
  std::string path = save();
  EXPECT_EQ(status(path), "0 7 16384");
  EXPECT_TRUE(read_buckets(path)["key"].empty());
  auto etcd = restore(path);
  Client other(etcd->endpoint());
  expect_same(other);
  EXPECT_TRUE(other.put("first", "value").ok());
}

TEST_P(SnapshotTest, OneKeyAndAllBuckets) {
  put("key", "value");
  std::string path = save();
  Buckets buckets = read_buckets(path);
  std::vector<std::string> names;
  for (const auto& [name, rows] : buckets) names.push_back(name);
  EXPECT_EQ(names,
            (std::vector<std::string>{"alarm", "auth", "authRoles", "authUsers", "cluster", "key",
                                      "lease", "members", "members_removed", "meta"}));
  EXPECT_EQ(buckets["key"], (Rows{{std::string("\0\0\0\0\0\0\0\x02_\0\0\0\0\0\0\0\0", 17),
                                   "\x0a\x03key\x10\x02\x18\x02\x20\x01\x2a\x05value"}}));
  EXPECT_EQ(buckets["cluster"], (Rows{{"clusterVersion", "3.7.0"}}));
  EXPECT_EQ(buckets["auth"], (Rows{{"authRevision", std::string("\0\0\0\0\0\0\0\x01", 8)}}));

  etcdserverpb::StatusResponse now;
  ASSERT_TRUE(client_->status(&now).ok());
  std::string id = std::to_string(now.header().member_id());
  Rows meta = buckets["meta"];
  EXPECT_EQ(meta.size(), 4u);
  EXPECT_EQ(u64(meta["consistent_index"]), now.raftappliedindex());
  EXPECT_EQ(u64(meta["term"]), now.raftterm());
  EXPECT_EQ(meta["storageVersion"], "3.7.0");
  EXPECT_EQ(meta["confState"], "{\"voters\":[" + id + "],\"auto_leave\":false}");
  ASSERT_EQ(buckets["members"].size(), 1u);
  EXPECT_EQ(buckets["members"].begin()->second,
            "{\"id\":" + id + ",\"peerURLs\":[\"" + node_.peer_url() +
                "\"],\"name\":\"node\",\"clientURLs\":[\"" + node_.client_url() + "\"]}");

  auto etcd = restore(path);
  Client other(etcd->endpoint());
  expect_same(other);
}

TEST_P(SnapshotTest, LargeValues) {
  for (int i = 0; i < 12; ++i) {
    put("large" + std::to_string(i), std::string((1 << 20) + i * 511, static_cast<char>('a' + i)));
    put("small" + std::to_string(i), "value");
  }
  std::string path = save();
  EXPECT_EQ(read_buckets(path)["key"].size(), 24u);
  auto etcd = restore(path);
  Client other(etcd->endpoint());
  etcdserverpb::RangeRequest range;
  range.set_key("large7");
  etcdserverpb::RangeResponse response;
  ASSERT_TRUE(other.range(range, &response).ok());
  EXPECT_EQ(response.kvs(0).value(), std::string((1 << 20) + 7 * 511, 'h'));
  etcdserverpb::HashKVResponse want, got;
  ASSERT_TRUE(client_->hash_kv(0, &want).ok());
  ASSERT_TRUE(other.hash_kv(0, &got).ok());
  EXPECT_EQ(got.hash(), want.hash());
}

TEST_P(SnapshotTest, ManyKeys) {
  put_many(100000);
  std::string path = save();
  EXPECT_EQ(status(path).substr(0, 12), "1001 100007 ");
  EXPECT_EQ(read_buckets(path)["key"].size(), 100000u);
  auto etcd = restore(path);
  Client other(etcd->endpoint());
  expect_same(other);
}

TEST_P(SnapshotTest, CompactionLeasesAndDeletes) {
  etcdserverpb::LeaseGrantRequest grant;
  etcdserverpb::LeaseGrantResponse granted;
  for (int i = 0; i < 300; ++i) {
    grant.set_id(1000 + i);
    grant.set_ttl(600 + i);
    ASSERT_TRUE(
        client_->call(client_->lease(), &etcdserverpb::Lease::Stub::LeaseGrant, grant, &granted)
            .ok());
  }
  put("held", "value", 1007);
  put_many(2000);
  put("gone", "value");
  etcdserverpb::DeleteRangeRequest remove;
  remove.set_key("many/1000500");
  remove.set_range_end("many/1001000");
  etcdserverpb::DeleteRangeResponse removed;
  ASSERT_TRUE(
      client_->call(client_->kv(), &etcdserverpb::KV::Stub::DeleteRange, remove, &removed).ok());
  ASSERT_EQ(removed.deleted(), 500);
  for (int i = 0; i < 20; ++i) put("held", "value " + std::to_string(i), 1007);
  compact(30);
  std::string path = save();
  Buckets buckets = read_buckets(path);
  EXPECT_EQ(buckets["lease"].size(), 300u);
  std::string thirty("\0\0\0\0\0\0\0\x1e_\0\0\0\0\0\0\0\0", 17);
  EXPECT_EQ(buckets["meta"]["scheduledCompactRev"], thirty);
  EXPECT_EQ(buckets["meta"]["finishedCompactRev"], thirty);

  auto etcd = restore(path);
  Client other(etcd->endpoint());
  expect_same(other);
  etcdserverpb::LeaseTimeToLiveRequest ask;
  ask.set_id(1007);
  ask.set_keys(true);
  etcdserverpb::LeaseTimeToLiveResponse lease;
  ASSERT_TRUE(
      other.call(other.lease(), &etcdserverpb::Lease::Stub::LeaseTimeToLive, ask, &lease).ok());
  EXPECT_EQ(lease.grantedttl(), 607);
  ASSERT_EQ(lease.keys_size(), 1);
  EXPECT_EQ(lease.keys(0), "held");
  etcdserverpb::RangeRequest range;
  range.set_key("held");
  range.set_revision(29);
  etcdserverpb::RangeResponse response;
  EXPECT_EQ(status_text(other.range(range, &response)),
            "11 etcdserver: mvcc: required revision has been compacted");
  range.set_revision(30);
  EXPECT_TRUE(other.range(range, &response).ok());
}

// Each file shows one moment: no revision is missing below its last, and the index of the log is
// that of the last revision.
TEST_P(SnapshotTest, WhileWritersAreActive) {
  put_many(20000);
  etcdserverpb::StatusResponse before;
  ASSERT_TRUE(client_->status(&before).ok());
  const uint64_t index_ahead =
      before.raftappliedindex() - static_cast<uint64_t>(before.header().revision());
  std::atomic<bool> stop = false;
  std::vector<std::thread> writers;
  for (int w = 0; w < 4; ++w) {
    writers.emplace_back([&, w] {
      Client client(node_.endpoint());
      for (int i = 0; !stop; ++i) {
        auto status = client.put("w" + std::to_string(w), std::to_string(i));
        EXPECT_TRUE(status.ok()) << status_text(status);
      }
    });
  }
  std::string path;
  for (int i = 0; i < 5; ++i) {
    path = save();
    Buckets buckets = read_buckets(path);
    int64_t last = 1;
    for (const auto& [row, value] : buckets["key"]) {
      ASSERT_LE(main_revision(row), last + 1);
      last = main_revision(row);
    }
    EXPECT_EQ(u64(buckets["meta"]["consistent_index"]), static_cast<uint64_t>(last) + index_ahead);
  }
  stop = true;
  for (std::thread& writer : writers) writer.join();
  auto etcd = restore(path);
  Client other(etcd->endpoint());
  etcdserverpb::HashKVResponse want, got;
  ASSERT_TRUE(other.hash_kv(0, &got).ok());
  ASSERT_TRUE(client_->hash_kv(got.header().revision(), &want).ok());
  EXPECT_EQ(got.hash(), want.hash());
}

using Stream = std::unique_ptr<grpc::ClientReader<etcdserverpb::SnapshotResponse>>;

TEST_P(SnapshotTest, MessagesOfTheStream) {
  put_many(1000);
  grpc::ClientContext context;
  Stream stream = client_->maintenance().Snapshot(&context, etcdserverpb::SnapshotRequest());
  std::string image, digest;
  etcdserverpb::SnapshotResponse response;
  std::vector<uint64_t> remaining;
  while (stream->Read(&response)) {
    EXPECT_FALSE(response.has_header());
    EXPECT_EQ(response.version(), "3.7.0");
    remaining.push_back(response.remaining_bytes());
    if (response.blob().size() == 32 && response.remaining_bytes() == 0) {
      digest = response.blob();
    } else {
      EXPECT_TRUE(response.blob().size() == 32768 || response.remaining_bytes() == 0);
      image += response.blob();
    }
  }
  EXPECT_EQ(status_text(stream->Finish()), "OK");
  snapshot::Sha256 sha;
  sha.add(image);
  EXPECT_EQ(digest, sha.finish());
  EXPECT_EQ(image.size() % 4096, 0u);
  ASSERT_GT(remaining.size(), 3u);
  for (size_t i = 0; i < remaining.size(); ++i) {
    uint64_t sent = std::min<uint64_t>((i + 1) * 32768, image.size());
    EXPECT_EQ(remaining[i], image.size() - sent) << i;
  }
  std::string log = node_.log();
  std::string total = "\"total-bytes\":" + std::to_string(image.size()) + ",";
  for (const char* line :
       {"\"sending database snapshot to client\"", "\"sending database sha256 checksum to client\"",
        "\"successfully sent database snapshot to client\""}) {
    EXPECT_NE(log.find("\"msg\":" + std::string(line) + "," + total), std::string::npos) << line;
  }
}

// Clients that do not read hold nobody up, are counted, and can leave.
TEST_P(SnapshotTest, ClientsThatDoNotRead) {
  for (int i = 0; i < 30; ++i) put("large" + std::to_string(i), std::string(1 << 20, 'x'));
  constexpr size_t kStreams = 8;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<Stream> streams;
  for (size_t i = 0; i < kStreams; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    streams.push_back(
        client_->maintenance().Snapshot(contexts.back().get(), etcdserverpb::SnapshotRequest()));
    etcdserverpb::SnapshotResponse response;
    ASSERT_TRUE(streams.back()->Read(&response));  // It has begun.
  }
  put("key", "value");
  etcdserverpb::HashKVResponse hash;
  EXPECT_TRUE(client_->hash_kv(0, &hash).ok());
  compact(20);
  {
    grpc::ClientContext context;
    Stream one_more = client_->maintenance().Snapshot(&context, etcdserverpb::SnapshotRequest());
    EXPECT_EQ(status_text(one_more->Finish()), "2 etcdserver: too many requests");
  }
  // One goes on as if nothing had been, with the state of when it began.
  etcdserverpb::SnapshotResponse response;
  size_t bytes = 32768;
  while (streams[0]->Read(&response)) bytes += response.blob().size();
  EXPECT_EQ(status_text(streams[0]->Finish()), "OK");
  EXPECT_EQ(bytes % 4096, 32u);
  EXPECT_GT(bytes, size_t{30} << 20);
  for (size_t i = 1; i < kStreams; ++i) {
    contexts[i]->TryCancel();
    EXPECT_EQ(streams[i]->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  // The server hears of it when it hears of it; then there is room again.
  Output output;
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  do {
    output = etcdctl({"snapshot", "save", node_.dir() + "/again"});
  } while (output.exit.code != 0 && std::chrono::steady_clock::now() < deadline);
  EXPECT_EQ(output.exit.code, 0) << output.text;
}

TEST_P(SnapshotTest, AStopEndsStreams) {
  for (int i = 0; i < 10; ++i) put("large" + std::to_string(i), std::string(1 << 20, 'x'));
  grpc::ClientContext context;
  Stream stream = client_->maintenance().Snapshot(&context, etcdserverpb::SnapshotRequest());
  etcdserverpb::SnapshotResponse response;
  ASSERT_TRUE(stream->Read(&response));
  auto exit = node_.stop();
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->signal, SIGTERM);
  while (stream->Read(&response)) {
  }
  EXPECT_FALSE(stream->Finish().ok());
}

INSTANTIATE_TEST_SUITE_P(Backends, SnapshotTest, ::testing::Values("rocksdb", "lmdb"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace mortise::testing
