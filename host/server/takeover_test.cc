// A takeover that a crash ends at any point: the next start finds etcd's directory as it was, or
// finishes. tests/e2e/takeover_e2e_test.cc has etcd's own directories.
#include "host/server/takeover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "host/apply/applier.h"
#include "host/bbolt/test_rows.h"
#include "host/etcd_dir/snap_file.h"
#include "host/etcd_dir/test_log.h"
#include "host/loader/host_services.h"
#include "host/loader/loader.h"
#include "host/membership/cluster.h"
#include "host/raft/membership_codec.h"
#include "host/server/data_dir.h"
#include "host/wal/wal.h"

namespace mortise::server {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr const char* kMember = R"({"id":17,"peerURLs":["http://p:1"],"name":"one"})";
constexpr int kCrashed = 7;
constexpr uint64_t kSegmentBytes = 16384;

std::string u64(uint64_t v) {
  std::string bytes(8, '\0');
  mvcc::put_u64_be(bytes.data(), v);
  return bytes;
}

// The database of a member that has applied entry 3, in term 2.
bbolt::Buckets database() {
  bbolt::Buckets buckets;
  buckets["key"][mvcc::encode_revision({2, 0})] = "\x0a\x03key\x10\x02\x18\x02\x20\x01\x2a\x01v";
  buckets["lease"] = buckets["alarm"] = buckets["members_removed"] = {};
  buckets["meta"] = {{"consistent_index", u64(3)}, {"term", u64(2)}, {"storageVersion", "3.7.0"}};
  buckets["members"] = {{"11", kMember}};
  buckets["cluster"] = {{"clusterVersion", "3.7.0"}};
  return buckets;
}

std::string add_member_change() {
  raft::MembershipChange change;
  change.changes = {{raft::ChangeType::kAddNode, 0x11}};
  membership::Member member;
  member.id = 0x11;
  member.peer_urls = {"http://p:1"};
  change.context = membership::encode_change_context({member, false});
  return raft::encode_membership(change);
}

// Of all files, by their paths, with which one can see whether anything has changed.
std::map<std::string, std::string> files_of(const std::string& dir) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(dir)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    out[fs::relative(entry.path(), dir)] = {std::istreambuf_iterator<char>(file), {}};
  }
  return out;
}

class Entries : public wal::RecoverySink {
 public:
  void drop_from(uint64_t index) override { held.erase(held.lower_bound(index), held.end()); }
  Status append(const wal::EntryRecord& entry) override {
    held[entry.index] = std::to_string(entry.index) + "." + std::to_string(entry.term);
    return Status();
  }
  std::string text() const {
    std::string out;
    for (const auto& [index, entry] : held) out += entry + " ";
    return out;
  }
  std::map<uint64_t, std::string> held;
};

class TakeoverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/mortise-takeover-XXXXXX";
    root_ = ::mkdtemp(path);
    data_ = root_ + "/data";
    wal_ = data_ + "/member/wal";
    log_ = Log::open({.level = "error"}).value();
    fs::create_directories(data_ + "/member/snap");
  }
  void TearDown() override { fs::remove_all(root_); }

  void write_database(const bbolt::Buckets& buckets, const std::string& name = "db") {
    std::ofstream(data_ + "/member/snap/" + name, std::ios::binary) << bbolt::write_image(buckets);
  }
  // Entries 1 to 3 are applied, 4 is committed, 5 is not.
  etcd_dir::TestLog new_log() {
    fs::create_directories(wal_);
    etcd_dir::TestLog log(wal_);
    log.add(etcd_dir::kEntryRecord, etcd_dir::encode_entry(1, 1, add_member_change(), 1));
    for (uint64_t i = 2; i <= 5; ++i) log.add_entry(2, i, "");
    log.add_state(3, 4);
    return log;
  }
  void write_etcd() {
    write_database(database());
    new_log().write();
  }
  Status take_over(std::function<void(std::string_view)> at = [](std::string_view) {}) {
    TakeoverOptions options;
    options.data_dir = data_;
    options.wal_dir = wal_ == data_ + "/member/wal" ? "" : wal_;
    options.backend = "memory";
    options.import.open_store = [this](const std::string& path) { return open_store(path); };
    options.import.enforces_auth = enforces_auth_;
    options.import.log_segment_bytes = kSegmentBytes;
    options.at = std::move(at);
    return take_over_etcd(options, log_.get());
  }
  Result<std::unique_ptr<store::Store>> open_store(const std::string& path) {
    std::string plugins = std::string(std::getenv("MORTISE_BUILD_DIR")) + "/plugins";
    auto table = loader::backend(*loader::load("memory", {plugins}, "backend_").value()).value();
    return store::Store::open(table, host_.get(), path, "{}");
  }

  // "applied 3.2 members 11 voters 11; entries; term vote commit" of what is ours now.
  std::string ours() {
    auto store = open_store(data_ + "/member/store").value();
    uint64_t index = 0, term = 0;
    EXPECT_TRUE(store->applied(&index, &term).ok());
    auto reader = store->reader().value();
    membership::Cluster cluster(0x22, 0x11);
    EXPECT_TRUE(cluster.load(reader).ok());
    std::string out = "applied " + std::to_string(index) + "." + std::to_string(term) + " members";
    for (const auto& member : cluster.members()) out += " " + membership::hex_id(member.id);
    out += " voters";
    const auto conf_state = apply::read_conf_state(reader).value();
    for (uint64_t id : conf_state.voters) {
      out += " " + membership::hex_id(id);
    }
    wal::Options options;
    options.dir = fs::exists(data_ + "/member/wal") ? data_ + "/member/wal" : wal_;
    options.cluster_id = 0x22;
    options.member_id = 0x11;
    options.create_if_missing = false;
    options.segment_bytes = kSegmentBytes;
    Entries entries;
    auto log = wal::Wal::open(options, entries);
    if (!log.ok()) return out + "; " + log.status().message();
    const auto& state = (*log)->recovered().hard_state;
    return out + "; " + entries.text() + "; " + std::to_string(state->term) + " " +
           std::to_string(state->vote) + " " + std::to_string(state->commit);
  }
  static constexpr const char* kOurs =
      "applied 3.2 members 11 voters 11; 1.1 2.2 3.2 4.2 5.2 ; 3 17 4";
  std::string kept() {
    for (const auto& entry : fs::directory_iterator(data_)) {
      if (entry.path().filename().string().starts_with(kKeptEtcdPrefix)) return entry.path();
    }
    return "";
  }
  std::set<std::string> names_in(const std::string& dir) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(dir)) names.insert(entry.path().filename());
    return names;
  }
  void expect_refusal(const std::string& text) {
    const auto before = files_of(root_);
    Status status = take_over();
    ASSERT_FALSE(status.ok());
    EXPECT_THAT(status.message(), HasSubstr(text));
    EXPECT_EQ(files_of(root_), before);
    EXPECT_EQ(names_in(data_), std::set<std::string>{"member"});
  }
  void end_at_each_point();

  std::string root_, data_, wal_;
  std::unique_ptr<Log> log_;
  loader::HostObject host_{loader::HostOptions{}};
  bool enforces_auth_ = true;
};

TEST_F(TakeoverTest, TheMemberIsOurs) {
  write_etcd();
  const auto theirs = files_of(data_ + "/member");
  Status status = take_over();
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(ours(), kOurs);
  EXPECT_EQ(files_of(kept()), theirs);
  EXPECT_EQ(names_in(data_), (std::set<std::string>{"member", fs::path(kept()).filename()}));
  EXPECT_EQ(names_in(data_ + "/member"), (std::set<std::string>{"BACKEND", "store", "wal"}));
  auto dir = DataDir::open(data_, "", "memory");
  ASSERT_TRUE(dir.ok()) << dir.status().message();
  EXPECT_TRUE(dir->unknown_files().empty());
  EXPECT_TRUE(take_over().ok()) << "there is nothing more to take";
  EXPECT_EQ(ours(), kOurs);
}

TEST_F(TakeoverTest, ADirectoryOfOursOrNoneIsLeftAlone) {
  fs::remove_all(data_);
  EXPECT_TRUE(take_over().ok());
  EXPECT_FALSE(fs::exists(data_));
  {
    auto dir = DataDir::open(data_, "", "memory");
    ASSERT_TRUE(dir.ok());
    ASSERT_TRUE(dir->keep().ok());
  }
  const auto before = files_of(data_);
  EXPECT_TRUE(take_over().ok());
  EXPECT_EQ(files_of(data_), before);
}

// A process for each attempt, which ends without more ado at the point.
void TakeoverTest::end_at_each_point() {
  const auto theirs = files_of(root_);
  for (int point = 1;; ++point) {
    const pid_t child = ::fork();
    if (child == 0) {
      int left = point;
      Status status = take_over([&](std::string_view) {
        if (--left == 0) ::_exit(kCrashed);
      });
      ::_exit(status.ok() ? 0 : 1);
    }
    int ended = 0;
    ASSERT_EQ(::waitpid(child, &ended, 0), child);
    ASSERT_TRUE(WIFEXITED(ended));
    if (WEXITSTATUS(ended) == 0) {
      EXPECT_GE(point, 4);
      break;
    }
    ASSERT_EQ(WEXITSTATUS(ended), kCrashed);
    if (kept().empty()) {
      for (const auto& [name, bytes] : theirs) EXPECT_EQ(files_of(root_)[name], bytes) << name;
    }
    Status status = take_over();
    ASSERT_TRUE(status.ok()) << point << " " << status.message();
    EXPECT_EQ(ours(), kOurs);
    EXPECT_EQ(names_in(data_), (std::set<std::string>{"member", fs::path(kept()).filename()}));
    // As it was, for the next round.
    fs::remove_all(root_);
    for (const auto& [name, bytes] : theirs) {
      fs::create_directories(fs::path(root_ + "/" + name).parent_path());
      std::ofstream(root_ + "/" + name, std::ios::binary) << bytes;
    }
  }
  EXPECT_EQ(ours(), kOurs);
}

TEST_F(TakeoverTest, ACrashAtAnyPoint) {
  write_etcd();
  end_at_each_point();
}

TEST_F(TakeoverTest, ACrashAtAnyPointWithTheLogElsewhere) {
  wal_ = root_ + "/wal";
  write_database(database());
  auto log = new_log();
  log.cut(6);
  log.write();
  std::ofstream(wal_ + "/1.tmp") << "prepared";
  end_at_each_point();
  EXPECT_TRUE(fs::exists(data_ + "/member"));
  EXPECT_FALSE(fs::exists(data_ + "/member/wal"));
}

TEST_F(TakeoverTest, HalfOfItIsNotFinishedWithAnotherLog) {
  wal_ = root_ + "/wal";
  write_database(database());
  new_log().write();
  const pid_t child = ::fork();
  if (child == 0) {
    (void)take_over([](std::string_view at) {
      if (at == "decided") ::_exit(kCrashed);
    });
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  const std::string right = wal_;
  for (const std::string& wrong : {data_ + "/member/wal", root_ + "/other"}) {
    wal_ = wrong;
    EXPECT_THAT(take_over().message(), HasSubstr("half taken over with another --wal-dir"));
  }
  wal_ = right;
  ASSERT_TRUE(take_over().ok());
  EXPECT_EQ(ours(), kOurs);
}

TEST_F(TakeoverTest, NobodyElseMayUseTheDirectory) {
  write_etcd();
  const std::string db = data_ + "/member/snap/db";
  int fd = ::open(db.c_str(), O_RDWR);
  ASSERT_EQ(::flock(fd, LOCK_EX), 0);
  const auto before = files_of(root_);
  Status status = take_over();
  EXPECT_EQ(status.code(), StatusCode::kInUse);
  EXPECT_THAT(status.message(), HasSubstr(db + " is locked"));
  EXPECT_EQ(files_of(root_), before);
  ::close(fd);
  EXPECT_TRUE(take_over().ok());
}

TEST_F(TakeoverTest, TheDatabaseMustFitTheLog) {
  write_etcd();
  auto buckets = database();
  buckets["meta"]["consistent_index"] = u64(6);
  write_database(buckets);
  expect_refusal("the log ends with entry 5, but " + data_ +
                 "/member/snap/db holds what entries up to 6 did");
  write_database(database());
  auto log = new_log();
  log.add_state(3, 6);
  log.write();
  expect_refusal("the log ends with entry 5, but entries up to 6 were committed");
  log = new_log();
  log.add(etcd_dir::kSnapshotRecord, etcd_dir::encode_snapshot(4, 2));
  log.write();
  expect_refusal("db index 3) does not match with snapshot (index 4)");
  // The snapshot that a leader sent was on disk before the crash.
  buckets["meta"]["consistent_index"] = u64(4);
  write_database(buckets, "0000000000000004.snap.db");
  ASSERT_TRUE(take_over().ok());
  EXPECT_EQ(ours(), "applied 4.2 members 11 voters 11; 5.2 ; 3 17 4");
}

TEST_F(TakeoverTest, AMissingLogIsNamed) {
  write_database(database());
  expect_refusal("there is no log in " + wal_);
}

TEST_F(TakeoverTest, UsersNeedAPlugin) {
  write_etcd();
  auto buckets = database();
  buckets["auth"] = {{"authEnabled", std::string(1, '\1')}, {"authRevision", u64(3)}};
  write_database(buckets);
  enforces_auth_ = false;
  expect_refusal("--auth-plugin=none");
  enforces_auth_ = true;
  EXPECT_TRUE(take_over().ok());
}

// The database of an older etcd, or one that etcdctl 3.4 has put in another cluster, does not know
// the members: the log does.
TEST_F(TakeoverTest, MembersOfTheLog) {
  auto buckets = database();
  buckets["members"] = {{"99", R"({"id":153,"peerURLs":["http://old:1"]})"}};
  buckets["meta"]["term"] = u64(9);
  write_database(buckets);
  new_log().write();
  ASSERT_TRUE(take_over().ok());
  EXPECT_EQ(ours(), kOurs);
}

TEST_F(TakeoverTest, MembersOfTheSnapshot) {
  auto buckets = database();
  buckets["meta"] = {{"consistent_index", u64(3)}};
  buckets["members"] = {};
  write_database(buckets);
  auto log = new_log();
  log.add(etcd_dir::kSnapshotRecord, etcd_dir::encode_snapshot(3, 2));
  log.write();
  const std::string snap = data_ + "/member/snap/" + etcd_dir::snap_file_name(2, 3);
  expect_refusal("cannot read " + snap);

  std::string body, metadata, bytes;
  wire::append_bytes_field(&body, 1, R"({"Root":{"Children":{"0":{"Children":{"members":{"Children":
      {"11":{"Children":{"raftAttributes":{"Value":"{\"peerURLs\":[\"http://p:1\"]}"}}}}}}}}}})");
  etcd_dir::append_number(&metadata, 2, 3);
  etcd_dir::append_number(&metadata, 3, 2);
  wire::append_bytes_field(&body, 2, metadata);
  etcd_dir::append_number(&bytes, 1, crc32c(0, body));
  wire::append_bytes_field(&bytes, 2, body);
  std::ofstream(snap, std::ios::binary) << bytes;
  ASSERT_TRUE(take_over().ok());
  EXPECT_EQ(ours(), "applied 3.2 members 11 voters 11; 4.2 5.2 ; 3 17 4");
}

// One that was killed before it had applied anything.
TEST_F(TakeoverTest, NothingIsAppliedYet) {
  bbolt::Buckets buckets = database();
  for (auto& [name, rows] : buckets) rows.clear();
  write_database(buckets);
  new_log().write();
  Status status = take_over();
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(ours(), "applied 0.0 members voters; 1.1 2.2 3.2 4.2 5.2 ; 3 17 4");
}

}  // namespace
}  // namespace mortise::server
