// The rules of Watch as etcd 3.7.1 has them, one script for each. What a client sees is written
// down as text and held against what etcd answers: MORTISE_WATCH_ETCD names an etcd, from 3.6 on,
// that the same scripts are then played to.
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

using etcdserverpb::WatchCreateRequest;
using etcdserverpb::WatchRequest;
using etcdserverpb::WatchResponse;

constexpr char kEtcdVariable[] = "MORTISE_WATCH_ETCD";
const std::string kFromKey(1, '\0');
const std::string kMiB(1 << 20, 'v');

std::string text_of(const mvccpb::KeyValue& kv) {
  const std::string value = kv.value().size() > 40 ? "..." : kv.value();
  return kv.key() + "=" + value + "(" + std::to_string(kv.create_revision()) + "," +
         std::to_string(kv.mod_revision()) + "," + std::to_string(kv.version()) + ")";
}

// "1 created @5", "1 @6: put a=1(2,6,3)", "-1 created canceled @2 'text'".
std::string text_of(const WatchResponse& r) {
  std::string out = std::to_string(r.watch_id());
  if (r.created()) out += " created";
  if (r.canceled()) out += " canceled";
  if (r.fragment()) out += " fragment";
  if (r.compact_revision() != 0) out += " compacted " + std::to_string(r.compact_revision());
  out += " @" + std::to_string(r.header().revision());
  if (!r.cancel_reason().empty()) out += " '" + r.cancel_reason() + "'";
  if (r.header().cluster_id() == 0 || r.header().member_id() == 0 || r.header().raft_term() == 0) {
    out += " (a header without ids)";
  }
  for (const auto& event : r.events()) {
    out += event.type() == mvccpb::Event::PUT ? ": put " : ": delete ";
    out += text_of(event.kv());
    if (event.has_prev_kv()) out += " was " + text_of(event.prev_kv());
  }
  return out;
}

WatchCreateRequest spec(const std::string& key, int64_t watch_id = 0, int64_t start = 0) {
  WatchCreateRequest out;
  out.set_key(key);
  out.set_watch_id(watch_id);
  out.set_start_revision(start);
  return out;
}
WatchCreateRequest ranged(const std::string& key, const std::string& end, int64_t watch_id = 0,
                          int64_t start = 0) {
  WatchCreateRequest out = spec(key, watch_id, start);
  out.set_range_end(end);
  return out;
}

class Session {
 public:
  explicit Session(Client* client) : stream_(client->watch().Watch(&context_)) {
    context_.set_deadline(std::chrono::system_clock::now() + kCallBound);
  }
  ~Session() {
    context_.TryCancel();
    if (!finished_) end();
  }

  void send(const WatchCreateRequest& create) {
    WatchRequest request;
    *request.mutable_create_request() = create;
    stream_->Write(request);
  }
  void cancel(int64_t watch_id) {
    WatchRequest request;
    request.mutable_cancel_request()->set_watch_id(watch_id);
    stream_->Write(request);
  }
  void progress() {
    WatchRequest request;
    request.mutable_progress_request();
    stream_->Write(request);
  }
  void nothing() { stream_->Write(WatchRequest()); }
  void half_close() { stream_->WritesDone(); }

  std::string next() {
    WatchResponse response;
    if (!stream_->Read(&response)) return "the stream ended";
    return text_of(response);
  }
  std::string create(const WatchCreateRequest& create) {
    send(create);
    return next();
  }
  grpc::Status end() {
    finished_ = true;
    WatchResponse response;
    while (stream_->Read(&response)) continue;
    return stream_->Finish();
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<WatchRequest, WatchResponse>> stream_;
  bool finished_ = false;
};

class WatchRules : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const bool etcd = GetParam() == "etcd";
    node_ = std::make_unique<Node>(
        etcd ? etcd_target(std::getenv(kEtcdVariable)) : mortise_target(GetParam()),
        NodeOptions{.flags = {"--watch-progress-notify-interval=100ms"}, .in_memory = true});
    ASSERT_EQ(node_->start().message(), "");
    client_ = std::make_unique<Client>(node_->endpoint());
  }
  std::unique_ptr<Session> open() { return std::make_unique<Session>(client_.get()); }
  void put(const std::string& key, const std::string& value) {
    grpc::Status status = client_->put(key, value);
    ASSERT_TRUE(status.ok()) << status_text(status);
  }
  void put_all(const std::vector<std::string>& keys, const std::string& value) {
    etcdserverpb::TxnRequest request;
    for (const std::string& key : keys) {
      auto* put = request.add_success()->mutable_request_put();
      put->set_key(key);
      put->set_value(value);
    }
    etcdserverpb::TxnResponse response;
    ASSERT_TRUE(
        client_->call(client_->kv(), &etcdserverpb::KV::Stub::Txn, request, &response).ok());
  }
  void remove(const std::string& key, const std::string& end = "") {
    etcdserverpb::DeleteRangeRequest request;
    request.set_key(key);
    request.set_range_end(end);
    etcdserverpb::DeleteRangeResponse response;
    ASSERT_TRUE(
        client_->call(client_->kv(), &etcdserverpb::KV::Stub::DeleteRange, request, &response)
            .ok());
  }
  void compact(int64_t revision) {
    etcdserverpb::CompactionRequest request;
    request.set_revision(revision);
    etcdserverpb::CompactionResponse response;
    ASSERT_TRUE(
        client_->call(client_->kv(), &etcdserverpb::KV::Stub::Compact, request, &response).ok());
  }
  // Raw bytes on a watch stream, and how it ends.
  grpc::Status end_after(const std::string& bytes) {
    grpc::GenericStub stub(client_->channel());
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallBound);
    grpc::CompletionQueue queue;
    auto stream = stub.PrepareCall(&context, "/etcdserverpb.Watch/Watch", &queue);
    auto wait = [&] {
      void* tag;
      bool ok;
      return queue.Next(&tag, &ok) && ok;
    };
    stream->StartCall(nullptr);
    wait();
    grpc::Slice slice(bytes);
    stream->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    wait();
    grpc::ByteBuffer message;
    do stream->Read(&message, nullptr);
    while (wait());
    grpc::Status status;
    stream->Finish(&status, nullptr);
    wait();
    return status;
  }

  std::unique_ptr<Node> node_;
  std::unique_ptr<Client> client_;
};

TEST_P(WatchRules, Ids) {
  auto s = open();
  EXPECT_EQ(s->create(spec("a")), "0 created @1");
  EXPECT_EQ(s->create(spec("a", 2)), "2 created @1");
  EXPECT_EQ(s->create(spec("a")), "1 created @1");
  EXPECT_EQ(s->create(spec("a")), "3 created @1") << "2 is in use";
  EXPECT_EQ(s->create(spec("a", -7)), "-7 created @1");
  put("x", "1");
  EXPECT_EQ(s->create(spec("a", 2)),
            "-1 created canceled @2 'mvcc: duplicate watch ID provided on the WatchStream'");
  s->cancel(1);
  EXPECT_EQ(s->next(), "1 canceled @2");
  EXPECT_EQ(s->create(spec("a")), "4 created @2") << "ids given once are not given again";
  EXPECT_EQ(s->create(spec("a", 1)), "1 created @2") << "but a client may take one that is free";
  auto other = open();
  EXPECT_EQ(other->create(spec("a", 2)), "2 created @2") << "a stream's ids are its own";
}

TEST_P(WatchRules, Refusals) {
  auto s = open();
  const std::string empty = "-1 created canceled @1 'mvcc: watcher range is empty'";
  const std::string compacted =
      "-1 created canceled @1 'etcdserver: mvcc: required revision has been compacted'";
  EXPECT_EQ(s->create(ranged("b", "b")), empty);
  EXPECT_EQ(s->create(ranged("b", "a")), empty);
  EXPECT_EQ(s->create(spec("a", 5, -1)), compacted);
  EXPECT_EQ(s->create(ranged("b", "a", 5, -1)), compacted);
  EXPECT_EQ(s->create(spec("a", 5)), "5 created @1");
  EXPECT_EQ(s->create(ranged("b", "a", 5)), empty) << "before it looks at the id";
  EXPECT_EQ(s->create(spec("a")), "0 created @1") << "refusals use no id";
}

TEST_P(WatchRules, Cancel) {
  auto s = open();
  EXPECT_EQ(s->create(spec("a", 3)), "3 created @1");
  s->cancel(99);
  s->nothing();
  put("a", "1");
  EXPECT_EQ(s->next(), "3 @2: put a=1(2,2,1)");
  s->cancel(3);
  EXPECT_EQ(s->next(), "3 canceled @2");
  s->cancel(3);
  put("a", "2");
  EXPECT_EQ(s->create(spec("a", 3)), "3 created @3") << "and it is free again";
}

TEST_P(WatchRules, KeysAndRangeEnds) {
  auto s = open();
  EXPECT_EQ(s->create(ranged("", kFromKey, 1)), "1 created @1");
  EXPECT_EQ(s->create(spec("", 2)), "2 created @1");
  EXPECT_EQ(s->create(ranged("b", kFromKey, 3)), "3 created @1");
  put("a", "1");
  EXPECT_EQ(s->next(), "1 @2: put a=1(2,2,1)");
  s->cancel(1);
  EXPECT_EQ(s->next(), "1 canceled @2");
  put(kFromKey, "2");
  EXPECT_EQ(s->next(), std::string("2 @3: put ") + kFromKey + "=2(3,3,1)")
      << "an empty key is the smallest";
  put("c", "3");
  EXPECT_EQ(s->next(), "3 @4: put c=3(4,4,1)");
  EXPECT_EQ(s->create(ranged("d", "d" + kFromKey, 4)), "4 created @4");
  s->cancel(3);
  EXPECT_EQ(s->next(), "3 canceled @4");
  put("d0", "5");
  put("d", "6");
  EXPECT_EQ(s->next(), "4 @6: put d=6(6,6,1)");
}

TEST_P(WatchRules, StartInThePast) {
  put("a", "1");
  put("b", "2");
  put_all({"b", "a"}, "3");
  remove("a");
  auto s = open();
  EXPECT_EQ(s->create(ranged("a", "c", 1, 2)), "1 created @5");
  EXPECT_EQ(
      s->next(),
      "1 @5: put a=1(2,2,1): put b=2(3,3,1): put b=3(3,4,2): put a=3(2,4,2): delete a=(0,5,0)")
      << "in one response, with the store's revision";
  put_all({"a", "b"}, "4");
  EXPECT_EQ(s->next(), "1 @6: put a=4(6,6,1): put b=4(3,6,3)");
  EXPECT_EQ(s->create(spec("a", 2, 5)), "2 created @6");
  EXPECT_EQ(s->next(), "2 @6: delete a=(0,5,0): put a=4(6,6,1)");
}

TEST_P(WatchRules, StartInTheFuture) {
  auto s = open();
  EXPECT_EQ(s->create(spec("a", 1, 4)), "1 created @1");
  put("a", "2");
  s->progress();
  put("a", "3");
  put("a", "4");
  EXPECT_EQ(s->next(), "1 @4: put a=4(2,4,3)") << "and no progress before the start";
}

TEST_P(WatchRules, StartThatIsCompacted) {
  for (int i = 2; i <= 6; ++i) put("a", std::to_string(i));
  compact(4);
  auto s = open();
  EXPECT_EQ(s->create(spec("a", 1, 3)), "1 created @6");
  EXPECT_EQ(s->next(), "1 canceled compacted 4 @0");
  EXPECT_EQ(s->create(spec("a", 1, 5)),
            "-1 created canceled @6 'mvcc: duplicate watch ID provided on the WatchStream'")
      << "its id is still in use";
  s->progress();
  EXPECT_EQ(s->create(spec("b", 2)), "2 created @6") << "no progress beside a compacted watcher";
  s->cancel(1);
  EXPECT_EQ(s->next(), "1 canceled @6");
  EXPECT_EQ(s->create(spec("a", 1, 4)), "1 created @6");
  EXPECT_EQ(s->next(), "1 @6: put a=4(2,4,3): put a=5(2,5,4): put a=6(2,6,5)");
}

TEST_P(WatchRules, Filters) {
  auto s = open();
  auto filtered = [&](int64_t id, std::vector<int> filters) {
    WatchCreateRequest create = spec("a", id);
    for (int filter : filters)
      create.add_filters(static_cast<WatchCreateRequest::FilterType>(filter));
    EXPECT_EQ(s->create(create), std::to_string(id) + " created @1");
  };
  filtered(1, {0});
  filtered(2, {1});
  filtered(3, {0, 1});
  put("a", "1");
  EXPECT_EQ(s->next(), "2 @2: put a=1(2,2,1)");
  remove("a");
  EXPECT_EQ(s->next(), "1 @3: delete a=(0,3,0)");
  WatchCreateRequest unknown = spec("a", 4, 2);
  unknown.add_filters(static_cast<WatchCreateRequest::FilterType>(7));
  EXPECT_EQ(s->create(unknown), "4 created @3");
  EXPECT_EQ(s->next(), "4 @3: put a=1(2,2,1): delete a=(0,3,0)");
}

TEST_P(WatchRules, PreviousValues) {
  WatchCreateRequest create = spec("a", 1);
  create.set_prev_kv(true);
  auto s = open();
  EXPECT_EQ(s->create(create), "1 created @1");
  put("a", "2");
  EXPECT_EQ(s->next(), "1 @2: put a=2(2,2,1)");
  put("a", "3");
  EXPECT_EQ(s->next(), "1 @3: put a=3(2,3,2) was a=2(2,2,1)");
  remove("a");
  EXPECT_EQ(s->next(), "1 @4: delete a=(0,4,0) was a=3(2,3,2)");
  put("a", "5");
  EXPECT_EQ(s->next(), "1 @5: put a=5(5,5,1)");
  put("a", "6");
  EXPECT_EQ(s->next(), "1 @6: put a=6(5,6,2) was a=5(5,5,1)");
  put("a", "7");
  EXPECT_EQ(s->next(), "1 @7: put a=7(5,7,3) was a=6(5,6,2)");
  compact(6);
  create.set_watch_id(2);
  create.set_start_revision(6);
  EXPECT_EQ(s->create(create), "2 created @7");
  EXPECT_EQ(s->next(), "2 @7: put a=6(5,6,2): put a=7(5,7,3) was a=6(5,6,2)");
}

TEST_P(WatchRules, ProgressOnRequest) {
  auto s = open();
  s->progress();
  EXPECT_EQ(s->create(spec("a", 1)), "1 created @1") << "nothing without watchers";
  put("x", "2");
  s->progress();
  EXPECT_EQ(s->next(), "-1 @2");
  put("a", "3");
  EXPECT_EQ(s->next(), "1 @3: put a=3(3,3,1)");
  EXPECT_EQ(s->create(spec("b", 2)), "2 created @3");
  s->progress();
  EXPECT_EQ(s->next(), "-1 @3") << "once for all watchers";
}

TEST_P(WatchRules, ProgressOnInterval) {
  put("x", "2");
  auto s = open();
  WatchCreateRequest create = spec("a", 4);
  create.set_progress_notify(true);
  EXPECT_EQ(s->create(spec("b", 3)), "3 created @2");
  EXPECT_EQ(s->create(create), "4 created @2");
  EXPECT_EQ(s->next(), "4 @2") << "only who asked for it";
  EXPECT_EQ(s->next(), "4 @2");
  create.set_watch_id(5);
  create.set_start_revision(100);
  s->cancel(4);
  std::string answer = s->next();
  if (answer == "4 @2") answer = s->next();
  EXPECT_EQ(answer, "4 canceled @2");
  EXPECT_EQ(s->create(create), "5 created @2");
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  put("b", "3");
  EXPECT_EQ(s->next(), "3 @3: put b=3(3,3,1)") << "no progress before the start";
}

TEST_P(WatchRules, Fragments) {
  put("a1", kMiB);
  put("a2", kMiB);
  put("a3", kMiB);
  WatchCreateRequest create = ranged("a", "b", 1);
  create.set_prev_kv(true);
  create.set_fragment(true);
  auto s = open();
  EXPECT_EQ(s->create(create), "1 created @4");
  remove("a", "b");
  EXPECT_EQ(s->next(), "1 fragment @5: delete a1=(0,5,0) was a1=...(2,2,1)");
  EXPECT_EQ(s->next(), "1 fragment @5: delete a2=(0,5,0) was a2=...(3,3,1)");
  EXPECT_EQ(s->next(), "1 @5: delete a3=(0,5,0) was a3=...(4,4,1)");
  s->cancel(1);
  EXPECT_EQ(s->next(), "1 canceled @5");
  create.set_fragment(false);
  create.set_start_revision(5);
  EXPECT_EQ(s->create(create), "1 created @5");
  EXPECT_EQ(
      s->next(),
      "1 @5: delete a1=(0,5,0) was a1=...(2,2,1): delete a2=(0,5,0) was a2=...(3,3,1): delete "
      "a3=(0,5,0) was a3=...(4,4,1)")
      << "whole unless asked for pieces";
}

TEST_P(WatchRules, HalfClose) {
  auto s = open();
  EXPECT_EQ(s->create(spec("a")), "0 created @1");
  s->half_close();
  put("a", "2");
  EXPECT_EQ(s->next(), "0 @2: put a=2(2,2,1)");
}

TEST_P(WatchRules, EndsOfStreams) {
  grpc::Status malformed = end_after("\x0a\x05\x01");
  EXPECT_EQ(malformed.error_code(), grpc::StatusCode::INTERNAL) << status_text(malformed);
  grpc::Status large = end_after(std::string((2 << 20) + 1, '\0'));
  EXPECT_EQ(status_text(large), "8 grpc: received message larger than max (2097153 vs. 2097152)");
  auto s = open();
  EXPECT_EQ(s->create(spec("a")), "0 created @1");
  node_->signal(SIGTERM);
  grpc::Status end = s->end();
  EXPECT_EQ(end.error_code(), grpc::StatusCode::UNAVAILABLE) << status_text(end);
  std::printf("at the server's stop: %s\n", status_text(end).c_str());
}

std::vector<std::string> targets() {
  std::vector<std::string> out = {"rocksdb", "lmdb"};
  if (std::getenv(kEtcdVariable) != nullptr) out.push_back("etcd");
  return out;
}

INSTANTIATE_TEST_SUITE_P(Targets, WatchRules, ::testing::ValuesIn(targets()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace mortise::testing
