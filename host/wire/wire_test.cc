// The hand-written codec against the generated classes: same bytes, same fields.
#include <random>

#include "gtest/gtest.h"
#include "host/wire/key_value.h"
#include "host/wire/kv_requests.h"
#include "host/wire/raft_request.h"
#include "proto/kv.pb.h"
#include "proto/raft_internal.pb.h"
#include "proto/rpc.pb.h"

namespace mortise::wire {
namespace {

TEST(KeyValue, EncodesAsProtobufDoes) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 2000; ++round) {
    auto number = [&] {
      return static_cast<int64_t>(random() >> (random() % 64)) * (random() % 3 != 0);
    };
    mvccpb::KeyValue expected;
    expected.set_key(std::string(random() % 200, 'k'));
    expected.set_create_revision(number());
    expected.set_mod_revision(number());
    expected.set_version(number());
    expected.set_value(std::string(random() % 400, '\0'));
    expected.set_lease(number());
    std::string bytes = expected.SerializeAsString();
    KeyValue kv;
    ASSERT_TRUE(decode_key_value(bytes, &kv));
    EXPECT_EQ(kv.key, expected.key());
    EXPECT_EQ(kv.lease, expected.lease());
    std::string encoded;
    append_key_value(&encoded, kv);
    EXPECT_EQ(encoded, bytes);
  }
}

TEST(KvRequests, ReadEveryField) {
  etcdserverpb::RangeRequest range;
  range.set_key("a");
  range.set_range_end(std::string("\0", 1));
  range.set_limit(-1);
  range.set_revision(7);
  range.set_sort_order(etcdserverpb::RangeRequest::DESCEND);
  range.set_sort_target(etcdserverpb::RangeRequest::VALUE);
  range.set_serializable(true);
  range.set_keys_only(true);
  range.set_count_only(true);
  range.set_min_mod_revision(1);
  range.set_max_mod_revision(2);
  range.set_min_create_revision(3);
  range.set_max_create_revision(4);
  std::string bytes = range.SerializeAsString();
  RangeRequest r;
  ASSERT_TRUE(decode(bytes, &r));
  EXPECT_EQ(r.key, "a");
  EXPECT_EQ(r.range_end, std::string_view("\0", 1));
  EXPECT_EQ(r.limit, -1);
  EXPECT_EQ(r.revision, 7);
  EXPECT_EQ(r.sort_order, kSortDescend);
  EXPECT_EQ(r.sort_target, kSortValue);
  EXPECT_TRUE(r.serializable && r.keys_only && r.count_only);
  EXPECT_EQ(r.min_mod_revision * 1000 + r.max_mod_revision * 100 + r.min_create_revision * 10 +
                r.max_create_revision,
            1234);
}

TEST(KvRequests, NestedTxnsAndTheirDepthLimit) {
  etcdserverpb::TxnRequest txn;
  auto* compare = txn.add_compare();
  compare->set_key("k");
  compare->set_target(etcdserverpb::Compare::VALUE);
  compare->set_value("v");
  compare->set_range_end("z");
  auto* put = txn.add_success()->mutable_request_put();
  put->set_key("p");
  put->set_ignore_lease(true);
  txn.add_success();
  txn.add_failure()->mutable_request_txn()->add_success()->mutable_request_delete_range()->set_key(
      "d");
  std::string bytes = txn.SerializeAsString();
  TxnRequest t;
  ASSERT_TRUE(decode(bytes, &t));
  ASSERT_EQ(t.compare.size(), 1u);
  EXPECT_EQ(t.compare[0].operand_field, 7u);
  EXPECT_EQ(t.compare[0].value, "v");
  EXPECT_EQ(t.compare[0].range_end, "z");
  ASSERT_EQ(t.success.size(), 2u);
  EXPECT_TRUE(std::get<PutRequest>(t.success[0]).ignore_lease);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(t.success[1]));
  auto& inner = std::get<std::unique_ptr<TxnRequest>>(t.failure.at(0));
  EXPECT_EQ(std::get<DeleteRangeRequest>(inner->success.at(0)).key, "d");

  std::string deep;
  for (int i = 0; i < kTxnDepthMax + 1; ++i) {
    std::string op, level;
    append_bytes_field(&op, 4, deep);
    append_bytes_field(&level, 2, op);
    deep = level;
  }
  EXPECT_FALSE(decode(deep, &t));
}

TEST(KvRequests, MalformedBytesAreRefusedOrSkippedNeverOverrun) {
  std::mt19937_64 random(2);
  etcdserverpb::TxnRequest txn;
  txn.add_success()->mutable_request_put()->set_value(std::string(300, 'v'));
  txn.add_failure()->mutable_request_range()->set_key("key");
  std::string good = txn.SerializeAsString();
  TxnRequest t;
  for (size_t cut = 0; cut < good.size(); ++cut) (void)decode(good.substr(0, cut), &t);
  for (int round = 0; round < 20000; ++round) {
    std::string bad = good;
    for (int flips = 0; flips < 3; ++flips)
      bad[random() % bad.size()] = static_cast<char>(random());
    (void)decode(bad, &t);
  }
  EXPECT_FALSE(decode(std::string_view("\x0a\x05xx", 4), &t));
}

TEST(RaftRequest, IsAnInternalRaftRequest) {
  etcdserverpb::PutRequest put;
  put.set_key("k");
  put.set_value("v");
  std::string bytes = encode_raft_request(77, kRaftPut, put.SerializeAsString());
  etcdserverpb::InternalRaftRequest parsed;
  ASSERT_TRUE(parsed.ParseFromString(bytes));
  EXPECT_EQ(parsed.header().id(), 77u);
  EXPECT_EQ(parsed.put().value(), "v");
  RaftRequest request;
  std::string again = parsed.SerializeAsString();
  ASSERT_TRUE(decode(again, &request));
  EXPECT_EQ(request.id, 77u);
  EXPECT_EQ(request.field, static_cast<uint32_t>(kRaftPut));
  EXPECT_EQ(request.request, put.SerializeAsString());
}

}  // namespace
}  // namespace mortise::wire
