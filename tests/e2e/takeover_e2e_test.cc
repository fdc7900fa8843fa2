// A data directory of etcd's becomes ours: one that etcdctl has restored from our snapshot, and
// that of an etcd that was killed. The etcd is Debian's; MORTISE_TAKEOVER_FROM names a directory
// with other binaries, etcd and etcdctl or etcdutl (3.5 to 3.7).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "host/base/crc32c.h"
#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string etcd_dir() {
  const char* given = std::getenv("MORTISE_TAKEOVER_FROM");
  return given != nullptr ? given : "/usr/bin";
}
Target etcd() { return etcd_target(etcd_dir() + "/etcd"); }

// The program that restores snapshots.
std::string restorer() {
  const std::string newer = etcd_dir() + "/etcdutl";
  return ::access(newer.c_str(), X_OK) == 0 ? newer : etcd_dir() + "/etcdctl";
}

// Names and contents of all files below, the latter as checksums.
std::map<std::string, uint32_t> files_of(const std::string& dir) {
  std::map<std::string, uint32_t> out;
  for (const auto& entry : fs::recursive_directory_iterator(dir)) {
    if (entry.is_regular_file()) {
      out[fs::relative(entry.path(), dir)] = crc32c(0, read_text(entry.path()));
    }
  }
  return out;
}

// The directory in `dir` in which etcd's files are kept; empty if there is none.
std::string kept_in(const std::string& dir) {
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (entry.path().filename().string().starts_with("etcd-member-")) return entry.path();
  }
  return "";
}

std::string last_segment(const std::string& dir) {
  std::string last;
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (entry.path().extension() == ".wal") last = std::max(last, entry.path().string());
  }
  return last;
}

// What clients and operators see of a member, as text: hash, keys with their versions, leases,
// users, alarms, who the members are.
class View {
 public:
  explicit View(const std::string& endpoint) : client_(endpoint) {}

  std::string text() { return hash() + keys() + leases() + users() + alarms(); }
  std::string members() {
    etcdserverpb::MemberListResponse response;
    check(client_.call(client_.cluster(), &etcdserverpb::Cluster::Stub::MemberList,
                       etcdserverpb::MemberListRequest(), &response));
    std::map<uint64_t, std::string> members;
    for (const auto& m : response.members()) {
      members[m.id()] = m.name() + " " + m.peerurls(0) + (m.islearner() ? " learner" : "");
    }
    std::string out = "cluster " + std::to_string(response.header().cluster_id());
    for (const auto& [id, member] : members) out += "\n" + std::to_string(id) + " " + member;
    return out;
  }
  uint64_t member_id() {
    etcdserverpb::StatusResponse response;
    check(client_.status(&response));
    return response.header().member_id();
  }
  Client& client() { return client_; }

 private:
  void check(const grpc::Status& status) { EXPECT_TRUE(status.ok()) << status_text(status); }
  std::string hash() {
    etcdserverpb::HashKVResponse response;
    check(client_.hash_kv(0, &response));
    return "hash " + std::to_string(response.hash()) + " revision " +
           std::to_string(response.header().revision()) + " compacted " +
           std::to_string(response.compact_revision()) + "\n";
  }
  std::string keys() {
    etcdserverpb::RangeRequest request;
    request.set_key(std::string(1, '\0'));
    request.set_range_end(std::string(1, '\0'));
    etcdserverpb::RangeResponse response;
    check(client_.range(request, &response));
    response.clear_header();
    return response.ShortDebugString() + "\n";
  }
  std::string leases() {
    etcdserverpb::LeaseLeasesResponse response;
    check(client_.call(client_.lease(), &etcdserverpb::Lease::Stub::LeaseLeases,
                       etcdserverpb::LeaseLeasesRequest(), &response));
    std::set<int64_t> ids;
    for (const auto& lease : response.leases()) ids.insert(lease.id());
    std::string out = "leases";
    for (int64_t id : ids) out += " " + std::to_string(id);
    return out + "\n";
  }
  std::string users() {
    etcdserverpb::AuthUserListResponse response;
    check(client_.call(client_.auth(), &etcdserverpb::Auth::Stub::UserList,
                       etcdserverpb::AuthUserListRequest(), &response));
    response.clear_header();
    return "users " + response.ShortDebugString() + "\n";
  }
  std::string alarms() {
    etcdserverpb::AlarmResponse response;
    check(client_.call(client_.maintenance(), &etcdserverpb::Maintenance::Stub::Alarm,
                       etcdserverpb::AlarmRequest(), &response));
    response.clear_header();
    return "alarms " + response.ShortDebugString();
  }
  Client client_;
};

class TakeoverTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!available(etcd())) GTEST_SKIP() << "there is no " << etcd().binary;
  }
  Target target() const { return mortise_target(GetParam()); }
  // One of ours in the place of a member that has ended.
  std::unique_ptr<Node> ours_at(const Node& member, const std::string& data_dir,
                                std::vector<std::string> flags = {}) {
    NodeOptions options = const_cast<Node&>(member).options();
    options.data_dir = data_dir;
    options.client_url = member.client_url();
    options.peer_url = member.peer_url();
    options.flags = std::move(flags);
    return std::make_unique<Node>(target(), options);
  }

  // Keys of several versions, one with a lease, one deleted, a user, an alarm, a compaction.
  static void fill(Node* node, int puts) {
    Client client(node->endpoint());
    etcdserverpb::LeaseGrantRequest grant;
    grant.set_id(1234);
    grant.set_ttl(3600);
    etcdserverpb::LeaseGrantResponse granted;
    expect_ok(client.call(client.lease(), &etcdserverpb::Lease::Stub::LeaseGrant, grant, &granted));
    expect_ok(client.put("leased", "value", nullptr, 1234));
    etcdserverpb::AuthUserAddRequest user;
    user.set_name("somebody");
    user.set_password("secret");
    etcdserverpb::AuthUserAddResponse added;
    expect_ok(client.call(client.auth(), &etcdserverpb::Auth::Stub::UserAdd, user, &added));
    int64_t revision = 0;
    for (int i = 0; i < puts; ++i) {
      expect_ok(client.put("k" + std::to_string(i % 40), "v" + std::to_string(i), &revision));
      if (i == puts / 2) compact(client, revision - 5);
    }
    etcdserverpb::DeleteRangeRequest gone;
    gone.set_key("k3");
    etcdserverpb::DeleteRangeResponse deleted;
    expect_ok(client.call(client.kv(), &etcdserverpb::KV::Stub::DeleteRange, gone, &deleted));
    etcdserverpb::AlarmRequest alarm;
    alarm.set_action(etcdserverpb::AlarmRequest::ACTIVATE);
    alarm.set_alarm(etcdserverpb::NOSPACE);
    alarm.set_memberid(77);
    etcdserverpb::AlarmResponse raised;
    expect_ok(
        client.call(client.maintenance(), &etcdserverpb::Maintenance::Stub::Alarm, alarm, &raised));
  }
  static void compact(Client& client, int64_t revision) {
    etcdserverpb::CompactionRequest request;
    request.set_revision(revision);
    request.set_physical(true);
    etcdserverpb::CompactionResponse response;
    expect_ok(client.call(client.kv(), &etcdserverpb::KV::Stub::Compact, request, &response));
  }
  static void expect_ok(const grpc::Status& status) {
    EXPECT_TRUE(status.ok()) << status_text(status);
  }
  // The alarm that fill() has raised goes, and writes are taken again.
  static void expect_writes(Node* node) {
    Client client(node->endpoint());
    etcdserverpb::AlarmRequest alarm;
    alarm.set_action(etcdserverpb::AlarmRequest::DEACTIVATE);
    alarm.set_alarm(etcdserverpb::NOSPACE);
    alarm.set_memberid(77);
    etcdserverpb::AlarmResponse response;
    expect_ok(client.call(client.maintenance(), &etcdserverpb::Maintenance::Stub::Alarm, alarm,
                          &response));
    expect_ok(client.put("after", "value"));
  }
  static bool wait_for_line(const Node& node, const std::string& text) {
    for (int i = 0; i < 600; ++i) {
      if (node.log().find(text) != std::string::npos) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return false;
  }
  static void save(const Node& node, const std::string& path) {
    Output output = run_command({.argv = {etcd_dir() + "/etcdctl", "--endpoints=" + node.endpoint(),
                                          "snapshot", "save", path},
                                 .env = {"ETCDCTL_API=3"}});
    ASSERT_EQ(output.exit.code, 0) << output.text;
  }
  static void restore(const std::string& snapshot, const Node& member, const std::string& cluster,
                      std::vector<std::string> flags = {}) {
    const std::string& name = const_cast<Node&>(member).options().name;
    std::vector<std::string> argv = {restorer(),
                                     "snapshot",
                                     "restore",
                                     snapshot,
                                     "--data-dir=" + member.data_dir(),
                                     "--name=" + name,
                                     "--initial-cluster=" + cluster,
                                     "--initial-advertise-peer-urls=" + member.peer_url()};
    argv.insert(argv.end(), flags.begin(), flags.end());
    Output output = run_command({.argv = argv, .env = {"ETCDCTL_API=3"}});
    ASSERT_EQ(output.exit.code, 0) << output.text;
  }
  void expect_refusal(Node* node, const std::string& text) {
    const auto before = files_of(node->data_dir());
    ASSERT_EQ(node->launch().message(), "");
    auto exit = node->wait();
    ASSERT_TRUE(exit.has_value()) << "it runs";
    EXPECT_EQ(exit->code, 1);
    EXPECT_THAT(node->log(), HasSubstr(text));
    EXPECT_EQ(files_of(node->data_dir()), before);
  }
};

TEST_P(TakeoverTest, OurSnapshotRestoredForUs) {
  Node node(target(), {.in_memory = true});
  ASSERT_EQ(node.start().message(), "");
  fill(&node, 60);
  const std::string snapshot = node.dir() + "/snapshot.db";
  save(node, snapshot);
  const std::string want = View(node.endpoint()).text();
  ASSERT_TRUE(node.stop().has_value());

  // At another address: another member of another cluster.
  Node restored(target(), {.in_memory = true});
  restore(snapshot, restored, "node=" + restored.peer_url());
  ASSERT_EQ(restored.start().message(), "");
  EXPECT_EQ(View(restored.endpoint()).text(), want);
  EXPECT_THAT(View(restored.endpoint()).members(), HasSubstr(" node " + restored.peer_url()));
  expect_writes(&restored);
  const std::string after = View(restored.endpoint()).text();
  ASSERT_TRUE(restored.stop().has_value());
  ASSERT_EQ(restored.start().message(), "");
  EXPECT_EQ(View(restored.endpoint()).text(), after);
}

TEST_P(TakeoverTest, ThreeMembersRestored) {
  Node node(target(), {.in_memory = true});
  ASSERT_EQ(node.start().message(), "");
  fill(&node, 60);
  const std::string snapshot = node.dir() + "/snapshot.db";
  save(node, snapshot);
  const std::string want = View(node.endpoint()).text();
  ASSERT_TRUE(node.stop().has_value());

  std::vector<std::unique_ptr<Node>> members;
  std::string cluster;
  for (const char* name : {"a", "b", "c"}) {
    NodeOptions options{.name = name, .in_memory = true};
    options.peer_url = "http://127.0.0.1:" + std::to_string(free_port());
    cluster += (cluster.empty() ? "" : ",") + std::string(name) + "=" + options.peer_url;
    members.push_back(std::make_unique<Node>(target(), options));
  }
  for (auto& member : members) {
    member->options().initial_cluster = cluster;
    restore(snapshot, *member, cluster);
    ASSERT_EQ(member->launch().message(), "");
  }
  for (auto& member : members) ASSERT_EQ(member->wait_ready().message(), "");
  for (auto& member : members) EXPECT_EQ(View(member->endpoint()).text(), want);
  expect_writes(members[0].get());
  etcdserverpb::RangeRequest request;
  request.set_key("after");
  for (auto& member : members) {
    Client client(member->endpoint());
    etcdserverpb::RangeResponse response;
    expect_ok(client.range(request, &response));
    EXPECT_EQ(response.kvs_size(), 1);
  }
}

// With and without a snapshot of etcd's before the entries; what was acknowledged just before the
// kill is in the log only.
TEST_P(TakeoverTest, AnEtcdThatWasKilled) {
  for (const char* snapshot_count : {"7", "100000"}) {
    Node was(etcd(),
             {.flags = {std::string("--snapshot-count=") + snapshot_count}, .in_memory = true});
    ASSERT_EQ(was.start().message(), "");
    fill(&was, 60);
    View before(was.endpoint());
    const std::string want = before.text();
    const std::string members = before.members();
    const uint64_t id = before.member_id();
    was.kill();

    auto node = ours_at(was, was.data_dir());
    ASSERT_EQ(node->start().message(), "");
    View after(node->endpoint());
    EXPECT_EQ(after.text(), want);
    EXPECT_EQ(after.members(), members);
    EXPECT_EQ(after.member_id(), id);
    expect_writes(node.get());
    const std::string later = View(node->endpoint()).text();
    node->kill();
    ASSERT_EQ(node->start().message(), "");
    EXPECT_EQ(View(node->endpoint()).text(), later);
  }
}

TEST_P(TakeoverTest, TheWayBackIsARename) {
  Node was(etcd(), {.in_memory = true});
  ASSERT_EQ(was.start().message(), "");
  fill(&was, 30);
  const std::string want = View(was.endpoint()).text();
  was.kill();
  const auto files = files_of(was.data_dir() + "/member");

  auto node = ours_at(was, was.data_dir());
  ASSERT_EQ(node->start().message(), "");
  expect_writes(node.get());
  ASSERT_TRUE(node->stop().has_value());
  const std::string kept = kept_in(was.data_dir());
  ASSERT_NE(kept, "") << node->log();
  EXPECT_THAT(node->log(), HasSubstr(kept));
  EXPECT_EQ(files_of(kept), files);

  fs::remove_all(was.data_dir() + "/member");
  fs::rename(kept, was.data_dir() + "/member");
  ASSERT_EQ(was.start().message(), "");
  EXPECT_EQ(View(was.endpoint()).text(), want);
}

TEST_P(TakeoverTest, ALogInAnotherPlace) {
  TempDir logs(/*in_memory=*/true);
  const std::string flag = "--wal-dir=" + logs.path() + "/wal";
  Node was(etcd(), {.flags = {flag}, .in_memory = true});
  ASSERT_EQ(was.start().message(), "");
  fill(&was, 30);
  const std::string want = View(was.endpoint()).text();
  was.kill();
  const auto log = files_of(logs.path() + "/wal");

  auto without = ours_at(was, was.data_dir());
  expect_refusal(without.get(), "if that etcd ran with --wal-dir, mortised needs the same");
  auto node = ours_at(was, was.data_dir(), {flag});
  ASSERT_EQ(node->start().message(), "");
  EXPECT_EQ(View(node->endpoint()).text(), want);
  EXPECT_EQ(files_of(kept_in(logs.path() + "/wal")), log);
  EXPECT_NE(last_segment(logs.path() + "/wal"), "");
  EXPECT_FALSE(fs::exists(was.data_dir() + "/member/wal"));
  ASSERT_TRUE(node->stop().has_value());
  ASSERT_EQ(node->start().message(), "");
  EXPECT_EQ(View(node->endpoint()).text(), want);
}

class ThreeTest : public TakeoverTest {
 protected:
  // etcds, with what fill() does.
  void start_three() {
    std::string cluster;
    for (const char* name : {"a", "b", "c"}) {
      NodeOptions options{.name = name, .in_memory = true};
      options.peer_url = "http://127.0.0.1:" + std::to_string(free_port());
      cluster += (cluster.empty() ? "" : ",") + std::string(name) + "=" + options.peer_url;
      members_.push_back(std::make_unique<Node>(etcd(), options));
    }
    for (auto& member : members_) {
      member->options().initial_cluster = cluster;
      ASSERT_EQ(member->launch().message(), "");
    }
    for (auto& member : members_) ASSERT_EQ(member->wait_ready().message(), "");
    fill(members_[0].get(), 40);
    // What was answered by one has to be everywhere, to be compared.
    for (auto& member : members_) expect_key(member.get(), "leased");
    was_ = View(members_[1]->endpoint()).text();
    list_ = View(members_[1]->endpoint()).members();
  }
  std::unique_ptr<Node> ours(size_t i, std::vector<std::string> flags = {}) {
    return ours_at(*members_[i], members_[i]->data_dir(), std::move(flags));
  }
  // By a linearizable read, once there is a leader for it.
  static void expect_key(Node* node, const std::string& key) {
    Client client(node->endpoint());
    etcdserverpb::RangeRequest request;
    request.set_key(key);
    etcdserverpb::RangeResponse response;
    grpc::Status status;
    for (int i = 0; i < 100; ++i) {
      status = client.range(request, &response);
      if (status.ok()) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    expect_ok(status);
    EXPECT_EQ(response.kvs_size(), 1) << key;
  }
  std::vector<std::unique_ptr<Node>> members_;
  std::string was_, list_;
};

// An etcd before 3.5 could not live with a member of ours, so it waits until there is none.
TEST_P(ThreeTest, AllAtOnce) {
  start_three();
  members_[0]->kill();
  std::vector<std::unique_ptr<Node>> now;
  now.push_back(ours(0));
  ASSERT_EQ(now[0]->launch().message(), "");
  if (std::getenv("MORTISE_TAKEOVER_FROM") == nullptr) {
    ASSERT_TRUE(wait_for_line(*now[0], "runs an etcd before 3.5"));
    expect_key(members_[1].get(), "leased");
  }
  for (size_t i : {1, 2}) members_[i]->kill();
  for (size_t i : {1, 2}) {
    now.push_back(ours(i));
    ASSERT_EQ(now[i]->launch().message(), "");
  }
  for (auto& node : now) ASSERT_EQ(node->wait_ready().message(), "");
  for (auto& node : now) {
    EXPECT_EQ(View(node->endpoint()).text(), was_);
    EXPECT_EQ(View(node->endpoint()).members(), list_);
  }
  expect_writes(now[2].get());
  for (auto& node : now) expect_key(node.get(), "after");
}

TEST_P(ThreeTest, OneByOne) {
  if (std::getenv("MORTISE_TAKEOVER_FROM") == nullptr)
    GTEST_SKIP() << "needs an etcd of 3.6 or 3.7";
  start_three();
  const uint64_t id = View(members_[0]->endpoint()).member_id();
  members_[0]->kill();
  auto first = ours(0);
  ASSERT_EQ(first->start().message(), "");
  EXPECT_EQ(View(first->endpoint()).member_id(), id);
  EXPECT_EQ(View(first->endpoint()).members(), list_);
  expect_writes(first.get());
  expect_key(members_[1].get(), "after");
  EXPECT_EQ(View(first->endpoint()).text(), View(members_[1]->endpoint()).text());
  // It counts for the majority.
  members_[1]->kill();
  ASSERT_EQ(members_[2]->wait_ready().message(), "");
  expect_key(members_[2].get(), "after");

  // And one that is left goes on alone.
  ASSERT_TRUE(first->stop().has_value());
  members_[2]->kill();
  auto alone = ours(2, {"--force-new-cluster"});
  ASSERT_EQ(alone->start().message(), "");
  EXPECT_THAT(View(alone->endpoint()).members(),
              ::testing::AllOf(HasSubstr(" c "), ::testing::Not(HasSubstr(" a "))));
  expect_ok(Client(alone->endpoint()).put("alone", "value"));
}

TEST_P(TakeoverTest, WhatCannotBeTakenOverIsLeftAsItWas) {
  Node was(etcd(), {.in_memory = true});
  ASSERT_EQ(was.start().message(), "");
  fill(&was, 30);
  auto node = ours_at(was, was.data_dir());
  ASSERT_EQ(node->launch().message(), "");
  auto exit = node->wait();
  ASSERT_TRUE(exit.has_value());
  EXPECT_THAT(node->log(), HasSubstr("is in use: an etcd runs on it"));
  was.kill();

  const std::string wal = last_segment(was.data_dir() + "/member/wal");
  const std::string good = read_text(wal);
  std::string bad = good;
  const size_t at = good.find("leased");
  bad[at] = 'L';
  write_text(wal, bad);
  auto damaged_log = ours_at(was, was.data_dir());
  expect_refusal(damaged_log.get(), wal + ": offset ");
  write_text(wal, good);

  const std::string db = was.data_dir() + "/member/snap/db";
  const std::string database = read_text(db);
  write_text(db, std::string(database.size(), '\0'));
  auto damaged_db = ours_at(was, was.data_dir());
  expect_refusal(damaged_db.get(), db + ": ");
  write_text(db, database);
  auto whole = ours_at(was, was.data_dir());
  EXPECT_EQ(whole->start().message(), "");
}

INSTANTIATE_TEST_SUITE_P(Backends, TakeoverTest, ::testing::Values("rocksdb", "lmdb"),
                         [](const auto& info) { return info.param; });
INSTANTIATE_TEST_SUITE_P(Backends, ThreeTest, ::testing::Values("rocksdb", "lmdb"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace mortise::testing
