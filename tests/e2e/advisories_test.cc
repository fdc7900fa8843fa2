// One test for each published advisory about etcd's authentication since 2021, named for it: each
// would fail on a server with that fault. docs/security.md lists them.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/auth_env.h"

namespace mortise::testing {
namespace {

namespace pb = ::etcdserverpb;
using std::string_literals::operator""s;

class Advisory : public ::testing::Test {
 protected:
  static NodeOptions options() {
    NodeOptions o;
    o.flags = kAuthFlags;
    o.flags.push_back("--log-level=debug");  // Shows debug pages, where there are any.
    o.in_memory = true;
    return o;
  }
  void SetUp() override {
    Status status = node_.start();
    ASSERT_TRUE(status.ok()) << status.message();
    root_ = std::make_unique<AuthClient>(node_.endpoint());
    low_ = std::make_unique<AuthClient>(node_.endpoint());
    root_->enable_with_root();
    root_->add_user_with_range("low", "mine");
    ASSERT_EQ(low_->login("low", "pw"), "OK");
    ASSERT_EQ(root_->put("secret", "of others"), "OK");
  }

  Node node_{mortise_target("rocksdb"), options()};
  std::unique_ptr<AuthClient> root_, low_;
};

// What the client's address answers to an HTTP request; empty if it serves none.
std::string http_get(const std::string& endpoint, const std::string& path) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  const int port = std::stoi(endpoint.substr(endpoint.find(':') + 1));
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  std::string request = "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  EXPECT_EQ(::send(fd, request.data(), request.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t n; (n = ::recv(fd, buffer, sizeof buffer, 0)) > 0;) {
    answer.append(buffer, static_cast<size_t>(n));
  }
  ::close(fd);
  return answer;
}

// A page for debugging showed the requests of logins, passwords and all.
TEST_F(Advisory, CVE_2021_28235_DebugPagesShowNoPassword) {
  ASSERT_EQ(root_->add_user("dora", "pw-of-dora"), "OK");
  AuthClient dora(node_.endpoint());
  ASSERT_EQ(dora.login("dora", "pw-of-dora"), "OK");
  for (const char* path : {"/debug/requests?fam=grpc.Recv.etcdserverpb.Auth&b=0&exp=1",
                           "/debug/events", "/debug/vars", "/debug/pprof/cmdline", "/metrics"}) {
    EXPECT_EQ(http_get(node_.endpoint(), path).find("pw-of-dora"), std::string::npos) << path;
  }
}

// LeaseTimeToLive told the names of keys to who could not read them.
TEST_F(Advisory, CVE_2023_32082_GHSA_3p4g_rcw5_8298_LeasesTellNoKeys) {
  ASSERT_EQ(root_->grant_lease(9), "OK");
  ASSERT_EQ(root_->put("secret", "v", 9), "OK");
  pb::LeaseTimeToLiveResponse response;
  EXPECT_EQ(low_->time_to_live(9, true, &response), kDenied);
  EXPECT_EQ(response.keys_size(), 0);
}

// MemberList, Alarm, the Lease service and Compact asked nobody.
TEST_F(Advisory, GHSA_q8m4_xhhv_38mg_NoServiceIsForNobody) {
  AuthClient nobody(node_.endpoint());
  Client& plain = nobody.plain();
  EXPECT_EQ(nobody.call(plain.cluster(), &pb::Cluster::Stub::MemberList, pb::MemberListRequest()),
            kNoUser);
  pb::AlarmRequest alarm;
  for (auto action :
       {pb::AlarmRequest::GET, pb::AlarmRequest::ACTIVATE, pb::AlarmRequest::DEACTIVATE}) {
    alarm.set_action(action);
    alarm.set_alarm(pb::NOSPACE);
    EXPECT_EQ(nobody.call(plain.maintenance(), &pb::Maintenance::Stub::Alarm, alarm), kNoUser);
  }
  ASSERT_EQ(root_->grant_lease(9), "OK");
  EXPECT_EQ(nobody.grant_lease(10), kNoUser);
  EXPECT_EQ(nobody.revoke_lease(9), kNoUser);
  EXPECT_EQ(nobody.time_to_live(9, false), kNoUser);
  EXPECT_EQ(nobody.call(plain.lease(), &pb::Lease::Stub::LeaseLeases, pb::LeaseLeasesRequest()),
            kNoUser);
  grpc::ClientContext context;
  nobody.prepare(&context);
  auto keep_alive = plain.lease().LeaseKeepAlive(&context);
  pb::LeaseKeepAliveRequest renewal;
  renewal.set_id(9);
  keep_alive->Write(renewal);
  pb::LeaseKeepAliveResponse renewed;
  EXPECT_FALSE(keep_alive->Read(&renewed));
  EXPECT_EQ(status_text(keep_alive->Finish()), kNoUser);
  pb::CompactionRequest compaction;
  compaction.set_revision(1);
  EXPECT_EQ(nobody.call(plain.kv(), &pb::KV::Stub::Compact, compaction), kNoUser);
  EXPECT_EQ(low_->call(low_->plain().kv(), &pb::KV::Stub::Compact, compaction), kDenied);
  EXPECT_EQ(nobody.call(plain.maintenance(), &pb::Maintenance::Stub::Status, pb::StatusRequest()),
            kNoUser);
}

// What was inside of an inner txn was not looked at.
TEST_F(Advisory, GHSA_rfx7_8w68_q57q_InnerTxnsAreLookedAt) {
  std::vector<pb::RequestOp> operations(4);
  operations[0].mutable_request_range()->set_key("secret");
  operations[1].mutable_request_put()->set_key("secret");
  operations[2].mutable_request_delete_range()->set_key("secret");
  operations[3].mutable_request_txn()->add_compare()->set_key("secret");
  for (const pb::RequestOp& operation : operations) {
    for (bool in_success : {true, false}) {
      pb::TxnRequest txn;
      pb::TxnRequest* inner = txn.add_success()->mutable_request_txn();
      *(in_success ? inner->add_success() : inner->add_failure()) = operation;
      EXPECT_EQ(low_->txn(txn), kDenied) << operation.ShortDebugString();
    }
  }
  pb::RangeResponse found;
  ASSERT_EQ(root_->range("secret", "", &found), "OK");
  EXPECT_EQ(found.kvs(0).value(), "of others");
}

// Puts in txns could read previous values and attach leases without the permission for it.
TEST_F(Advisory, CVE_2026_44283_GHSA_x35m_3gp4_4fh5_PutsInTxnsAreJudgedWhole) {
  ASSERT_EQ(root_->add_user("writer", "pw"), "OK");
  ASSERT_EQ(root_->add_role("writer"), "OK");
  ASSERT_EQ(root_->grant("writer", authpb::Permission::WRITE, "drop"), "OK");
  ASSERT_EQ(root_->grant_role("writer", "writer"), "OK");
  ASSERT_EQ(root_->grant_lease(9), "OK");
  ASSERT_EQ(root_->put("secret", "v", 9), "OK");
  ASSERT_EQ(root_->put("drop", "what was there"), "OK");
  AuthClient writer(node_.endpoint());
  ASSERT_EQ(writer.login("writer", "pw"), "OK");
  for (int depth : {0, 1, 3}) {
    for (bool with_lease : {false, true}) {
      pb::TxnRequest txn;
      pb::TxnRequest* at = &txn;
      for (int i = 0; i < depth; ++i) at = at->add_success()->mutable_request_txn();
      pb::PutRequest* put = at->add_success()->mutable_request_put();
      put->set_key("drop");
      EXPECT_EQ(writer.txn(txn), "OK");
      if (with_lease) {
        put->set_lease(9);
      } else {
        put->set_prev_kv(true);
      }
      EXPECT_EQ(writer.txn(txn), kDenied) << txn.ShortDebugString();
    }
  }
}

// A watch from a key on was judged as one of that key.
TEST_F(Advisory, GHSA_xg4h_6gfc_h4m8_AWatchFromAKeyOnNeedsAllOfThem) {
  AuthWatch watch(low_.get());
  const std::string denied =
      "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
  EXPECT_EQ(watch.create("mine", "\0"s), denied);
  EXPECT_EQ(watch.create("mine", "minf"), denied);
  EXPECT_EQ(watch.create("", "\0"s), denied);
  EXPECT_EQ(watch.create("mine"), "created");
  ASSERT_EQ(root_->put("secret"), "OK");
  ASSERT_EQ(root_->put("minf"), "OK");
  ASSERT_EQ(root_->put("mine"), "OK");
  EXPECT_EQ(watch.next(), "mine ");
}

}  // namespace
}  // namespace mortise::testing
