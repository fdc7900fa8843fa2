// What a client can cost that sends much or reads little, and that others do not pay for it.
#include "gtest/gtest.h"
#include "host/watch/test_env.h"

namespace mortise::watch {
namespace {

constexpr uint64_t kMuch = 1 << 30;

class HubLimitsTest : public ::testing::Test {
 protected:
  void begin(HubOptions options) {
    member_ = std::make_unique<TestMember>(std::move(options));
    member_->start();
  }
  Hub& hub() { return member_->hub(); }
  // Sends until the hub takes no more, which is final: what it has taken it has also handled.
  size_t flood(TestClient* client, const std::string& request) {
    TestClient other(&hub());
    size_t sent = 0;
    for (bool waiting = true; waiting && !HasFailure();) {
      while (client->request_credit() > 0) {
        client->send(request);
        ++sent;
      }
      other.until_now();
      waiting = client->request_credit() > 0;
    }
    return sent;
  }
  std::unique_ptr<TestMember> member_;
};

TEST_F(HubLimitsTest, RequestsWaitUntilAnswersAreRead) {
  HubOptions options;
  options.request_window_bytes = 400;
  options.control_responses_max = 4;
  begin(options);
  // Nothing is sent for want of credit in one case, and not read in the other.
  for (uint64_t credit : {uint64_t{1}, kMuch}) {
    TestClient client(&hub(), credit, false);
    const std::string request = create_request({.key = "a"});
    const size_t sent = flood(&client, request);
    EXPECT_LE(sent, 5 + 400 / request.size());
    EXPECT_EQ(hub().stats().watchers, 4u);
    EXPECT_GT(hub().stats().deferred_bytes, 300u);
    size_t bytes = 0;
    for (size_t i = 0; i < sent; ++i) {
      client.grant(credit == 1 && i == 0 ? 40 : bytes);
      Response answer = client.next();
      ASSERT_TRUE(answer.created);
      EXPECT_EQ(answer.watch_id, static_cast<int64_t>(i));
      bytes = answer.bytes;
    }
    client.grant(kMuch);
    client.created({.key = "a"});
    client.until_now();
    EXPECT_EQ(hub().stats().deferred_bytes, 0u);
    EXPECT_GT(client.request_credit(), 400 - 40) << "all but what was asked last is given back";
  }
}

TEST_F(HubLimitsTest, TinyRequestsOfAHostileStreamCostLittle) {
  begin({});
  TestClient client(&hub(), kMuch, false);
  const std::string smallest("\x0a\x00", 2);
  EXPECT_LE(flood(&client, smallest), 256u + 2048u);
  EXPECT_EQ(hub().stats().watchers, 256u);
  EXPECT_LE(hub().stats().deferred_bytes, 4096u);
  TestClient other(&hub());
  other.created({.key = "a"});
  member_->put_now("a", "2");
  EXPECT_EQ(other.next().events_text(), "put a=2@2");
  client.cancel();
  EXPECT_EQ(client.wait_end().code(), RpcCode::kCanceled);
  EXPECT_EQ(hub().stats().deferred_bytes, 0u);
}

TEST_F(HubLimitsTest, WaitingRequestsHaveABudget) {
  HubOptions options;
  options.control_responses_max = 1;
  options.deferred_bytes_max = 10000;
  begin(options);
  TestClient modest(&hub(), kMuch, false), hostile(&hub(), kMuch, false);
  for (TestClient* client : {&modest, &hostile}) {
    client->watch({.key = "a"});
    client->watch({.key = std::string(6000, 'k')});
  }
  RpcStatus end = hostile.wait_end();
  EXPECT_EQ(end.message(), "etcdserver: too many requests");
  EXPECT_FALSE(modest.ended());
  modest.grant(modest.next().bytes);
  EXPECT_TRUE(modest.next().created);
}

TEST_F(HubLimitsTest, WatchersHaveABudget) {
  HubOptions options;
  options.watcher_bytes_max = 3000;
  begin(options);
  TestClient client(&hub());
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(client.created({.key = "a"}).canceled);
  Response refused = client.created({.key = "a"});
  EXPECT_TRUE(refused.canceled);
  EXPECT_EQ(refused.watch_id, -1);
  EXPECT_EQ(refused.cancel_reason, "etcdserver: too many requests");
  client.send(cancel_request(0));
  EXPECT_TRUE(client.next().canceled);
  EXPECT_TRUE(client.created({.key = std::string(1000, 'k')}).canceled);
  EXPECT_FALSE(client.created({.key = "a"}).canceled);
}

TEST_F(HubLimitsTest, UnreadEventsHaveABudget) {
  HubOptions options;
  options.unread_bytes_max = 20000;
  begin(options);
  std::vector<std::unique_ptr<TestClient>> stalled;
  for (int i = 0; i < 20; ++i) {
    stalled.push_back(std::make_unique<TestClient>(&hub(), kMuch, false));
    Response created = stalled.back()->created({.key = "a"});
    stalled.back()->grant(created.bytes);
  }
  TestClient reader(&hub());
  reader.created({.key = "a"});
  for (int64_t revision = 2; revision <= 50; ++revision) {
    member_->put_now("a", std::string(1000, 'v'));
    EXPECT_EQ(reader.next().revision, revision);
  }
  reader.until_now();
  EXPECT_LE(hub().stats().unread_bytes, 20000u + 21 * 1100u);
  // Whoever reads gets all of it, from the history.
  for (auto& client : stalled) {
    size_t events = 0;
    while (events < 49 && !HasFailure()) {
      Response response = client->next();
      events += response.events.size();
      client->grant(response.bytes);
    }
    EXPECT_EQ(events, 49u);
  }
  reader.until_now();
  member_->put_now("a", "live");
  EXPECT_EQ(stalled[7]->next().events_text(), "put a=live@51");
}

TEST_F(HubLimitsTest, HistoryIsSentInPiecesOfWholeRevisions) {
  HubOptions options;
  options.history_response_bytes_max = 500;
  begin(options);
  for (int i = 0; i < 6; ++i) {
    wire::TxnRequest txn;
    std::string value(100, 'v');
    for (const char* key : {"a", "b", "c"}) {
      txn.success.emplace_back(wire::PutRequest{.key = key, .value = value});
    }
    member_->txn(std::move(txn));
  }
  member_->commit();
  // The second stream is ready once at a time, so it reads one piece in each round.
  TestClient fast(&hub()), slow(&hub(), 1, false);
  for (TestClient* client : {&fast, &slow}) {
    client->watch({.key = "a", .range_end = "d", .start_revision = 2});
    int64_t next = 2;
    for (Response r = client->next(); next < 8 && !HasFailure(); r = client->next()) {
      if (client == &slow) client->grant(r.bytes);
      if (r.created) continue;
      EXPECT_EQ(r.events.size(), 6u) << "two revisions are more than 500 bytes";
      EXPECT_EQ(r.events.front().kv.mod_revision, next);
      EXPECT_EQ(r.events.back().kv.mod_revision, ++next);
      if (++next == 8) break;
    }
  }
}

// There is always somebody who has all of history before him; those further on are not kept
// waiting.
TEST_F(HubLimitsTest, ReadersOfOldHistoryDelayNobody) {
  HubOptions options;
  options.history_round_revisions_max = 10;
  begin(options);
  for (int i = 2; i <= 1001; ++i) member_->put("a", std::to_string(i));
  member_->commit();
  constexpr int kOldReaders = 400;
  std::atomic<int> old_readers{0};
  TestClient old(&hub(), kMuch, false), middle(&hub()), near(&hub());
  old.on_message = [&] {
    const Response last = old.all().back();
    const bool begun = !last.events.empty() && last.events.front().kv.mod_revision == 2;
    if (begun && old_readers.fetch_add(1) < kOldReaders)
      old.watch({.key = "a", .start_revision = 2});
  };
  old.watch({.key = "a", .start_revision = 2});
  near.created({.key = "a", .start_revision = 1000});
  EXPECT_EQ(near.next().events.size(), 2u);
  EXPECT_LT(old_readers, 10);
  middle.created({.key = "a", .start_revision = 500});
  for (size_t seen = 0; seen < 502 && !HasFailure();) seen += middle.next().events.size();
  EXPECT_LT(old_readers, kOldReaders / 2);
}

// More than read history at a time, and a window that holds few of their events.
TEST_F(HubLimitsTest, WatchersOfOneStreamTakeTurns) {
  begin({});
  for (int i = 2; i <= 41; ++i) member_->put_now("a", std::string(100, 'v'));
  constexpr int64_t kWatchers = 500;
  TestClient client(&hub(), 20000);
  std::map<int64_t, int64_t> last;
  auto read_until = [&](int64_t revision) {
    for (int64_t done = 0; done < kWatchers && !HasFailure();) {
      Response response = client.next();
      if (response.created) continue;
      int64_t& mine = last[response.watch_id];
      ASSERT_EQ(response.events.front().kv.mod_revision, mine == 0 ? 2 : mine + 1);
      mine = response.events.back().kv.mod_revision;
      done += mine == revision;
    }
  };
  for (int64_t id = 1; id <= kWatchers; ++id) {
    client.watch({.key = "a", .start_revision = 2, .watch_id = id});
    if (id % 200 == 0) client.grant(20000);
  }
  read_until(41);
  for (int i = 42; i <= 61; ++i) member_->put_now("a", std::string(100, 'v'));
  read_until(61);
  EXPECT_TRUE(client.until_now().empty());
  EXPECT_EQ(hub().stats().unsynced_watchers, 0u);
}

TEST_F(HubLimitsTest, ControlIsAnsweredBesideABacklog) {
  HubOptions options;
  options.history_round_revisions_max = 10;
  begin(options);
  for (int i = 2; i <= 5000; ++i) member_->put("a", std::string(100, 'v'));
  member_->commit();
  // A window of a few responses, given back as they are read: the watcher has always more to send.
  TestClient client(&hub(), 5000);
  client.created({.key = "a", .start_revision = 2, .watch_id = 1});
  client.watch({.key = "b", .watch_id = 2});
  client.send(cancel_request(1));
  size_t events = 0;
  for (bool canceled = false; !canceled && !HasFailure();) {
    Response response = client.next();
    events += response.events.size();
    canceled = response.canceled;
  }
  EXPECT_LT(events, 100u) << "the answer waited for the backlog";
  EXPECT_TRUE(client.until_now().empty()) << "events after the watcher's end";
}

}  // namespace
}  // namespace mortise::watch
