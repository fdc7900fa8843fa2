#include <latch>

#include "gtest/gtest.h"
#include "host/watch/test_env.h"

namespace mortise::watch {
namespace {

const std::string kFromKey(1, '\0');

class HubTest : public ::testing::Test {
 protected:
  void begin(HubOptions options = {}) {
    member_ = std::make_unique<TestMember>(std::move(options));
    member_->start();
  }
  Hub& hub() { return member_->hub(); }
  std::unique_ptr<TestMember> member_;
};

TEST_F(HubTest, SendsOneResponseForEachRevision) {
  begin();
  TestClient client(&hub());
  Response created = client.created({.key = "a", .range_end = "c"});
  EXPECT_EQ(created.watch_id, 0);
  EXPECT_FALSE(created.canceled);
  EXPECT_EQ(created.revision, 1);
  EXPECT_EQ(created.cluster_id, 7u);
  EXPECT_EQ(created.member_id, 8u);
  EXPECT_EQ(created.raft_term, 9u);
  member_->put("a", "1");
  member_->put("c", "not in the range");
  wire::TxnRequest txn;
  txn.success.emplace_back(wire::PutRequest{.key = "b", .value = "2"});
  txn.success.emplace_back(wire::DeleteRangeRequest{.key = "a"});
  member_->txn(std::move(txn));
  member_->commit();
  Response first = client.next();
  EXPECT_EQ(first.events_text(), "put a=1@2");
  EXPECT_EQ(first.revision, 2);
  EXPECT_EQ(first.watch_id, 0);
  Response second = client.next();
  EXPECT_EQ(second.events_text(), "put b=2@4; delete a@4");
  EXPECT_EQ(second.revision, 4);
  EXPECT_EQ(second.events[1].kv, (TestKeyValue{.key = "a", .mod_revision = 4}));
  EXPECT_TRUE(client.until_now().empty());
}

TEST_F(HubTest, EmptyKeyIsTheSmallestOne) {
  begin();
  TestClient client(&hub());
  client.created({.key = "", .range_end = kFromKey});
  member_->put_now("anything", "1");
  EXPECT_EQ(client.next().events_text(), "put anything=1@2");
}

TEST_F(HubTest, AssignsIdsAndRefusesDuplicates) {
  begin();
  TestClient client(&hub());
  EXPECT_EQ(client.created({.key = "a", .watch_id = 1}).watch_id, 1);
  EXPECT_EQ(client.created({.key = "a"}).watch_id, 0);
  EXPECT_EQ(client.created({.key = "a"}).watch_id, 2) << "1 is in use";
  EXPECT_EQ(client.created({.key = "a", .watch_id = -7}).watch_id, -7);
  Response refused = client.created({.key = "a", .watch_id = 1});
  EXPECT_TRUE(refused.canceled);
  EXPECT_EQ(refused.watch_id, -1);
  EXPECT_EQ(refused.cancel_reason, "mvcc: duplicate watch ID provided on the WatchStream");
  // A stream's ids are its own.
  TestClient other(&hub());
  EXPECT_EQ(other.created({.key = "a", .watch_id = 1}).watch_id, 1);
  EXPECT_EQ(hub().stats().watchers, 5u);
  EXPECT_EQ(hub().stats().streams, 2u);
}

TEST_F(HubTest, RefusesBadRangesAndStarts) {
  begin();
  TestClient client(&hub());
  for (const char* end : {"b", "a"}) {
    Response refused = client.created({.key = "b", .range_end = end});
    EXPECT_TRUE(refused.canceled);
    EXPECT_EQ(refused.watch_id, -1);
    EXPECT_EQ(refused.cancel_reason, "mvcc: watcher range is empty");
  }
  Response refused = client.created({.key = "b", .start_revision = -1});
  EXPECT_TRUE(refused.canceled);
  EXPECT_EQ(refused.watch_id, -1);
  EXPECT_EQ(refused.revision, 1);
  EXPECT_EQ(refused.compact_revision, 0);
  EXPECT_EQ(refused.cancel_reason, "etcdserver: mvcc: required revision has been compacted");
  EXPECT_EQ(hub().stats().watchers, 0u);
}

TEST_F(HubTest, AsksForPermissionAtCreation) {
  begin();
  TestClient client(&hub(), 1 << 20, true, [](std::string_view key, std::string_view end) {
    if (key == "free") return RpcStatus();
    EXPECT_EQ(end, "z");
    return RpcStatus(RpcCode::kPermissionDenied, "etcdserver: permission denied");
  });
  Response refused = client.created({.key = "secret", .range_end = "z"});
  EXPECT_TRUE(refused.canceled);
  EXPECT_EQ(refused.watch_id, -1);
  EXPECT_EQ(refused.cancel_reason,
            "rpc error: code = PermissionDenied desc = etcdserver: permission denied");
  EXPECT_FALSE(client.created({.key = "free"}).canceled);
}

TEST_F(HubTest, CancelsWhatMayNotGoOn) {
  begin();
  const auto recheck = [](std::string_view key, std::string_view,
                          const std::vector<std::string>& changed) {
    if (key == "free") return RpcStatus();
    return RpcStatus(RpcCode::kUnauthenticated, changed.at(0) + " has to log in again");
  };
  TestClient client(&hub(), 1 << 20, true, {}, recheck);
  const int64_t held = client.created({.key = "held"}).watch_id;
  client.created({.key = "free"});
  hub().recheck({"alice"});
  Response canceled = client.next();
  EXPECT_TRUE(canceled.canceled);
  EXPECT_EQ(canceled.watch_id, held);
  EXPECT_EQ(canceled.cancel_reason,
            "rpc error: code = Unauthenticated desc = alice has to log in again");
  member_->put_now("held", "1");
  member_->put_now("free", "1");
  EXPECT_EQ(client.next().events_text(), "put free=1@3");
}

TEST_F(HubTest, ReadsHistoryInOneResponse) {
  begin();
  member_->put_now("a", "1");
  member_->put_now("b", "2");
  member_->remove_now("a");
  member_->put_now("a", "4");
  TestClient client(&hub());
  Response created = client.created({.key = "a", .start_revision = 1});
  EXPECT_EQ(created.revision, 5);
  Response history = client.next();
  EXPECT_EQ(history.events_text(), "put a=1@2; delete a@4; put a=4@5");
  EXPECT_EQ(history.revision, 5);
  EXPECT_EQ(history.events[1].kv, (TestKeyValue{.key = "a", .mod_revision = 4}));
  EXPECT_EQ(history.events[2].kv, (TestKeyValue{"a", "4", 5, 5, 1}));
  member_->put_now("a", "6");
  EXPECT_EQ(client.next().events_text(), "put a=6@6") << "live, without gap or repeat";
}

TEST_F(HubTest, SplitsLongHistoryBetweenRevisions) {
  HubOptions options;
  options.history_round_revisions_max = 2;
  begin(options);
  wire::TxnRequest txn;
  for (const char* key : {"a1", "a2", "a3"}) {
    txn.success.emplace_back(wire::PutRequest{.key = key, .value = "0"});
  }
  member_->put_now("a", "1");
  member_->txn(std::move(txn));
  member_->put("a", "2");
  member_->put("a", "3");
  member_->put("a", "4");
  member_->commit();
  TestClient client(&hub());
  client.created({.key = "a", .range_end = "b", .start_revision = 2});
  EXPECT_EQ(client.next().events_text(), "put a=1@2; put a1=0@3; put a2=0@3; put a3=0@3");
  Response second = client.next();
  EXPECT_EQ(second.events_text(), "put a=2@4; put a=3@5");
  EXPECT_EQ(second.revision, 6) << "the store's revision, not that of the events";
  EXPECT_EQ(client.next().events_text(), "put a=4@6");
}

TEST_F(HubTest, WaitsForAFutureRevision) {
  begin();
  TestClient client(&hub());
  EXPECT_EQ(client.created({.key = "a", .start_revision = 4}).revision, 1);
  member_->put_now("a", "2");
  member_->put_now("a", "3");
  client.send(progress_request());
  EXPECT_TRUE(client.until_now().empty()) << "neither events nor progress below the start";
  member_->put_now("a", "4");
  EXPECT_EQ(client.next().events_text(), "put a=4@4");
}

TEST_F(HubTest, TellsOfCompactedStarts) {
  for (bool tell_hub : {true, false}) {
    begin();
    for (int i = 2; i <= 6; ++i) member_->put_now("a", std::to_string(i));
    member_->compact(4, tell_hub);
    TestClient client(&hub());
    Response created = client.created({.key = "a", .start_revision = 3});
    EXPECT_FALSE(created.canceled);
    EXPECT_EQ(created.revision, 6);
    Response canceled = client.next();
    EXPECT_TRUE(canceled.canceled);
    EXPECT_FALSE(canceled.created);
    EXPECT_EQ(canceled.watch_id, created.watch_id);
    EXPECT_EQ(canceled.compact_revision, 4);
    EXPECT_EQ(canceled.revision, 0);
    EXPECT_EQ(canceled.cluster_id, 7u);
    EXPECT_EQ(canceled.cancel_reason, "");
    // The id stays taken until the client cancels, and is canceled once more then.
    Response duplicate = client.created({.key = "a", .watch_id = 5});
    EXPECT_FALSE(duplicate.canceled);
    client.send(progress_request());
    client.send(cancel_request(created.watch_id));
    Response answer = client.next();
    EXPECT_TRUE(answer.canceled) << "and no progress while it was there";
    EXPECT_EQ(answer.compact_revision, 0);
    EXPECT_EQ(client.created({.key = "a", .start_revision = 4}).watch_id, 1);
    EXPECT_EQ(client.next().events_text(), "put a=4@4; put a=5@5; put a=6@6");
  }
}

TEST_F(HubTest, CancelsOnlyWhatThereIs) {
  begin();
  TestClient client(&hub());
  client.created({.key = "a", .watch_id = 3});
  client.send(cancel_request(99));
  member_->put_now("a", "1");
  client.send(cancel_request(3));
  member_->put_now("a", "2");
  EXPECT_EQ(client.next().events_text(), "put a=1@2");
  Response canceled = client.next();
  EXPECT_TRUE(canceled.canceled);
  EXPECT_FALSE(canceled.created);
  EXPECT_EQ(canceled.watch_id, 3);
  EXPECT_EQ(canceled.cancel_reason, "");
  EXPECT_GE(canceled.revision, 2);
  EXPECT_TRUE(client.until_now().empty());
  EXPECT_EQ(hub().stats().watchers, 0u);
}

TEST_F(HubTest, AnswersProgressWhenAllIsDelivered) {
  begin();
  TestClient client(&hub());
  client.send(progress_request());
  EXPECT_TRUE(client.until_now().empty()) << "nothing without watchers";
  client.created({.key = "a"});
  client.created({.key = "b"});
  member_->put_now("a", "2");
  member_->put_now("x", "3");
  client.send(progress_request());
  EXPECT_EQ(client.next().events_text(), "put a=2@2");
  Response progress = client.next();
  EXPECT_EQ(progress.watch_id, -1);
  EXPECT_EQ(progress.revision, 3);
  EXPECT_TRUE(progress.events.empty());
  EXPECT_FALSE(progress.created || progress.canceled);
}

TEST_F(HubTest, NotifiesOfProgressWhereNothingHappens) {
  HubOptions options;
  options.progress_interval = std::chrono::milliseconds(20);
  begin(options);
  TestClient client(&hub());
  client.created({.key = "quiet", .watch_id = 1, .progress_notify = true});
  client.created({.key = "plain", .watch_id = 2});
  client.created({.key = "later", .start_revision = 100, .watch_id = 3, .progress_notify = true});
  member_->put_now("x", "2");
  for (int i = 0; i < 3;) {
    Response notice = client.next();
    EXPECT_EQ(notice.watch_id, 1);
    EXPECT_TRUE(notice.events.empty());
    if (notice.revision == 2) ++i;
  }
}

TEST_F(HubTest, FiltersEvents) {
  begin();
  TestClient client(&hub());
  client.created({.key = "a", .watch_id = 1, .no_put = true});
  client.created({.key = "a", .watch_id = 2, .no_delete = true});
  client.created({.key = "a", .watch_id = 3, .no_put = true, .no_delete = true});
  member_->put_now("a", "2");
  member_->remove_now("a");
  Response put = client.next();
  EXPECT_EQ(put.watch_id, 2);
  EXPECT_EQ(put.events_text(), "put a=2@2");
  Response deleted = client.next();
  EXPECT_EQ(deleted.watch_id, 1);
  EXPECT_EQ(deleted.events_text(), "delete a@3");
  EXPECT_TRUE(client.until_now().empty());
  client.created({.key = "a", .start_revision = 2, .watch_id = 4, .no_put = true});
  EXPECT_EQ(client.next().events_text(), "delete a@3");
}

TEST_F(HubTest, GivesPreviousValues) {
  begin();
  TestClient client(&hub());
  EXPECT_FALSE(hub().wants_prev());
  member_->put_now("a", "2");
  client.created({.key = "a", .prev_kv = true});
  EXPECT_TRUE(hub().wants_prev());
  client.created({.key = "a"});
  auto expect = [&](const std::string& events, std::optional<TestKeyValue> prev) {
    for (int i = 0; i < 2; ++i) {
      Response response = client.next();
      EXPECT_EQ(response.events_text(), events);
      ASSERT_EQ(response.events.size(), 1u);
      EXPECT_EQ(response.events[0].prev, response.watch_id == 0 ? prev : std::nullopt) << events;
    }
  };
  // The batch that was begun before the watcher came does not know; the one after does.
  member_->put_now("a", "3");
  expect("put a=3@3", TestKeyValue{"a", "2", 2, 2, 1});
  member_->put_now("a", "4");
  expect("put a=4@4", TestKeyValue{"a", "3", 2, 3, 2});
  member_->remove_now("a");
  expect("delete a@5", TestKeyValue{"a", "4", 2, 4, 3});
  member_->put_now("a", "6");
  expect("put a=6@6", std::nullopt);
  client.send(cancel_request(0));
  client.next();
  EXPECT_FALSE(hub().wants_prev());
}

TEST_F(HubTest, LooksUpPreviousValuesAboveTheCompaction) {
  begin();
  for (int i = 2; i <= 5; ++i) member_->put_now("a", std::to_string(i));
  member_->remove_now("a");
  member_->put_now("a", "7");
  member_->compact(4);
  TestClient client(&hub());
  client.created({.key = "a", .start_revision = 4, .prev_kv = true});
  Response history = client.next();
  ASSERT_EQ(history.events_text(), "put a=4@4; put a=5@5; delete a@6; put a=7@7");
  EXPECT_EQ(history.events[0].prev, std::nullopt) << "revision 3 is compacted";
  EXPECT_EQ(history.events[1].prev, (TestKeyValue{"a", "4", 2, 4, 3}));
  EXPECT_EQ(history.events[2].prev, (TestKeyValue{"a", "5", 2, 5, 4}));
  EXPECT_EQ(history.events[3].prev, std::nullopt) << "a create";
}

TEST_F(HubTest, SplitsLargeResponsesWhereAsked) {
  HubOptions options;
  options.fragment_bytes = 300;
  begin(options);
  TestClient client(&hub());
  client.created({.key = "a", .range_end = "b", .watch_id = 1, .fragment = true});
  client.created({.key = "a", .range_end = "b", .watch_id = 2});
  auto put_many = [&](int count, const std::string& value) {
    wire::TxnRequest txn;
    std::vector<std::string> keys;
    for (int i = 0; i < count; ++i) keys.push_back("a" + std::to_string(i));
    for (const auto& key : keys)
      txn.success.emplace_back(wire::PutRequest{.key = key, .value = value});
    member_->txn(std::move(txn));
    member_->commit();
  };
  put_many(5, std::string(100, 'x'));
  std::vector<size_t> pieces;
  for (bool more = true; more;) {
    Response piece = client.next();
    EXPECT_EQ(piece.watch_id, 1);
    EXPECT_EQ(piece.revision, 2);
    EXPECT_LT(piece.bytes, 300u);
    pieces.push_back(piece.events.size());
    more = piece.fragment;
  }
  EXPECT_EQ(pieces, (std::vector<size_t>{2, 2, 1}));
  Response whole = client.next();
  EXPECT_EQ(whole.watch_id, 2);
  EXPECT_EQ(whole.events.size(), 5u);
  EXPECT_FALSE(whole.fragment);
  // Events that are too large alone are pieces of their own; a single one is no fragment.
  put_many(2, std::string(400, 'x'));
  EXPECT_TRUE(client.next().fragment);
  EXPECT_FALSE(client.next().fragment);
  EXPECT_EQ(client.next().events.size(), 2u);
  put_many(1, std::string(400, 'x'));
  Response single = client.next();
  EXPECT_EQ(single.watch_id, 1);
  EXPECT_FALSE(single.fragment);
}

TEST_F(HubTest, FragmentsStayTogetherWhenCreditIsShort) {
  HubOptions options;
  options.fragment_bytes = 200;
  begin(options);
  TestClient client(&hub(), 100, false);
  client.created({.key = "a", .range_end = "b", .watch_id = 1, .fragment = true});
  wire::TxnRequest txn;
  std::string value(100, 'x');
  for (const char* key : {"a1", "a2", "a3"}) {
    txn.success.emplace_back(wire::PutRequest{.key = key, .value = value});
  }
  member_->txn(std::move(txn));
  member_->commit();
  EXPECT_TRUE(client.next().fragment);
  client.watch({.key = "b", .watch_id = 2});
  client.grant(1 << 20);
  EXPECT_TRUE(client.next().fragment);
  Response last = client.next();
  EXPECT_EQ(last.watch_id, 1);
  EXPECT_FALSE(last.fragment);
  EXPECT_EQ(client.next().watch_id, 2);
}

TEST_F(HubTest, HalfCloseKeepsTheStream) {
  begin();
  TestClient client(&hub());
  client.created({.key = "a"});
  client.half_close();
  member_->put_now("a", "2");
  EXPECT_EQ(client.next().events_text(), "put a=2@2");
  client.cancel();
  RpcStatus end = client.wait_end();
  EXPECT_EQ(end.code(), RpcCode::kCanceled);
  EXPECT_EQ(end.message(), "etcdserver: watch canceled");
  EXPECT_EQ(hub().stats().streams, 0u);
  EXPECT_EQ(hub().stats().watchers, 0u);
}

TEST_F(HubTest, EndsAStreamOnMalformedBytes) {
  begin();
  TestClient client(&hub());
  client.created({.key = "a"});
  client.send("\x0a\x05\x01");
  RpcStatus end = client.wait_end();
  EXPECT_EQ(end.code(), RpcCode::kInternal);
  EXPECT_EQ(end.message(),
            "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data");
  member_->put_now("a", "2");
}

TEST_F(HubTest, IgnoresRequestsThatAskForNothing) {
  begin();
  TestClient client(&hub());
  client.send("");
  client.send(std::string("\x7a\x00", 2));  // A union member of the future.
  EXPECT_FALSE(client.created({.key = "a"}).canceled);
  EXPECT_EQ(client.until_now().size(), 0u);
}

TEST_F(HubTest, StopEndsStreamsAndRefusesNewOnes) {
  begin();
  TestClient first(&hub());
  TestClient second(&hub());
  first.created({.key = "a"});
  hub().stop();
  for (TestClient* client : {&first, &second}) {
    RpcStatus end = client->wait_end();
    EXPECT_EQ(end.code(), RpcCode::kUnavailable);
    EXPECT_EQ(end.message(), "etcdserver: server stopped");
  }
  member_->put_now("a", "2");
  rpc::ClientStream nobody;
  EXPECT_EQ(hub().open_stream(nobody), nullptr);
  EXPECT_EQ(hub().stats().streams, 0u);
  hub().stop();
}

TEST_F(HubTest, StopWithoutStartEndsStreamsToo) {
  member_ = std::make_unique<TestMember>();
  TestClient client(&hub());
  hub().stop();
  EXPECT_EQ(client.wait_end().code(), RpcCode::kUnavailable);
}

TEST_F(HubTest, ASlowClientDelaysNobody) {
  begin();
  TestClient slow(&hub(), 1, false);
  TestClient fast(&hub());
  slow.created({.key = "a"});
  fast.created({.key = "a"});
  for (int i = 2; i <= 50; ++i) {
    member_->put_now("a", std::to_string(i));
    EXPECT_EQ(fast.next().revision, i);
  }
  EXPECT_TRUE(slow.empty());
  EXPECT_EQ(hub().stats().unsynced_watchers, 1u);
  slow.send(progress_request());
  EXPECT_TRUE(fast.until_now().empty());
  EXPECT_TRUE(slow.empty());
  slow.grant(1 << 20);
  Response history = slow.next();
  EXPECT_EQ(history.events.size(), 49u);
  EXPECT_EQ(history.events.front().kv.mod_revision, 2);
  EXPECT_EQ(history.revision, 50);
  member_->put_now("a", "51");
  EXPECT_EQ(slow.next().events_text(), "put a=51@51");
}

TEST_F(HubTest, CreditBoundsWhatIsInFlight) {
  begin();
  TestClient client(&hub(), 1, false);
  TestClient other(&hub());
  Response last = client.created({.key = "a", .watch_id = 1});
  client.watch({.key = "a", .watch_id = 2});
  // Whenever one byte is free one message comes, whatever its size, and no other.
  auto one_more = [&] {
    other.until_now();
    EXPECT_TRUE(client.empty());
    client.grant(last.bytes);
    last = client.next();
    return last.events_text();
  };
  EXPECT_EQ(one_more(), "");
  EXPECT_TRUE(last.created);
  for (int64_t revision = 2; revision <= 4; ++revision) {
    member_->put_now("a", "x");
    const std::string event = "put a=x@" + std::to_string(revision);
    EXPECT_EQ(one_more(), event);
    EXPECT_EQ(one_more(), event);
  }
}

TEST_F(HubTest, ASlowClientMayBeCompacted) {
  begin();
  TestClient slow(&hub(), 1, false);
  slow.created({.key = "a"});
  for (int i = 2; i <= 6; ++i) member_->put_now("a", std::to_string(i));
  member_->compact(5);
  slow.grant(1 << 20);
  Response canceled = slow.next();
  EXPECT_TRUE(canceled.canceled);
  EXPECT_EQ(canceled.compact_revision, 5);
}

TEST_F(HubTest, AnOverflowingQueueLosesNothing) {
  HubOptions options;
  options.queued_batch_bytes_max = 1 << 20;
  begin(options);
  std::latch blocked(1), go(1);
  std::atomic<bool> once{false};
  TestClient client(&hub());
  client.created({.key = "a", .watch_id = 1, .prev_kv = true});
  client.created({.key = "late", .start_revision = 30, .watch_id = 2});
  TestClient blocker(&hub());
  blocker.on_message = [&] {
    if (once.exchange(true)) return;
    blocked.count_down();
    go.wait();
  };
  blocker.watch({.key = "none", .watch_id = 1});
  blocked.wait();
  for (int i = 2; i <= 60; ++i) member_->put_now(i % 10 == 0 ? "late" : "a", std::to_string(i));
  EXPECT_GT(hub().stats().queue_overflows, 0u);
  go.count_down();
  std::map<int64_t, std::vector<int64_t>> seen;
  while (seen[1].size() < 53 || seen[2].size() < 4) {
    Response response = client.next();
    ASSERT_FALSE(HasFailure());
    for (const TestEvent& event : response.events) {
      seen[response.watch_id].push_back(event.kv.mod_revision);
      EXPECT_EQ(event.prev.has_value(), response.watch_id == 1 && event.kv.mod_revision > 2);
    }
  }
  EXPECT_EQ(seen[2], (std::vector<int64_t>{30, 40, 50, 60}));
  EXPECT_TRUE(std::is_sorted(seen[1].begin(), seen[1].end()));
  EXPECT_EQ(seen[1].size(), 53u);
  EXPECT_TRUE(client.until_now().empty());
  EXPECT_EQ(hub().stats().pending_events, 0u);
}

TEST_F(HubTest, HistoryAndLiveEventsTakeTurns) {
  HubOptions options;
  options.history_round_revisions_max = 1;
  begin(options);
  for (int i = 2; i <= 200; ++i) member_->put_now("a", std::to_string(i));
  TestClient reader(&hub());
  TestClient live(&hub());
  live.created({.key = "b"});
  reader.created({.key = "a", .start_revision = 2});
  for (int i = 0; i < 20; ++i) {
    const int64_t revision = member_->put_now("b", "x");
    EXPECT_EQ(live.next().revision, revision);
  }
  for (int i = 2; i <= 200; ++i) {
    EXPECT_EQ(reader.next().events_text(), "put a=" + std::to_string(i) + "@" + std::to_string(i));
  }
}

}  // namespace
}  // namespace mortise::watch
