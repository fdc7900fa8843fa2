// KV.RangeStream: the chunks together are what Range answers, all at one revision, and a client
// that does not read them costs little.
#include <gtest/gtest.h>

#include <fstream>
#include <memory>

#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;
using etcdserverpb::RangeStreamResponse;

std::string key_of(int i) {
  char key[16];
  std::snprintf(key, sizeof key, "k%05d", i);
  return key;
}

RangeRequest all_keys() {
  RangeRequest request;
  request.set_key("k");
  request.set_range_end("l");
  return request;
}

class RangeStreamTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    node_ = std::make_unique<Node>(mortise_target(GetParam()), NodeOptions{.in_memory = true});
    ASSERT_EQ(node_->start().message(), "");
    client_ = std::make_unique<Client>(node_->endpoint());
  }
  void put(int i, const std::string& value) {
    ASSERT_EQ(status_text(client_->put(key_of(i), value)), "OK");
  }
  void expect_same(const RangeRequest& request) {
    RangeResponse whole, streamed;
    grpc::Status range = client_->range(request, &whole);
    grpc::Status stream = client_->range_stream(request, &streamed);
    ASSERT_EQ(status_text(stream), status_text(range)) << request.ShortDebugString();
    EXPECT_EQ(streamed.SerializeAsString(), whole.SerializeAsString())
        << request.ShortDebugString();
  }
  int64_t resident_kib() {
    int64_t kib = 0;
    std::ifstream status("/proc/" + std::to_string(node_->pid()) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("VmRSS:")) kib = std::stoll(line.substr(6));
    }
    return kib;
  }

  std::unique_ptr<Node> node_;
  std::unique_ptr<Client> client_;
};

TEST_P(RangeStreamTest, IsWhatRangeAnswers) {
  for (int i = 0; i < 130; ++i) put(i, "v" + std::to_string(i));
  for (int64_t limit : {0, 1, 9, 10, 11, 20, 30, 31, 129, 130, 131, 1000, -1}) {
    for (int64_t revision : {0, 1, 2, 60, 131}) {
      for (bool keys_only : {false, true}) {
        RangeRequest request = all_keys();
        request.set_limit(limit);
        request.set_revision(revision);
        request.set_keys_only(keys_only);
        expect_same(request);
        request.set_range_end(std::string(1, '\0'));
        expect_same(request);
      }
    }
  }
  RangeRequest request = all_keys();
  request.set_count_only(true);
  expect_same(request);
  request = all_keys();
  request.clear_range_end();
  expect_same(request);
  request.set_key(key_of(3));
  expect_same(request);
  request.set_range_end("a");
  expect_same(request);
}

TEST_P(RangeStreamTest, ChunksGrowAndShrink) {
  for (int i = 0; i < 400; ++i) put(i, i < 200 ? "small" : std::string(100000, 'v'));
  RangeResponse response;
  int chunks = 0;
  ASSERT_EQ(status_text(client_->range_stream(all_keys(), &response, &chunks)), "OK");
  EXPECT_EQ(response.kvs_size(), 400);
  EXPECT_EQ(response.count(), 400);
  EXPECT_FALSE(response.more());
  // 20 MB in pieces of at most three, the small keys in five.
  EXPECT_GT(chunks, 8);
  EXPECT_LT(chunks, 40);
}

// A sorted page is the beginning of the whole sorted range, however much was read for it.
TEST_P(RangeStreamTest, SortedPages) {
  etcdserverpb::TxnRequest txn;
  for (int i = 0; i < 3000; ++i) {
    auto* put = txn.add_success()->mutable_request_put();
    put->set_key(key_of(i));
    put->set_value(std::to_string(i * 7919 % 1000) + std::string(1000, 'v'));
    if (txn.success_size() < 100) continue;
    etcdserverpb::TxnResponse response;
    ASSERT_TRUE(client_->call(client_->kv(), &etcdserverpb::KV::Stub::Txn, txn, &response).ok());
    txn.Clear();
  }
  for (int target = 0; target <= 4; ++target) {
    for (auto order : {RangeRequest::ASCEND, RangeRequest::DESCEND}) {
      RangeRequest request = all_keys();
      request.set_sort_target(static_cast<RangeRequest::SortTarget>(target));
      request.set_sort_order(order);
      request.set_min_mod_revision(4);
      RangeResponse whole, page;
      ASSERT_EQ(status_text(client_->range(request, &whole)), "OK");
      ASSERT_EQ(whole.kvs_size(), 2800);
      EXPECT_EQ(whole.count(), 3000);
      request.set_limit(150);
      ASSERT_EQ(status_text(client_->range(request, &page)), "OK");
      EXPECT_TRUE(page.more());
      whole.mutable_kvs()->DeleteSubrange(150, 2650);
      whole.set_more(true);
      EXPECT_EQ(page.SerializeAsString(), whole.SerializeAsString()) << request.ShortDebugString();
    }
  }
}

// What happens after the first chunk is not seen by the later ones.
TEST_P(RangeStreamTest, StaysAtTheFirstRevision) {
  for (int i = 0; i < 300; ++i) put(i, std::string(100000, 'a'));
  grpc::ClientContext context;
  auto stream = client_->kv().RangeStream(&context, all_keys());
  RangeStreamResponse chunk;
  ASSERT_TRUE(stream->Read(&chunk));
  EXPECT_EQ(chunk.range_response().kvs_size(), 10);
  EXPECT_FALSE(chunk.range_response().has_header());
  etcdserverpb::DeleteRangeRequest del;
  del.set_key("k");
  del.set_range_end("l");
  etcdserverpb::DeleteRangeResponse deleted;
  ASSERT_TRUE(
      client_->call(client_->kv(), &etcdserverpb::KV::Stub::DeleteRange, del, &deleted).ok());
  ASSERT_EQ(deleted.deleted(), 300);
  int keys = 10;
  RangeStreamResponse last;
  while (stream->Read(&chunk)) {
    keys += chunk.range_response().kvs_size();
    last = chunk;
  }
  EXPECT_EQ(status_text(stream->Finish()), "OK");
  EXPECT_EQ(keys, 300);
  EXPECT_EQ(last.range_response().header().revision(), 301);
  EXPECT_EQ(last.range_response().count(), 300);
}

TEST_P(RangeStreamTest, EndsWhenItsRevisionIsCompacted) {
  for (int i = 0; i < 300; ++i) put(i, std::string(100000, 'a'));
  grpc::ClientContext context;
  auto stream = client_->kv().RangeStream(&context, all_keys());
  RangeStreamResponse chunk;
  ASSERT_TRUE(stream->Read(&chunk));
  put(0, "b");
  etcdserverpb::CompactionRequest compaction;
  compaction.set_revision(302);
  etcdserverpb::CompactionResponse compacted;
  ASSERT_TRUE(
      client_->call(client_->kv(), &etcdserverpb::KV::Stub::Compact, compaction, &compacted).ok());
  while (stream->Read(&chunk)) {
  }
  EXPECT_EQ(status_text(stream->Finish()),
            "11 etcdserver: mvcc: required revision has been compacted");
}

// 100 streams of 30 MB, of which nobody reads more than the first chunk.
TEST_P(RangeStreamTest, UnreadStreamsAreBounded) {
  for (int i = 0; i < 300; ++i) put(i, std::string(100000, 'a'));
  RangeResponse warm;
  ASSERT_TRUE(client_->range_stream(all_keys(), &warm).ok());
  int64_t before = resident_kib();
  struct Open {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<RangeStreamResponse>> stream;
  };
  std::vector<std::unique_ptr<Open>> open;
  for (int i = 0; i < 100; ++i) {
    open.push_back(std::make_unique<Open>());
    open.back()->stream = client_->kv().RangeStream(&open.back()->context, all_keys());
    RangeStreamResponse chunk;
    ASSERT_TRUE(open.back()->stream->Read(&chunk));
  }
  // Others are served meanwhile.
  RangeRequest request;
  request.set_key(key_of(0));
  RangeResponse response;
  ASSERT_TRUE(client_->range(request, &response).ok());
  EXPECT_GT(before, 0);
  EXPECT_LT(resident_kib() - before, 100 * 6 * 1024);
  for (auto& o : open) {
    o->context.TryCancel();
    EXPECT_EQ(o->stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  EXPECT_EQ(status_text(client_->put("after", "v")), "OK");
}

INSTANTIATE_TEST_SUITE_P(Backends, RangeStreamTest, ::testing::Values("rocksdb", "lmdb"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace mortise::testing
