// Users, roles and permissions from outside: what each request needs, what a change does to those
// who are at work, what stays over a restart.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/e2e/auth_env.h"

namespace mortise::testing {
namespace {

namespace pb = ::etcdserverpb;
using std::string_literals::operator""s;

class AuthTest : public ::testing::Test {
 protected:
  static NodeOptions options() {
    NodeOptions o;
    o.flags = kAuthFlags;
    o.in_memory = true;
    return o;
  }
  void SetUp() override {
    Status status = node_.start();
    ASSERT_TRUE(status.ok()) << status.message();
    root_ = std::make_unique<AuthClient>(node_.endpoint());
    alice_ = std::make_unique<AuthClient>(node_.endpoint());
  }
  // Alice has the keys from "a" to "b", nothing else.
  void enable() {
    root_->enable_with_root();
    root_->add_user_with_range("alice", "a", "b");
    ASSERT_EQ(alice_->login("alice", "pw"), "OK");
  }

  Node node_{mortise_target("rocksdb"), options()};
  std::unique_ptr<AuthClient> root_, alice_;
};

TEST_F(AuthTest, WithoutItNobodyIsAsked) {
  EXPECT_EQ(alice_->put("x"), "OK");
  EXPECT_EQ(alice_->login("alice", "pw"), "9 etcdserver: authentication is not enabled");
  alice_->set_token("nonsense.1");
  EXPECT_EQ(alice_->put("x"), "OK");
  EXPECT_EQ(root_->enable(), "9 etcdserver: root user does not exist");
  ASSERT_EQ(root_->add_user("root", "pw"), "OK");
  EXPECT_EQ(root_->enable(), "9 etcdserver: root user does not have root role");
}

TEST_F(AuthTest, EveryOperationNeedsItsPermission) {
  enable();
  for (const char* key : {"a", "a5", "a\xff"}) {
    EXPECT_EQ(alice_->put(key), "OK");
    EXPECT_EQ(alice_->range(key), "OK");
    EXPECT_EQ(alice_->remove(key), "OK");
  }
  for (const std::string& key : {"b"s, "\0"s, "`"s, "A"s}) {
    EXPECT_EQ(alice_->put(key), kDenied);
    EXPECT_EQ(alice_->range(key), kDenied);
    EXPECT_EQ(alice_->remove(key), kDenied);
  }
  EXPECT_EQ(alice_->range("a", "b"), "OK");
  EXPECT_EQ(alice_->range("a", "b\0"s), kDenied);
  EXPECT_EQ(alice_->range("a", "\0"s), kDenied);
  EXPECT_EQ(alice_->remove("a", "\0"s), kDenied);
  EXPECT_EQ(alice_->range("\0"s, "\0"s), kDenied);
  EXPECT_EQ(root_->range("\0"s, "\0"s), "OK");
}

TEST_F(AuthTest, WhoSaysNothingOrNonsenseIsRefused) {
  enable();
  AuthClient nobody(node_.endpoint());
  EXPECT_EQ(nobody.put("a1"), kNoUser);
  EXPECT_EQ(nobody.range("a1"), kNoUser);
  EXPECT_EQ(nobody.grant_lease(5), kNoUser);
  // Tokens that never were: of other forms, of an entry that never was, of the future.
  for (const char* token : {"x", "x.y", "abcdefghijklmnop.7", "abcdefghijklmnop.99999999999",
                            "abcdefghijklmnop.99999999999999999999999", "a.b.c"}) {
    nobody.set_token(token);
    EXPECT_EQ(nobody.put("a1"), kBadToken) << token;
    EXPECT_EQ(nobody.range("a1"), kBadToken) << token;
  }
  // None, and an empty one: who sends that means to say something.
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallBound);
  context.AddMetadata("token", "");
  pb::RangeResponse none;
  pb::RangeRequest range;
  range.set_key("a1");
  EXPECT_EQ(status_text(nobody.plain().kv().Range(&context, range, &none)), kBadToken);
  nobody.set_token("");
  EXPECT_EQ(nobody.call(nobody.plain().auth(), &pb::Auth::Stub::UserGet, pb::AuthUserGetRequest()),
            "9 etcdserver: user name not found");
  EXPECT_EQ(nobody.login("alice", "wrong"),
            "3 etcdserver: authentication failed, invalid user ID or password");
  EXPECT_EQ(nobody.login("mallory", "pw"),
            "3 etcdserver: authentication failed, invalid user ID or password");
}

TEST_F(AuthTest, MaintenanceIsForAdministrators) {
  enable();
  Client& plain = alice_->plain();
  EXPECT_EQ(alice_->call(plain.maintenance(), &pb::Maintenance::Stub::Status, pb::StatusRequest()),
            "OK");
  EXPECT_EQ(alice_->call(plain.cluster(), &pb::Cluster::Stub::MemberList, pb::MemberListRequest()),
            "OK");
  EXPECT_EQ(alice_->call(plain.maintenance(), &pb::Maintenance::Stub::Alarm, pb::AlarmRequest()),
            "OK");
  pb::AlarmRequest alarm;
  alarm.set_action(pb::AlarmRequest::ACTIVATE);
  alarm.set_alarm(pb::NOSPACE);
  EXPECT_EQ(alice_->call(plain.maintenance(), &pb::Maintenance::Stub::Alarm, alarm), kDenied);
  alarm.set_action(static_cast<pb::AlarmRequest::AlarmAction>(7));
  EXPECT_EQ(alice_->call(plain.maintenance(), &pb::Maintenance::Stub::Alarm, alarm), kDenied);
  EXPECT_EQ(
      AuthClient(node_.endpoint()).call(plain.maintenance(), &pb::Maintenance::Stub::Alarm, alarm),
      kNoUser);
  EXPECT_EQ(root_->call(root_->plain().maintenance(), &pb::Maintenance::Stub::Alarm, alarm),
            "2 etcdserver: unknown method");
  EXPECT_EQ(alice_->call(plain.maintenance(), &pb::Maintenance::Stub::Defragment,
                         pb::DefragmentRequest()),
            kDenied);
  EXPECT_EQ(alice_->call(plain.maintenance(), &pb::Maintenance::Stub::Hash, pb::HashRequest()),
            kDenied);
  EXPECT_EQ(alice_->call(plain.maintenance(), &pb::Maintenance::Stub::HashKV, pb::HashKVRequest()),
            kDenied);
  EXPECT_EQ(alice_->call(plain.maintenance(), &pb::Maintenance::Stub::MoveLeader,
                         pb::MoveLeaderRequest()),
            kDenied);
  EXPECT_EQ(
      alice_->call(plain.maintenance(), &pb::Maintenance::Stub::Downgrade, pb::DowngradeRequest()),
      kDenied);
  EXPECT_EQ(alice_->call(plain.cluster(), &pb::Cluster::Stub::MemberAdd, pb::MemberAddRequest()),
            kDenied);
  EXPECT_EQ(
      alice_->call(plain.cluster(), &pb::Cluster::Stub::MemberRemove, pb::MemberRemoveRequest()),
      kDenied);
  pb::CompactionRequest compaction;
  compaction.set_revision(1);
  EXPECT_EQ(alice_->call(plain.kv(), &pb::KV::Stub::Compact, compaction), kDenied);
  grpc::ClientContext context;
  alice_->prepare(&context);
  auto snapshot = plain.maintenance().Snapshot(&context, pb::SnapshotRequest());
  pb::SnapshotResponse piece;
  EXPECT_FALSE(snapshot->Read(&piece));
  EXPECT_EQ(status_text(snapshot->Finish()), kDenied);
}

TEST_F(AuthTest, UsersSeeThemselvesOnly) {
  enable();
  Client& plain = alice_->plain();
  pb::AuthUserGetRequest user;
  user.set_name("alice");
  EXPECT_EQ(alice_->call(plain.auth(), &pb::Auth::Stub::UserGet, user), "OK");
  user.set_name("root");
  EXPECT_EQ(alice_->call(plain.auth(), &pb::Auth::Stub::UserGet, user), kDenied);
  pb::AuthRoleGetRequest role;
  role.set_role("alice");
  EXPECT_EQ(alice_->call(plain.auth(), &pb::Auth::Stub::RoleGet, role), "OK");
  role.set_role("root");
  EXPECT_EQ(alice_->call(plain.auth(), &pb::Auth::Stub::RoleGet, role), kDenied);
  EXPECT_EQ(alice_->call(plain.auth(), &pb::Auth::Stub::UserList, pb::AuthUserListRequest()),
            kDenied);
  EXPECT_EQ(alice_->add_user("bob", "pw"), kDenied);
  EXPECT_EQ(alice_->grant_role("alice", "root"), kDenied);
  EXPECT_EQ(alice_->disable(), kDenied);
  EXPECT_EQ(alice_->change_password("root", "mine"), kDenied);
}

TEST_F(AuthTest, NestedTxnsAreJudgedWhole) {
  enable();
  ASSERT_EQ(root_->put("b", "secret"), "OK");
  auto with_compare = [](const std::string& key) {
    pb::TxnRequest txn;
    txn.add_compare()->set_key(key);
    return txn;
  };
  EXPECT_EQ(alice_->txn(with_compare("a")), "OK");
  EXPECT_EQ(alice_->txn(with_compare("b")), kDenied);
  // In the branch that is not taken, three levels down.
  pb::TxnRequest deep;
  pb::TxnRequest* at = &deep;
  for (int i = 0; i < 3; ++i) at = at->add_failure()->mutable_request_txn();
  at->add_success()->mutable_request_put()->set_key("b");
  EXPECT_EQ(alice_->txn(deep), kDenied);
  at->mutable_success(0)->mutable_request_put()->set_key("a");
  EXPECT_EQ(alice_->txn(deep), "OK");
  *at->add_compare() = with_compare("b").compare(0);
  EXPECT_EQ(alice_->txn(deep), kDenied);
}

TEST_F(AuthTest, PreviousPairsAreRead) {
  enable();
  ASSERT_EQ(root_->add_user("writer", "pw"), "OK");
  ASSERT_EQ(root_->add_role("writer"), "OK");
  ASSERT_EQ(root_->grant("writer", authpb::Permission::WRITE, "a", "b"), "OK");
  ASSERT_EQ(root_->grant_role("writer", "writer"), "OK");
  AuthClient writer(node_.endpoint());
  ASSERT_EQ(writer.login("writer", "pw"), "OK");
  EXPECT_EQ(writer.put("a1"), "OK");
  EXPECT_EQ(writer.put("a1", "v", 0, /*prev_kv=*/true), kDenied);
  EXPECT_EQ(writer.remove("a1", "", /*prev_kv=*/true), kDenied);
  EXPECT_EQ(writer.range("a1"), kDenied);
  EXPECT_EQ(writer.remove("a1"), "OK");
}

TEST_F(AuthTest, LeasesBelongToWhoMayWriteTheirKeys) {
  enable();
  ASSERT_EQ(alice_->grant_lease(7), "OK");
  ASSERT_EQ(alice_->put("a1", "v", 7), "OK");
  EXPECT_EQ(alice_->time_to_live(7, true), "OK");
  ASSERT_EQ(root_->put("secret", "v", 7), "OK");
  EXPECT_EQ(alice_->put("a2", "v", 7), kDenied);
  EXPECT_EQ(alice_->revoke_lease(7), kDenied);
  EXPECT_EQ(alice_->time_to_live(7, false), "OK");
  pb::LeaseTimeToLiveResponse response;
  EXPECT_EQ(alice_->time_to_live(7, true, &response), kDenied);
  EXPECT_EQ(response.keys_size(), 0);
  EXPECT_EQ(alice_->call(alice_->plain().lease(), &pb::Lease::Stub::LeaseLeases,
                         pb::LeaseLeasesRequest()),
            kDenied);
  grpc::ClientContext context;
  alice_->prepare(&context);
  auto keep_alive = alice_->plain().lease().LeaseKeepAlive(&context);
  pb::LeaseKeepAliveRequest renewal;
  renewal.set_id(7);
  keep_alive->Write(renewal);
  pb::LeaseKeepAliveResponse renewed;
  EXPECT_FALSE(keep_alive->Read(&renewed));
  EXPECT_EQ(status_text(keep_alive->Finish()), kDenied);
  ASSERT_EQ(root_->remove("secret"), "OK");
  EXPECT_EQ(alice_->revoke_lease(7), "OK");
}

TEST_F(AuthTest, WatchesNeedTheirWholeRange) {
  enable();
  AuthWatch watch(alice_.get());
  const std::string denied =
      "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
  EXPECT_EQ(watch.create("a", "b"), "created");
  EXPECT_EQ(watch.create("a1"), "created");
  for (const auto& [key, end] : std::vector<std::pair<std::string, std::string>>{
           {"b", ""}, {"a", "\0"s}, {"", ""}, {"", "\0"s}, {"\0"s, "\0"s}, {"a", "b\0"s}}) {
    EXPECT_EQ(watch.create(key, end), denied) << key << " " << end;
  }
  ASSERT_EQ(root_->put("b"), "OK");
  ASSERT_EQ(root_->put("a1"), "OK");
  EXPECT_EQ(watch.next(), "a1 ");
}

// A permission for one key is for that key, whatever form the watch takes.
TEST_F(AuthTest, AWatchOfOneKeyNeverBecomesAnOpenRange) {
  enable();
  root_->add_user_with_range("bob", "k");
  AuthClient bob(node_.endpoint());
  ASSERT_EQ(bob.login("bob", "pw"), "OK");
  AuthWatch watch(&bob);
  EXPECT_EQ(watch.create("k"), "created");
  EXPECT_NE(watch.create("k", "\0"s), "created");
  EXPECT_NE(watch.create("k", "l"), "created");
  ASSERT_EQ(root_->put("k0"), "OK");
  ASSERT_EQ(root_->put("l"), "OK");
  ASSERT_EQ(root_->put("k"), "OK");
  EXPECT_EQ(watch.next(), "k ");
}

TEST_F(AuthTest, ARunningWatchEndsWithItsPermission) {
  enable();
  AuthWatch watch(alice_.get());
  EXPECT_EQ(watch.create("a", "b"), "created");
  ASSERT_EQ(root_->put("a1"), "OK");
  EXPECT_EQ(watch.next(), "a1 ");
  ASSERT_EQ(root_->revoke_role("alice", "alice"), "OK");
  ASSERT_EQ(root_->put("a2"), "OK");
  EXPECT_EQ(watch.next(),
            "canceled rpc error: code = PermissionDenied desc = etcdserver: permission denied");
  EXPECT_EQ(alice_->put("a1"), kDenied);
}

TEST_F(AuthTest, ARunningWatchSurvivesOtherChanges) {
  enable();
  AuthWatch watch(alice_.get());
  EXPECT_EQ(watch.create("a", "b"), "created");
  root_->add_user_with_range("bob", "b");
  ASSERT_EQ(root_->delete_user("bob"), "OK");
  ASSERT_EQ(root_->put("a1"), "OK");
  EXPECT_EQ(watch.next(), "a1 ");
}

TEST_F(AuthTest, WatchesOfDeletedUsersAndOldPasswordsEnd) {
  enable();
  AuthWatch watch(alice_.get());
  EXPECT_EQ(watch.create("a", "b"), "created");
  ASSERT_EQ(root_->change_password("alice", "new"), "OK");
  EXPECT_EQ(watch.next(),
            "canceled rpc error: code = Unauthenticated desc = etcdserver: invalid auth token");
  EXPECT_EQ(alice_->put("a1"), kBadToken);
  ASSERT_EQ(alice_->login("alice", "new"), "OK");
  AuthWatch again(alice_.get());
  EXPECT_EQ(again.create("a", "b"), "created");
  ASSERT_EQ(root_->delete_user("alice"), "OK");
  EXPECT_EQ(again.next(),
            "canceled rpc error: code = Unauthenticated desc = etcdserver: invalid auth token");
  EXPECT_EQ(alice_->put("a1"), kBadToken);
}

TEST_F(AuthTest, WatchesOfNobodyEndWhenAuthenticationBegins) {
  AuthClient nobody(node_.endpoint());
  AuthWatch watch(&nobody);
  EXPECT_EQ(watch.create("a", "b"), "created");
  enable();
  EXPECT_EQ(watch.next(),
            "canceled rpc error: code = InvalidArgument desc = etcdserver: user name is empty");
}

TEST_F(AuthTest, DisablingEndsAllTokens) {
  enable();
  const std::string token = alice_->token();
  ASSERT_EQ(root_->disable(), "OK");
  EXPECT_EQ(alice_->put("zzz"), "OK");
  ASSERT_EQ(root_->enable(), "OK");
  EXPECT_EQ(alice_->put("a1"), kBadToken);
  ASSERT_EQ(alice_->login("alice", "pw"), "OK");
  EXPECT_NE(alice_->token(), token);
  EXPECT_EQ(alice_->put("a1"), "OK");
  EXPECT_EQ(alice_->put("zzz"), kDenied);
}

TEST_F(AuthTest, LocksAndElectionsActAsTheirCallers) {
  enable();
  root_->add_user_with_range("locker", "lock/", "lock0");
  AuthClient locker(node_.endpoint());
  ASSERT_EQ(locker.login("locker", "pw"), "OK");
  auto lock_as = [](AuthClient& client, const std::string& name, std::string* key) {
    auto stub = v3lockpb::Lock::NewStub(client.plain().channel());
    v3lockpb::LockRequest request;
    request.set_name(name);
    v3lockpb::LockResponse response;
    std::string status = client.call(*stub, &v3lockpb::Lock::Stub::Lock, request, &response);
    *key = response.key();
    return status;
  };
  std::string key;
  EXPECT_EQ(lock_as(locker, "lock", &key), "OK");
  EXPECT_TRUE(key.starts_with("lock/"));
  std::string denied_key;
  EXPECT_EQ(lock_as(*alice_, "lock", &denied_key), "2 etcdserver: permission denied");
  EXPECT_EQ(lock_as(locker, "other", &denied_key), "2 etcdserver: permission denied");
  AuthClient nobody(node_.endpoint());
  EXPECT_EQ(lock_as(nobody, "lock", &denied_key), "2 etcdserver: user name is empty");
  auto stub = v3lockpb::Lock::NewStub(alice_->plain().channel());
  v3lockpb::UnlockRequest unlock;
  unlock.set_key(key);
  EXPECT_EQ(alice_->call(*stub, &v3lockpb::Lock::Stub::Unlock, unlock),
            "2 etcdserver: permission denied");
  EXPECT_EQ(locker.call(*stub, &v3lockpb::Lock::Stub::Unlock, unlock), "OK");
  auto election = v3electionpb::Election::NewStub(alice_->plain().channel());
  v3electionpb::LeaderRequest leader;
  leader.set_name("lock");
  EXPECT_EQ(alice_->call(*election, &v3electionpb::Election::Stub::Leader, leader),
            "2 etcdserver: permission denied");
}

TEST_F(AuthTest, RangeStreamsAreJudgedToo) {
  enable();
  auto stream_as = [](AuthClient& client, const std::string& key, const std::string& end) {
    pb::RangeRequest request;
    request.set_key(key);
    request.set_range_end(end);
    grpc::ClientContext context;
    client.prepare(&context);
    auto reader = client.plain().kv().RangeStream(&context, request);
    pb::RangeStreamResponse chunk;
    while (reader->Read(&chunk)) continue;
    return status_text(reader->Finish());
  };
  EXPECT_EQ(stream_as(*alice_, "a", "b"), "OK");
  EXPECT_EQ(stream_as(*alice_, "a", "\0"s), kDenied);
  AuthClient nobody(node_.endpoint());
  EXPECT_EQ(stream_as(nobody, "a", "b"), kNoUser);
}

TEST_F(AuthTest, ExpiredLeasesAreRevokedInTheNameOfRoot) {
  enable();
  pb::LeaseGrantRequest grant;
  grant.set_id(77);
  grant.set_ttl(1);
  ASSERT_EQ(root_->call(root_->plain().lease(), &pb::Lease::Stub::LeaseGrant, grant), "OK");
  ASSERT_EQ(root_->put("gone", "v", 77), "OK");
  pb::RangeResponse found;
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  do {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    found.Clear();
    ASSERT_EQ(root_->range("gone", "", &found), "OK");
  } while (found.kvs_size() > 0 && std::chrono::steady_clock::now() < deadline);
  EXPECT_EQ(found.kvs_size(), 0);
}

TEST_F(AuthTest, ARestartKeepsUsersAndEndsTokens) {
  enable();
  const std::string token = alice_->token();
  ASSERT_TRUE(node_.stop().has_value());
  ASSERT_TRUE(node_.start().ok());
  AuthClient alice(node_.endpoint());
  EXPECT_EQ(alice.put("a1"), kNoUser);
  alice.set_token(token);
  EXPECT_EQ(alice.put("a1"), kBadToken);
  ASSERT_EQ(alice.login("alice", "pw"), "OK");
  EXPECT_EQ(alice.put("a1"), "OK");
  EXPECT_EQ(alice.put("b1"), kDenied);
}

TEST_F(AuthTest, NothingSecretIsLogged) {
  node_.stop();
  node_.options().flags.push_back("--log-level=debug");
  ASSERT_TRUE(node_.start().ok());
  root_ = std::make_unique<AuthClient>(node_.endpoint());
  alice_ = std::make_unique<AuthClient>(node_.endpoint());
  root_->enable_with_root();
  ASSERT_EQ(root_->add_user("carol", "very-secret-1"), "OK");
  ASSERT_EQ(root_->add_user("carol", "very-secret-1"), "9 etcdserver: user name already exists");
  ASSERT_EQ(root_->change_password("carol", "very-secret-2"), "OK");
  ASSERT_EQ(alice_->login("carol", "very-secret-2"), "OK");
  EXPECT_NE(alice_->login("carol", "very-secret-3"), "OK");
  ASSERT_EQ(alice_->login("carol", "very-secret-2"), "OK");
  EXPECT_EQ(alice_->put("a"), kDenied);
  std::string log = node_.log();
  EXPECT_EQ(log.find("very-secret"), std::string::npos);
  EXPECT_EQ(log.find(alice_->token()), std::string::npos);
  EXPECT_EQ(log.find("$2"), std::string::npos);
}

TEST(NoAuthTest, AMemberWithoutThePluginSaysSo) {
  NodeOptions options;
  options.flags = {"--auth-plugin=none"};
  options.in_memory = true;
  Node node(mortise_target("rocksdb"), options);
  ASSERT_TRUE(node.start().ok());
  AuthClient client(node.endpoint());
  const std::string refusal =
      "9 etcdserver: this member runs without a plugin for authentication (--auth-plugin=none)";
  EXPECT_EQ(client.enable(), refusal);
  EXPECT_EQ(client.add_user("root", "pw"), refusal);
  EXPECT_EQ(client.login("root", "pw"), "9 etcdserver: authentication is not enabled");
  pb::AuthStatusResponse status;
  EXPECT_EQ(client.call(client.plain().auth(), &pb::Auth::Stub::AuthStatus, pb::AuthStatusRequest(),
                        &status),
            "OK");
  EXPECT_FALSE(status.enabled());
}

}  // namespace
}  // namespace mortise::testing
