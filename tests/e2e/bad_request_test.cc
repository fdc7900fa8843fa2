// Requests that no server can carry out, with etcd's codes and texts: too large, no message, no
// key, revisions that are not there, methods that are not served. Where etcd 3.4 says the same it
// is asked too.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

using ::testing::StartsWith;
using KV = etcdserverpb::KV::Stub;
using Lease = etcdserverpb::Lease::Stub;

constexpr const char* kServed[] = {
    "/etcdserverpb.KV/Range",
    "/etcdserverpb.KV/Put",
    "/etcdserverpb.KV/DeleteRange",
    "/etcdserverpb.KV/Txn",
    "/etcdserverpb.KV/Compact",
    "/etcdserverpb.Lease/LeaseGrant",
    "/etcdserverpb.Lease/LeaseRevoke",
    "/etcdserverpb.Lease/LeaseTimeToLive",
    "/etcdserverpb.Cluster/MemberList",
    "/etcdserverpb.Maintenance/Alarm",
    "/etcdserverpb.Maintenance/HashKV",
    "/etcdserverpb.Maintenance/Status",
    "/etcdserverpb.Lease/LeaseLeases",
    "/etcdserverpb.Maintenance/Defragment",
    "/etcdserverpb.KV/RangeStream",
    "/etcdserverpb.Maintenance/MoveLeader",
    "/v3lockpb.Lock/Lock",
    "/v3lockpb.Lock/Unlock",
    "/v3electionpb.Election/Campaign",
    "/v3electionpb.Election/Proclaim",
    "/v3electionpb.Election/Leader",
    "/v3electionpb.Election/Resign",
    "/grpc.health.v1.Health/Check",
    "/etcdserverpb.Auth/AuthEnable",
    "/etcdserverpb.Auth/Authenticate",
    "/etcdserverpb.Auth/UserAdd",
    "/etcdserverpb.Auth/RoleGrantPermission",
};

class BadRequestTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    Target target = is_etcd() ? etcd_target() : mortise_target(GetParam());
    if (!available(target)) GTEST_SKIP() << "Debian's etcd is not installed";
    node_ = std::make_unique<Node>(target, NodeOptions{.in_memory = true});
    ASSERT_EQ(node_->start().message(), "");
    client_ = std::make_unique<Client>(node_->endpoint());
  }
  void TearDown() override {
    if (!client_) return;
    // Whatever was asked of it, it goes on.
    EXPECT_EQ(status_text(client_->put("after", "v")), "OK");
  }
  bool is_etcd() const { return GetParam() == "etcd"; }

  template <typename Stub, typename Request, typename Response>
  std::string answer(Stub& stub,
                     grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                     const Request& request) {
    Response response;
    return status_text(client_->call(stub, method, request, &response));
  }
  std::string range_at(int64_t revision) {
    etcdserverpb::RangeRequest request;
    request.set_key("k");
    request.set_revision(revision);
    return answer(client_->kv(), &KV::Range, request);
  }

  std::unique_ptr<Node> node_;
  std::unique_ptr<Client> client_;
};

TEST_P(BadRequestTest, TooLarge) {
  EXPECT_EQ(status_text(client_->put("k", std::string(1572864 - 100, 'v'))), "OK");
  EXPECT_EQ(status_text(client_->put("k", std::string(1572864, 'v'))),
            "3 etcdserver: request is too large");
  etcdserverpb::TxnRequest txn;
  for (int i = 0; i < 2; ++i) {
    auto* put = txn.add_success()->mutable_request_put();
    put->set_key("k" + std::to_string(i));
    put->set_value(std::string(800000, 'v'));
  }
  EXPECT_EQ(answer(client_->kv(), &KV::Txn, txn), "3 etcdserver: request is too large");
  // Key and value with their tags and lengths: 3000009 bytes.
  EXPECT_EQ(status_text(client_->put("k", std::string(3000001, 'v'))),
            "8 grpc: received message larger than max (3000009 vs. 2097152)");
}

TEST_P(BadRequestTest, SetLimit) {
  node_->options().flags = {"--max-request-bytes=2000"};
  ASSERT_TRUE(node_->stop().has_value());
  ASSERT_EQ(node_->start().message(), "");
  EXPECT_EQ(status_text(client_->put("k", std::string(1000, 'v'))), "OK");
  EXPECT_EQ(status_text(client_->put("k", std::string(3000, 'v'))),
            "3 etcdserver: request is too large");
}

TEST_P(BadRequestTest, EmptyKeys) {
  const std::string text = "3 etcdserver: key is not provided";
  EXPECT_EQ(status_text(client_->put("", "v")), text);
  EXPECT_EQ(answer(client_->kv(), &KV::Range, etcdserverpb::RangeRequest()), text);
  EXPECT_EQ(answer(client_->kv(), &KV::DeleteRange, etcdserverpb::DeleteRangeRequest()), text);
  etcdserverpb::TxnRequest txn;
  txn.add_compare();
  EXPECT_EQ(answer(client_->kv(), &KV::Txn, txn), text);
  txn.clear_compare();
  txn.add_failure()->mutable_request_put();
  EXPECT_EQ(answer(client_->kv(), &KV::Txn, txn), text);
  txn.Clear();
  txn.add_success()->mutable_request_txn()->add_success()->mutable_request_delete_range();
  EXPECT_EQ(answer(client_->kv(), &KV::Txn, txn), text);
  txn.Clear();
  txn.add_success();
  EXPECT_EQ(answer(client_->kv(), &KV::Txn, txn), "3 etcdserver: key not found");
}

TEST_P(BadRequestTest, Revisions) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client_->put("k", "v").ok());
  const std::string future = "11 etcdserver: mvcc: required revision is a future revision";
  const std::string compacted = "11 etcdserver: mvcc: required revision has been compacted";
  EXPECT_EQ(range_at(6), "OK");
  EXPECT_EQ(range_at(7), future);
  etcdserverpb::CompactionRequest compaction;
  compaction.set_revision(7);
  EXPECT_EQ(answer(client_->kv(), &KV::Compact, compaction), future);
  compaction.set_revision(4);
  EXPECT_EQ(answer(client_->kv(), &KV::Compact, compaction), "OK");
  EXPECT_EQ(answer(client_->kv(), &KV::Compact, compaction), compacted);
  EXPECT_EQ(range_at(3), compacted);
  EXPECT_EQ(range_at(4), "OK");
  etcdserverpb::HashKVResponse hash;
  EXPECT_EQ(status_text(client_->hash_kv(7, &hash)), future);
  EXPECT_EQ(status_text(client_->hash_kv(3, &hash)), compacted);
}

TEST_P(BadRequestTest, Puts) {
  etcdserverpb::PutRequest put;
  put.set_key("k");
  put.set_ignore_value(true);
  EXPECT_EQ(answer(client_->kv(), &KV::Put, put), "3 etcdserver: key not found");
  put.set_value("v");
  EXPECT_EQ(answer(client_->kv(), &KV::Put, put), "3 etcdserver: value is provided");
  put.Clear();
  put.set_key("k");
  put.set_lease(5);
  EXPECT_EQ(answer(client_->kv(), &KV::Put, put), "5 etcdserver: requested lease not found");
  put.set_ignore_lease(true);
  EXPECT_EQ(answer(client_->kv(), &KV::Put, put), "3 etcdserver: lease is provided");
}

TEST_P(BadRequestTest, Txns) {
  etcdserverpb::TxnRequest txn;
  for (int i = 0; i < 129; ++i) txn.add_success()->mutable_request_range()->set_key("k");
  EXPECT_EQ(answer(client_->kv(), &KV::Txn, txn),
            "3 etcdserver: too many operations in txn request");
  txn.Clear();
  for (int i = 0; i < 2; ++i) txn.add_success()->mutable_request_put()->set_key("k");
  EXPECT_EQ(answer(client_->kv(), &KV::Txn, txn),
            "3 etcdserver: duplicate key given in txn request");
}

TEST_P(BadRequestTest, Leases) {
  etcdserverpb::LeaseGrantRequest grant;
  grant.set_ttl(9000000001);
  EXPECT_EQ(answer(client_->lease(), &Lease::LeaseGrant, grant),
            "11 etcdserver: too large lease TTL");
  grant.set_ttl(100);
  grant.set_id(7);
  EXPECT_EQ(answer(client_->lease(), &Lease::LeaseGrant, grant), "OK");
  EXPECT_EQ(answer(client_->lease(), &Lease::LeaseGrant, grant),
            "9 etcdserver: lease already exists");
  etcdserverpb::LeaseRevokeRequest revoke;
  revoke.set_id(8);
  EXPECT_EQ(answer(client_->lease(), &Lease::LeaseRevoke, revoke),
            "5 etcdserver: requested lease not found");
}

// Bytes that are no protobuf: a field that is cut short, one of wire type 7, a length beyond the
// end.
TEST_P(BadRequestTest, MalformedBytes) {
  for (const char* method : kServed) {
    // Not in etcd 3.4.
    if (is_etcd() && std::string(method).ends_with("RangeStream")) continue;
    for (std::string bytes : {std::string("\x0a"), std::string("\x0f\x01"),
                              std::string("\x0a\x7f"
                                          "ab"),
                              std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")}) {
      std::string response;
      grpc::Status status = client_->call_raw(method, bytes, &response);
      EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL)
          << method << ": " << status_text(status);
      EXPECT_THAT(status.error_message(), StartsWith("grpc: ")) << method;
    }
  }
}

TEST_P(BadRequestTest, MalformedBytesOnStreams) {
  for (const char* method : {"/etcdserverpb.Watch/Watch", "/etcdserverpb.Lease/LeaseKeepAlive"}) {
    std::string response;
    EXPECT_FALSE(client_->call_raw(method, "\x0a", &response).ok()) << method;
  }
}

// The library that reads it would say so in lines of its own.
TEST_P(BadRequestTest, TextThatIsNoUtf8LeavesTheLogInItsForm) {
  if (is_etcd()) GTEST_SKIP() << "its own log";
  std::string response;
  EXPECT_FALSE(client_->call_raw("/grpc.health.v1.Health/Check", "\x0a\x01\xff", &response).ok());
  std::istringstream log(node_->log());
  for (std::string line; std::getline(log, line);) EXPECT_THAT(line, StartsWith("{"));
}

// Fields that this version does not know are no error.
TEST_P(BadRequestTest, UnknownFieldsAreLeftOut) {
  etcdserverpb::PutRequest put;
  put.set_key("k");
  std::string response;
  std::string bytes = put.SerializeAsString() +
                      "\xfa\x3e\x03"
                      "new" +
                      "\x98\x7d\x05";
  EXPECT_EQ(status_text(client_->call_raw("/etcdserverpb.KV/Put", bytes, &response)), "OK");
}

// Two readers of one message must not come to different ends: one refuses it before it is logged,
// the other would have to when it is applied, where a member can only stop.
TEST_P(BadRequestTest, UnknownGroupsInRequestsAboutUsersAreLeftOut) {
  if (is_etcd()) GTEST_SKIP() << "its own readers";
  const std::string role = "\x0a\x01r\x5b\x5c";  // Field 11, a group without fields.
  std::string response;
  EXPECT_EQ(status_text(client_->call_raw("/etcdserverpb.Auth/RoleAdd", role, &response)), "OK");
  EXPECT_EQ(status_text(client_->call_raw("/etcdserverpb.Auth/RoleGet", role, &response)), "OK");
  EXPECT_EQ(status_text(client_->call_raw("/etcdserverpb.Auth/RoleDelete", role, &response)), "OK");
}

TEST_P(BadRequestTest, NotServed) {
  std::string response;
  EXPECT_EQ(status_text(client_->call_raw("/etcdserverpb.KV/Nothing", "", &response)),
            "12 unknown method Nothing for service etcdserverpb.KV");
  EXPECT_EQ(status_text(client_->call_raw("/etcdserverpb.Nothing/Range", "", &response)),
            "12 unknown service etcdserverpb.Nothing");
  EXPECT_EQ(status_text(client_->call_raw("/etcdserverpb.Cluster/MemberAdd", "", &response)),
            "3 etcdserver: given member URLs are invalid");
  for (const char* method : {"MemberRemove", "MemberPromote"}) {
    EXPECT_EQ(status_text(client_->call_raw(std::string("/etcdserverpb.Cluster/") + method,
                                            std::string("\x08\x07", 2), &response)),
              "5 etcdserver: member not found");
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, BadRequestTest, ::testing::Values("rocksdb", "lmdb", "etcd"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace mortise::testing
