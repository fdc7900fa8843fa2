// Reads that are too long for the transport's thread leave it; short ones do not.
#include <gtest/gtest.h>

#include <deque>

#include "host/api/fake_node.h"
#include "host/api/methods.h"
#include "host/mvcc/test_store.h"
#include "host/mvcc/writer.h"
#include "proto/rpc.pb.h"

namespace mortise::api {
namespace {

namespace pb = ::etcdserverpb;

class ReadNode : public FakeNode {
 public:
  bool is_linearizable() const override { return true; }
  RpcStatus run_long(std::function<void()> task) override {
    if (refused.ok()) tasks.push_back(std::move(task));
    return refused;
  }
  uint64_t term() const override { return 1; }
  bool has_space(int64_t) override { return false; }
  void raise_no_space(std::function<void()> done) override { tasks.push_back(std::move(done)); }

  std::deque<std::function<void()>> tasks;
  RpcStatus refused;
};

struct Answer {
  bool answered = false;
  RpcCode code = RpcCode::kOk;
  std::string message;
  std::string body;
  static void done(void* self, mortise_rpc_code code, mortise_bytes message, mortise_buffer body) {
    auto* answer = static_cast<Answer*>(self);
    EXPECT_FALSE(answer->answered);
    answer->answered = true;
    answer->code = static_cast<RpcCode>(code);
    answer->message = store::view(message);
    answer->body = rpc::Payload(body).view();
  }
};

constexpr size_t kKeys = 10'000;

class KvReadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    mvcc::Writer writer(
        store_.get(), [](int64_t) { return false; }, [] { return false; });
    ASSERT_TRUE(writer.open().ok());
    for (size_t i = 0; i < kKeys; ++i) {
      std::string key = "k" + std::to_string(100'000 + i);
      wire::PutRequest put;
      put.key = key;
      put.value = "some value of a usual length";
      mvcc::Outcome outcome;
      ASSERT_TRUE(writer.put(put, true, &outcome).ok());
    }
    std::shared_ptr<mvcc::EventBatch> events;
    ASSERT_TRUE(writer.commit(1, 1, &events).ok());
    context_.node = &node_;
    context_.store = store_.get();
    context_.cluster = &cluster_;
    context_.alarms = &alarms_;
  }
  void call(const char* path, const google::protobuf::Message& request, Answer* answer) {
    ByteBuffer bytes;
    bytes.append(request.SerializeAsString());
    for (const MethodEntry& method : methods()) {
      if (std::string_view(method.grpc_path) != path) continue;
      method.unary(Call(&context_, &method, nullptr, rpc::Payload(rpc::to_buffer(std::move(bytes))),
                        "peer", &Answer::done, answer));
    }
  }
  pb::RangeRequest all() {
    pb::RangeRequest request;
    request.set_key("k");
    request.set_range_end("l");
    return request;
  }

  testing::TestStore store_;
  ReadNode node_;
  membership::Cluster cluster_{1, 2};
  apply::Alarms alarms_;
  Context context_;
};

TEST_F(KvReadTest, APageIsAnsweredAtOnceWithItsCount) {
  pb::RangeRequest request = all();
  request.set_limit(500);
  Answer answer;
  call("/etcdserverpb.KV/Range", request, &answer);
  ASSERT_TRUE(answer.answered);
  pb::RangeResponse response;
  ASSERT_TRUE(response.ParseFromString(answer.body));
  EXPECT_EQ(response.kvs_size(), 500);
  EXPECT_EQ(response.count(), static_cast<int64_t>(kKeys));
  EXPECT_TRUE(node_.tasks.empty());
}

TEST_F(KvReadTest, ALongRangeIsReadElsewhereAndComplete) {
  for (int64_t revision : {int64_t{0}, int64_t{kKeys}}) {
    pb::RangeRequest request = all();
    request.set_revision(revision);
    Answer answer;
    call("/etcdserverpb.KV/Range", request, &answer);
    EXPECT_FALSE(answer.answered);
    ASSERT_EQ(node_.tasks.size(), 1u);
    node_.tasks.front()();
    node_.tasks.clear();
    ASSERT_TRUE(answer.answered);
    pb::RangeResponse response;
    ASSERT_TRUE(response.ParseFromString(answer.body));
    const size_t expected = revision == 0 ? kKeys : kKeys - 1;
    ASSERT_EQ(static_cast<size_t>(response.kvs_size()), expected);
    EXPECT_EQ(response.count(), static_cast<int64_t>(expected));
    for (size_t i = 0; i < expected; ++i) {
      ASSERT_EQ(response.kvs(static_cast<int>(i)).key(), "k" + std::to_string(100'000 + i));
    }
  }
}

TEST_F(KvReadTest, WhoFindsNoSpaceHearsItWhenTheAlarmIsOn) {
  pb::PutRequest put;
  put.set_key("k");
  put.set_value("v");
  pb::TxnRequest txn;
  *txn.add_success()->mutable_request_put() = put;
  pb::LeaseGrantRequest grant;
  const std::pair<const char*, const google::protobuf::Message*> kRequests[] = {
      {"/etcdserverpb.KV/Put", &put},
      {"/etcdserverpb.KV/Txn", &txn},
      {"/etcdserverpb.Lease/LeaseGrant", &grant},
  };
  for (const auto& [path, request] : kRequests) {
    Answer answer;
    call(path, *request, &answer);
    EXPECT_FALSE(answer.answered) << path;
    ASSERT_EQ(node_.tasks.size(), 1u) << path;
    node_.tasks.front()();
    node_.tasks.clear();
    ASSERT_TRUE(answer.answered) << path;
    EXPECT_EQ(answer.message, rpc_errors::kNoSpace.message) << path;
  }
}

TEST_F(KvReadTest, SoIsAReadOnlyTxn) {
  pb::TxnRequest request;
  *request.add_success()->mutable_request_range() = all();
  Answer answer;
  call("/etcdserverpb.KV/Txn", request, &answer);
  EXPECT_FALSE(answer.answered);
  ASSERT_EQ(node_.tasks.size(), 1u);
  node_.tasks.front()();
  ASSERT_TRUE(answer.answered);
  pb::TxnResponse response;
  ASSERT_TRUE(response.ParseFromString(answer.body));
  ASSERT_EQ(response.responses_size(), 1);
  EXPECT_EQ(response.responses(0).response_range().count(), static_cast<int64_t>(kKeys));
}

TEST_F(KvReadTest, IsRefusedWhereTooManyWait) {
  node_.refused = rpc_errors::kTooManyRequests;
  Answer answer;
  call("/etcdserverpb.KV/Range", all(), &answer);
  ASSERT_TRUE(answer.answered);
  EXPECT_EQ(answer.message, "etcdserver: too many requests");
}

}  // namespace
}  // namespace mortise::api
