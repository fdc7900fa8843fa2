// Pins wire bytes worked out by hand, and the names and kinds of the RPCs. Existing clients and
// logs depend on both.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "proto/health.grpc.pb.h"
#include "proto/kv.pb.h"
#include "proto/lease.pb.h"
#include "proto/raft.pb.h"
#include "proto/raft_internal.pb.h"
#include "proto/rpc.grpc.pb.h"

namespace {

std::string hex(const google::protobuf::MessageLite& message) {
  static constexpr char kDigits[] = "0123456789abcdef";
  const std::string bytes = message.SerializeAsString();
  std::string out;
  for (unsigned char c : bytes) {
    if (!out.empty()) out += ' ';
    out += kDigits[c >> 4];
    out += kDigits[c & 15];
  }
  return out;
}

TEST(Wire, KeyValue) {
  mvccpb::KeyValue kv;
  kv.set_key("foo");
  kv.set_create_revision(2);
  kv.set_mod_revision(300);
  kv.set_version(1);
  kv.set_value("bar");
  EXPECT_EQ(hex(kv), "0a 03 66 6f 6f 10 02 18 ac 02 20 01 2a 03 62 61 72");
  kv.set_lease(-1);
  kv.clear_key();
  kv.clear_value();
  EXPECT_EQ(hex(kv), "10 02 18 ac 02 20 01 30 ff ff ff ff ff ff ff ff ff 01");
}

TEST(Wire, InternalRaftRequestPut) {
  etcdserverpb::InternalRaftRequest request;
  request.mutable_header()->set_id(1);
  request.mutable_put()->set_key("k");
  request.mutable_put()->set_value("v");
  // Field 4 first, then field 100: tag 100 << 3 | 2 = 802.
  EXPECT_EQ(hex(request), "22 06 0a 01 6b 12 01 76 a2 06 02 08 01");
}

TEST(Wire, InternalRaftRequestHighNumbers) {
  etcdserverpb::InternalRaftRequest request;
  request.mutable_authenticate();
  EXPECT_EQ(hex(request), "a2 3f 00");
  request.Clear();
  request.mutable_cluster_version_set()->set_ver("3");
  EXPECT_EQ(hex(request), "a2 51 03 0a 01 33");
  request.Clear();
  request.mutable_downgrade_version_test();
  EXPECT_EQ(hex(request), "e2 ea 04 00");
}

TEST(Wire, InternalRaftRequestSkipsTheOldRequestInFieldTwo) {
  etcdserverpb::InternalRaftRequest request;
  ASSERT_TRUE(request.ParseFromString(std::string("\x12\x02\x08\x01\x08\x07", 6)));
  EXPECT_EQ(request.id(), 7u);
  EXPECT_FALSE(request.has_put());
}

TEST(Wire, TxnCompare) {
  etcdserverpb::Compare compare;
  compare.set_result(etcdserverpb::Compare::NOT_EQUAL);
  compare.set_target(etcdserverpb::Compare::LEASE);
  compare.set_key("a");
  compare.set_lease(0);  // A oneof member is on the wire even if it is zero.
  compare.set_range_end("b");
  EXPECT_EQ(hex(compare), "08 03 10 04 1a 01 61 40 00 82 04 01 62");
}

TEST(Wire, Watch) {
  etcdserverpb::WatchRequest request;
  auto* create = request.mutable_create_request();
  create->set_key("k");
  create->add_filters(etcdserverpb::WatchCreateRequest::NOPUT);
  create->add_filters(etcdserverpb::WatchCreateRequest::NODELETE);
  EXPECT_EQ(hex(request), "0a 07 0a 01 6b 2a 02 00 01");

  etcdserverpb::WatchResponse response;
  auto* event = response.add_events();
  event->set_type(mvccpb::Event::DELETE);
  event->mutable_kv()->set_key("k");
  EXPECT_EQ(hex(response), "5a 07 08 01 12 03 0a 01 6b");
}

TEST(Wire, LeaseTimeToLiveOfAnUnknownLease) {
  etcdserverpb::LeaseTimeToLiveResponse response;
  response.set_id(5);
  response.set_ttl(-1);
  EXPECT_EQ(hex(response), "10 05 18 ff ff ff ff ff ff ff ff ff 01");
}

TEST(Wire, StoredLease) {
  leasepb::Lease lease;
  lease.set_id(1);
  lease.set_ttl(60);
  lease.set_remainingttl(7);
  EXPECT_EQ(hex(lease), "08 01 10 3c 18 07");
}

TEST(Wire, RaftFieldsHavePresence) {
  raftpb::Entry entry;
  entry.set_term(1);
  entry.set_index(2);
  entry.set_data("x");
  EXPECT_EQ(hex(entry), "10 01 18 02 22 01 78");
  entry.set_type(raftpb::EntryNormal);
  EXPECT_EQ(hex(entry), "08 00 10 01 18 02 22 01 78");

  raftpb::HardState state;
  state.set_term(2);
  state.set_vote(0);
  EXPECT_EQ(hex(state), "08 02 10 00");
}

TEST(Wire, ConfStateIsNotPacked) {
  raftpb::ConfState state;
  state.add_voters(1);
  state.add_voters(2);
  state.add_learners(3);
  state.set_auto_leave(false);
  EXPECT_EQ(hex(state), "08 01 08 02 10 03 28 00");
}

TEST(Wire, RaftMessage) {
  raftpb::Message message;
  message.set_type(raftpb::MsgForgetLeader);
  message.set_to(1);
  message.set_from(2);
  message.set_vote(3);
  message.add_responses()->set_type(raftpb::MsgHup);
  EXPECT_EQ(hex(message), "08 17 10 01 18 02 68 03 72 02 08 00");
}

TEST(Wire, ConfChange) {
  raftpb::ConfChange change;
  change.set_id(9);
  change.set_type(raftpb::ConfChangeAddLearnerNode);
  change.set_node_id(4);
  EXPECT_EQ(hex(change), "08 09 10 03 18 04");
}

// Every method as its path, and which sides of it are streams.
std::vector<std::string> methods_of(const google::protobuf::ServiceDescriptor* service) {
  std::vector<std::string> out;
  for (int i = 0; i < service->method_count(); ++i) {
    const auto* method = service->method(i);
    out.push_back("/" + service->full_name() + "/" + method->name() +
                  (method->client_streaming() ? " request-stream" : "") +
                  (method->server_streaming() ? " response-stream" : ""));
  }
  return out;
}

TEST(Services, NamesAndKinds) {
  const auto* file = etcdserverpb::RangeRequest::descriptor()->file();
  ASSERT_EQ(file->service_count(), 6);
  using Names = std::vector<std::string>;
  const std::string p = "/etcdserverpb.";
  EXPECT_EQ(methods_of(file->service(0)),
            (Names{p + "KV/Range", p + "KV/RangeStream response-stream", p + "KV/Put",
                   p + "KV/DeleteRange", p + "KV/Txn", p + "KV/Compact"}));
  EXPECT_EQ(methods_of(file->service(1)),
            (Names{p + "Watch/Watch request-stream response-stream"}));
  EXPECT_EQ(methods_of(file->service(2)),
            (Names{p + "Lease/LeaseGrant", p + "Lease/LeaseRevoke",
                   p + "Lease/LeaseKeepAlive request-stream response-stream",
                   p + "Lease/LeaseTimeToLive", p + "Lease/LeaseLeases"}));
  EXPECT_EQ(methods_of(file->service(3)),
            (Names{p + "Cluster/MemberAdd", p + "Cluster/MemberRemove", p + "Cluster/MemberUpdate",
                   p + "Cluster/MemberList", p + "Cluster/MemberPromote"}));
  EXPECT_EQ(methods_of(file->service(4)),
            (Names{p + "Maintenance/Alarm", p + "Maintenance/Status", p + "Maintenance/Defragment",
                   p + "Maintenance/Hash", p + "Maintenance/HashKV",
                   p + "Maintenance/Snapshot response-stream", p + "Maintenance/MoveLeader",
                   p + "Maintenance/Downgrade"}));
  EXPECT_EQ(file->service(5)->full_name(), "etcdserverpb.Auth");
  EXPECT_EQ(file->service(5)->method_count(), 17);
}

TEST(Services, StubsUseTheSameNames) {
  EXPECT_STREQ(etcdserverpb::KV::service_full_name(), "etcdserverpb.KV");
  EXPECT_STREQ(grpc::health::v1::Health::service_full_name(), "grpc.health.v1.Health");
}

}  // namespace
