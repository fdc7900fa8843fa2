// Every operation of every request, and the ways in which requests hide one.
#include "host/auth/needs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "host/wire/raft_request.h"
#include "proto/raft_internal.pb.h"
#include "proto/rpc.pb.h"

namespace mortise::auth {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
namespace pb = ::etcdserverpb;
using std::string_literals::operator""s;

std::string text(mortise_bytes bytes) {
  std::string out;
  for (size_t i = 0; i < bytes.size; ++i) {
    auto c = static_cast<char>(bytes.data[i]);
    out += c == '\0' ? "\\0"s : std::string(1, c);
  }
  return out;
}

// "read a", "write a..b", "admin"
std::string describe(const mortise_access& access) {
  static constexpr const char* kKinds[] = {"?", "read", "write", "admin", "user", "role"};
  std::string out = kKinds[access.kind];
  if (access.key.size > 0) out += " " + text(access.key);
  if (access.range_end.size > 0) out += ".." + text(access.range_end);
  return out;
}

struct Found {
  std::vector<std::string> list;
  std::vector<int64_t> leases;
  std::string self;
};

Found find(bool (*needs_of)(uint32_t, std::string_view, Needs*), uint32_t field,
           const google::protobuf::Message& request) {
  const std::string bytes = request.SerializeAsString();
  Needs needs;
  EXPECT_TRUE(needs_of(field, bytes, &needs));
  Found found;
  for (const mortise_access& access : needs.list) found.list.push_back(describe(access));
  found.leases = needs.leases;
  found.self = needs.self;
  return found;
}

Found of_entry(uint32_t field, const google::protobuf::Message& request) {
  return find(needs_of_entry, field, request);
}
Found of_proposal(uint32_t field, const google::protobuf::Message& request) {
  return find(needs_of_proposal, field, request);
}

TEST(Needs, RangeReadsWhatItNames) {
  pb::RangeRequest range;
  range.set_key("a");
  EXPECT_THAT(of_entry(wire::kRaftRange, range).list, ElementsAre("read a"));
  range.set_range_end("c");
  EXPECT_THAT(of_entry(wire::kRaftRange, range).list, ElementsAre("read a..c"));
  range.set_range_end("\0"s);
  EXPECT_THAT(of_entry(wire::kRaftRange, range).list, ElementsAre("read a..\\0"));
  range.set_count_only(true);
  range.set_limit(1);
  range.set_revision(5);
  range.set_keys_only(true);
  EXPECT_THAT(of_entry(wire::kRaftRange, range).list, ElementsAre("read a..\\0"));
}

TEST(Needs, PutWritesItsKeyAndReadsItForThePreviousPair) {
  pb::PutRequest put;
  put.set_key("a");
  EXPECT_THAT(of_entry(wire::kRaftPut, put).list, ElementsAre("write a"));
  put.set_prev_kv(true);
  EXPECT_THAT(of_entry(wire::kRaftPut, put).list, ElementsAre("write a", "read a"));
  put.set_lease(7);
  EXPECT_THAT(of_entry(wire::kRaftPut, put).leases, ElementsAre(7));
  // As in etcd: what is kept stays as it is, and nobody is told of it.
  put.set_ignore_value(true);
  put.set_ignore_lease(true);
  put.clear_lease();
  put.clear_prev_kv();
  EXPECT_THAT(of_entry(wire::kRaftPut, put).list, ElementsAre("write a"));
  EXPECT_THAT(of_entry(wire::kRaftPut, put).leases, IsEmpty());
}

TEST(Needs, DeleteWritesItsRangeAndReadsItForThePreviousPairs) {
  pb::DeleteRangeRequest deletion;
  deletion.set_key("a");
  deletion.set_range_end("\0"s);
  EXPECT_THAT(of_entry(wire::kRaftDeleteRange, deletion).list, ElementsAre("write a..\\0"));
  deletion.set_prev_kv(true);
  EXPECT_THAT(of_entry(wire::kRaftDeleteRange, deletion).list,
              ElementsAre("write a..\\0", "read a..\\0"));
}

TEST(Needs, TxnReadsWhatItComparesAndNeedsBothBranches) {
  pb::TxnRequest txn;
  pb::Compare* compare = txn.add_compare();
  compare->set_key("secret");
  compare->set_range_end("secreu");
  txn.add_success()->mutable_request_put()->set_key("yes");
  pb::PutRequest* no = txn.add_failure()->mutable_request_put();
  no->set_key("no");
  no->set_prev_kv(true);
  no->set_lease(9);
  txn.add_failure()->mutable_request_range()->set_key("r");
  pb::DeleteRangeRequest* deletion = txn.add_failure()->mutable_request_delete_range();
  deletion->set_key("d");
  deletion->set_prev_kv(true);
  Found found = of_entry(wire::kRaftTxn, txn);
  EXPECT_THAT(found.list, ElementsAre("read secret..secreu", "write yes", "write no", "read no",
                                      "read r", "write d", "read d"));
  EXPECT_THAT(found.leases, ElementsAre(9));
}

TEST(Needs, NestedTxnsHideNothingAtAnyDepth) {
  pb::TxnRequest txn;
  pb::TxnRequest* at = &txn;
  for (int depth = 0; depth < 20; ++depth) {
    at->add_success();  // Empty: a request without an operation.
    at = (depth % 2 == 0 ? at->add_success() : at->add_failure())->mutable_request_txn();
  }
  at->add_compare()->set_key("deep");
  at->add_failure()->mutable_request_delete_range()->set_key("gone");
  EXPECT_THAT(of_entry(wire::kRaftTxn, txn).list, ElementsAre("read deep", "write gone"));
  EXPECT_THAT(of_proposal(wire::kRaftTxn, txn).list, ElementsAre("read deep", "write gone"));
}

TEST(Needs, ATxnWithoutOperationsIsForUsers) {
  pb::TxnRequest txn;
  EXPECT_THAT(of_entry(wire::kRaftTxn, txn).list, IsEmpty());
  EXPECT_THAT(of_proposal(wire::kRaftTxn, txn).list, ElementsAre("user"));
  txn.add_success()->mutable_request_txn();
  EXPECT_THAT(of_proposal(wire::kRaftTxn, txn).list, ElementsAre("user"));
}

// Protobuf merges a message that comes twice; what counts here must be what is carried out.
TEST(Needs, AFieldThatComesTwiceCountsAsItIsCarriedOut) {
  pb::PutRequest first, second;
  first.set_key("mine");
  second.set_key("yours");
  const std::string bytes = first.SerializeAsString() + second.SerializeAsString();
  Needs needs;
  ASSERT_TRUE(needs_of_entry(wire::kRaftPut, bytes, &needs));
  ASSERT_EQ(needs.list.size(), 1u);
  wire::PutRequest decoded;
  ASSERT_TRUE(wire::decode(bytes, &decoded));
  EXPECT_EQ(text(needs.list[0].key), decoded.key);
  EXPECT_EQ(decoded.key, "yours");
}

TEST(Needs, MalformedRequestsAreTold) {
  Needs needs;
  for (uint32_t field : {wire::kRaftPut, wire::kRaftTxn, wire::kRaftRange, wire::kRaftDeleteRange,
                         wire::kRaftLeaseRevoke, wire::kRaftUserGet, wire::kRaftRoleGet}) {
    EXPECT_FALSE(needs_of_entry(field, "\x0a\x7f", &needs)) << field;
  }
}

TEST(Needs, LeasesOfAnEntryAreThoseOfItsKeys) {
  pb::LeaseRevokeRequest revoke;
  revoke.set_id(12);
  Found entry = of_entry(wire::kRaftLeaseRevoke, revoke);
  EXPECT_THAT(entry.list, IsEmpty());
  EXPECT_THAT(entry.leases, ElementsAre(12));
  EXPECT_THAT(of_proposal(wire::kRaftLeaseRevoke, revoke).list, ElementsAre("user"));
  EXPECT_THAT(of_proposal(wire::kRaftLeaseGrant, pb::LeaseGrantRequest()).list,
              ElementsAre("user"));
}

TEST(Needs, AlarmsMayBeSeenByUsersAndChangedByAdministrators) {
  pb::AlarmRequest alarm;
  EXPECT_THAT(of_proposal(wire::kRaftAlarm, alarm).list, ElementsAre("user"));
  alarm.set_action(pb::AlarmRequest::ACTIVATE);
  EXPECT_THAT(of_proposal(wire::kRaftAlarm, alarm).list, ElementsAre("admin"));
  alarm.set_action(pb::AlarmRequest::DEACTIVATE);
  EXPECT_THAT(of_proposal(wire::kRaftAlarm, alarm).list, ElementsAre("admin"));
}

TEST(Needs, UsersAndRolesAreChangedByAdministrators) {
  pb::AuthUserAddRequest any;
  for (uint32_t field :
       {wire::kRaftAuthEnable, wire::kRaftAuthDisable, wire::kRaftUserAdd, wire::kRaftUserDelete,
        wire::kRaftUserChangePassword, wire::kRaftUserGrantRole, wire::kRaftUserRevokeRole,
        wire::kRaftUserList, wire::kRaftRoleList, wire::kRaftRoleAdd, wire::kRaftRoleDelete,
        wire::kRaftRoleGrantPermission, wire::kRaftRoleRevokePermission}) {
    EXPECT_THAT(of_entry(field, any).list, ElementsAre("admin")) << field;
    EXPECT_THAT(of_proposal(field, any).list, ElementsAre("admin")) << field;
  }
}

TEST(Needs, UsersSeeThemselvesAndTheirRoles) {
  pb::AuthUserGetRequest user;
  user.set_name("alice");
  EXPECT_THAT(of_entry(wire::kRaftUserGet, user).list, ElementsAre("admin"));
  EXPECT_EQ(of_entry(wire::kRaftUserGet, user).self, "alice");
  pb::AuthRoleGetRequest role;
  role.set_role("readers");
  EXPECT_THAT(of_entry(wire::kRaftRoleGet, role).list, ElementsAre("role readers"));
}

TEST(Needs, OnlyThoseAreOpenThatTellWhoOneIs) {
  EXPECT_THAT(of_entry(wire::kRaftAuthStatus, pb::AuthStatusRequest()).list, IsEmpty());
  EXPECT_THAT(of_entry(wire::kRaftAuthenticate, pb::InternalAuthenticateRequest()).list, IsEmpty());
}

TEST(Needs, WhatIsNotKnownNeedsAnAdministrator) {
  for (uint32_t field : {1099u, 1207u, 1299u}) {
    EXPECT_THAT(of_entry(field, pb::PutRequest()).list, ElementsAre("admin")) << field;
  }
  for (uint32_t field : {1u, 12u, 999u, 1303u, 9900u, uint32_t{wire::kRaftCompaction},
                         uint32_t{wire::kRaftDowngradeInfoSet}}) {
    EXPECT_THAT(of_proposal(field, pb::PutRequest()).list, ElementsAre("admin")) << field;
  }
}

}  // namespace
}  // namespace mortise::auth
