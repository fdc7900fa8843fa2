// The keeper's work without its thread: a store with a writer, proposals that are applied when the
// test says so, and items that are handled when it says so.
#include "host/lock/engine.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <set>

#include "host/lock/requests.h"
#include "host/mvcc/test_store.h"
#include "host/mvcc/writer.h"
#include "host/wire/raft_request.h"
#include "proto/election.pb.h"

namespace mortise::lock {
namespace {

class Env {
 public:
  Env() { EXPECT_TRUE(writer.open().ok()); }
  ~Env() {
    lose_events = false;
    engine.end_all(rpc_errors::kStopped);
  }

  KeeperOptions options() {
    KeeperOptions o;
    o.propose = [this](uint32_t field, std::string_view request, const wire::Author&,
                       std::unique_ptr<apply::Waiter> waiter) {
      proposals.push_back({field, std::string(request), std::move(waiter)});
    };
    o.is_linearizable = [this] { return linearizable.ok() && !confirm_later; };
    o.when_linearizable = [this](std::function<void(const RpcStatus&)> done) {
      if (!confirm_later) return done(linearizable);
      unconfirmed.push_back(std::move(done));
    };
    o.new_lease_id = [this] { return ++last_lease; };
    o.header = [](int64_t revision) { return rpc::Header{1, 2, revision, 3}; };
    o.revision = [this] { return writer.revision(); };
    o.contenders_max = 50;
    return o;
  }

  // The oldest proposal takes effect, or fails.
  void apply_next(const RpcStatus& failure = RpcStatus()) {
    ASSERT_FALSE(proposals.empty());
    Proposal proposal = std::move(proposals.front());
    proposals.pop_front();
    apply::ApplyResult result;
    result.rpc = failure;
    if (failure.ok()) apply(proposal, &result);
    if (result.revision == 0) result.revision = writer.revision();
    proposal.waiter->complete(std::move(result));
  }
  void apply_all() {
    while (!proposals.empty()) apply_next();
  }
  // Handles up to so many items, then does a round of work.
  void run(size_t items_max = std::numeric_limits<size_t>::max()) {
    std::vector<Item> taken;
    inbox->take(&taken, /*wait=*/false);
    took_any = !taken.empty();
    for (Item& item : taken) items.push_back(std::move(item));
    for (; items_max > 0 && !items.empty(); --items_max) {
      ASSERT_TRUE(engine.handle(items.front()).ok());
      items.pop_front();
    }
    ASSERT_TRUE(engine.work().ok());
  }
  // Until nothing happens by itself.
  void settle() {
    do {
      apply_all();
      run();
    } while (took_any || !proposals.empty() || !items.empty() || engine.has_work());
  }

  void put(const std::string& key, const std::string& value = "") {
    mvcc::Outcome outcome;
    wire::PutRequest request;
    request.key = key;
    request.value = value;
    ASSERT_TRUE(writer.put(request, false, &outcome).ok());
    commit();
  }
  void remove(const std::string& key) {
    mvcc::Outcome outcome;
    wire::DeleteRangeRequest request;
    request.key = key;
    ASSERT_TRUE(writer.delete_range(request, false, &outcome).ok());
    commit();
  }
  // A contender; its turn goes to turns[id].
  uint64_t compete(const std::string& name, int64_t lease, ContestKind kind = ContestKind::kLock,
                   const std::string& value = "") {
    StartItem item;
    item.contender = std::make_unique<Contender>();
    uint64_t id = ++last_id;
    item.contender->id = id;
    item.contender->claim = Claim{kind, name, lease, value};
    item.contender->done = [this, id](Turn turn) {
      if (on_turn) on_turn(id, turn);
      EXPECT_TRUE(turns.emplace(id, std::move(turn)).second);
    };
    inbox->push(std::move(item));
    return id;
  }
  void cancel(uint64_t id) { inbox->push(CancelItem{id}); }
  bool has_turn(uint64_t id) { return turns.contains(id) && turns.at(id).status.ok(); }
  std::string error(uint64_t id) { return turns.contains(id) ? turns.at(id).status.message() : ""; }
  // Key and create revision of the oldest of a prefix.
  int64_t oldest(const std::string& prefix) {
    auto found = find_oldest(*store.get(), prefix);
    return found.ok() ? (*found)->kv.create_revision : -1;
  }
  bool exists(const std::string& key) {
    auto found = find_key(*store.get(), key);
    return found.ok() && !(*found)->stored.empty();
  }

  testing::TestStore store;
  std::set<int64_t> leases;
  mvcc::Writer writer{store.get(), [this](int64_t id) { return leases.contains(id); },
                      [] { return false; }};
  std::shared_ptr<Inbox> inbox = std::make_shared<Inbox>();
  const KeeperOptions engine_options = options();
  Engine engine{store.get(), &engine_options, inbox};
  struct Proposal {
    uint32_t field;
    std::string request;
    std::unique_ptr<apply::Waiter> waiter;
  };
  std::deque<Proposal> proposals;
  std::deque<Item> items;
  std::map<uint64_t, Turn> turns;
  std::function<void(uint64_t, const Turn&)> on_turn;
  RpcStatus linearizable;
  bool confirm_later = false;  // Reads wait in `unconfirmed`.
  std::vector<std::function<void(const RpcStatus&)>> unconfirmed;
  bool lose_events = false;
  bool took_any = false;  // The last run() found something new.
  int64_t last_lease = 100;
  uint64_t last_id = 0;
  uint64_t index = 0;

 private:
  void apply(const Proposal& proposal, apply::ApplyResult* result) {
    if (proposal.field == wire::kRaftLeaseGrant) {
      etcdserverpb::LeaseGrantRequest grant;
      ASSERT_TRUE(grant.ParseFromString(proposal.request));
      leases.insert(grant.id());
      return;
    }
    ASSERT_EQ(proposal.field, wire::kRaftTxn);
    wire::TxnRequest txn;
    ASSERT_TRUE(wire::decode(proposal.request, &txn));
    mvcc::Outcome outcome;
    ASSERT_TRUE(writer.txn(txn, true, &outcome).ok());
    result->rpc = outcome.rpc;
    result->revision = outcome.revision;
    result->body = std::move(outcome.body);
    commit();
  }
  void commit() {
    std::shared_ptr<mvcc::EventBatch> events;
    ASSERT_TRUE(writer.commit(++index, 1, &events).ok());
    if (events->events.empty()) return;
    if (lose_events) {
      inbox->push(MissedItem{events->last_revision});
    } else {
      inbox->publish(events);
    }
  }
};

TEST(EngineTest, ALoneContenderHasItsTurnAtOnce) {
  Env env;
  env.leases = {7};
  uint64_t id = env.compete("m", 7);
  env.settle();
  ASSERT_TRUE(env.has_turn(id)) << env.error(id);
  const Turn& turn = env.turns[id];
  EXPECT_EQ(turn.key, "m/7");
  EXPECT_EQ(turn.create_revision, 2);
  EXPECT_EQ(turn.revision, 2);
  EXPECT_EQ(turn.lease, 7);
}

TEST(EngineTest, WhoWaitedIsToldTheRevisionOfItsTurn) {
  Env env;
  env.leases = {7, 8};
  env.compete("m", 7);
  uint64_t id = env.compete("m", 8);
  env.settle();
  EXPECT_FALSE(env.turns.contains(id));
  env.put("other");
  env.remove("m/7");
  env.settle();
  ASSERT_TRUE(env.has_turn(id));
  EXPECT_EQ(env.turns[id].create_revision, 3);
  EXPECT_EQ(env.turns[id].revision, 5);
}

TEST(EngineTest, ACandidateIsToldTheRevisionOfItsTxn) {
  Env env;
  env.leases = {7, 8};
  env.compete("e", 7, ContestKind::kElection, "a");
  uint64_t id = env.compete("e", 8, ContestKind::kElection, "b");
  env.settle();
  env.remove("e/7");
  env.settle();
  ASSERT_TRUE(env.has_turn(id));
  EXPECT_EQ(env.turns[id].revision, 3);
}

TEST(EngineTest, WhatIsDecidedInTheBatchOfTheTxnCountsAsAtOnce) {
  Env env;
  env.leases = {7};
  uint64_t id = env.compete("m", 7);
  env.run();
  env.apply_next();
  env.put("x");  // Before the keeper hears of anything.
  env.settle();
  EXPECT_EQ(env.turns[id].revision, 2);
}

TEST(EngineTest, ASessionMayLockWhatItHolds) {
  Env env;
  env.leases = {7, 8};
  uint64_t first = env.compete("m", 7);
  env.settle();
  uint64_t waiting = env.compete("m", 8);
  uint64_t again = env.compete("m", 7);
  env.settle();
  EXPECT_TRUE(env.has_turn(first));
  EXPECT_TRUE(env.has_turn(again));
  EXPECT_FALSE(env.turns.contains(waiting));
  uint64_t twice = env.compete("m", 8);
  env.settle();
  EXPECT_FALSE(env.turns.contains(twice));
  env.remove("m/7");
  env.settle();
  EXPECT_TRUE(env.has_turn(waiting));
  EXPECT_TRUE(env.has_turn(twice));
}

TEST(EngineTest, KeysThatOthersMadeCount) {
  Env env;
  env.leases = {7};
  env.put("m/by-somebody");
  env.put("m/another");
  uint64_t id = env.compete("m", 7);
  env.settle();
  EXPECT_FALSE(env.turns.contains(id));
  env.put("m/later");
  env.remove("m/by-somebody");
  env.settle();
  EXPECT_FALSE(env.turns.contains(id));
  env.remove("m/another");
  env.settle();
  EXPECT_TRUE(env.has_turn(id));
}

TEST(EngineTest, ACancelLeavesNoKey) {
  for (int applied = 0; applied <= 3; ++applied) {
    SCOPED_TRACE(applied);
    Env env;
    env.put("m/held");
    uint64_t id = env.compete("m", 0);
    env.run();
    for (int i = 0; i < applied && !env.proposals.empty(); ++i) {
      env.apply_next();
      env.run();
    }
    env.cancel(id);
    env.settle();
    EXPECT_EQ(env.error(id), "context canceled");
    EXPECT_FALSE(env.exists("m/" + std::string("65")));
    EXPECT_TRUE(env.exists("m/held"));
  }
}

TEST(EngineTest, ACancelKeepsAKeyThatWasThereBefore) {
  Env env;
  env.leases = {7};
  env.compete("m", 7);
  env.settle();
  uint64_t again = env.compete("m", 7);
  env.run();
  env.cancel(again);
  env.settle();
  EXPECT_EQ(env.error(again), "context canceled");
  EXPECT_TRUE(env.exists("m/7"));
}

TEST(EngineTest, AFailedProposalIsTheAnswer) {
  Env env;
  uint64_t lease = env.compete("m", 0);
  env.run();
  env.apply_next(rpc_errors::kTimeout);
  uint64_t key = env.compete("m", 9);
  env.run();
  env.settle();
  EXPECT_EQ(env.error(lease), "etcdserver: request timed out");
  EXPECT_EQ(env.error(key), "etcdserver: requested lease not found");
}

TEST(EngineTest, WhoseKeyIsGoneIsToldInItsTurn) {
  Env env;
  env.leases = {7, 8, 9};
  env.compete("m", 7);
  uint64_t lock = env.compete("m", 8);
  env.settle();
  env.remove("m/8");
  env.settle();
  EXPECT_FALSE(env.turns.contains(lock));
  env.remove("m/7");
  env.settle();
  EXPECT_EQ(env.error(lock), "mutex: session is expired");
}

TEST(EngineTest, OneMoreThanTheLimitIsRefused) {
  Env env;
  env.put("m/held");
  for (int64_t lease = 1; lease <= 51; ++lease) {
    env.leases.insert(lease);
    env.compete("m", lease);
  }
  env.settle();
  ASSERT_EQ(env.turns.size(), 1U);
  EXPECT_EQ(env.error(51), "etcdserver: too many requests");
}

TEST(EngineTest, WhoCannotReadLinearizablyGivesUp) {
  Env env;
  env.leases = {7};
  env.put("m/held");
  uint64_t id = env.compete("m", 7);
  env.settle();
  env.linearizable = rpc_errors::kNoLeader;
  env.remove("m/held");
  env.settle();
  EXPECT_EQ(env.error(id), "etcdserver: no leader");
  EXPECT_FALSE(env.exists("m/7"));
}

TEST(EngineTest, ALockIsHeldOnceReadsAreKnownToBeLinearizable) {
  Env env;
  env.leases = {7};
  env.put("m/held");
  uint64_t id = env.compete("m", 7);
  env.settle();
  env.confirm_later = true;
  env.remove("m/held");
  env.settle();
  ASSERT_EQ(env.unconfirmed.size(), 1u);
  EXPECT_TRUE(env.turns.empty());
  env.unconfirmed[0](RpcStatus());
  env.settle();
  EXPECT_EQ(env.error(id), "");
  EXPECT_TRUE(env.exists("m/7"));
}

TEST(EngineTest, WhoGoesWhileItsLockIsConfirmedGivesUp) {
  Env env;
  env.leases = {7};
  env.put("m/held");
  uint64_t id = env.compete("m", 7);
  env.settle();
  env.confirm_later = true;
  env.remove("m/held");
  env.settle();
  env.cancel(id);
  env.settle();
  env.unconfirmed[0](RpcStatus());
  env.settle();
  EXPECT_EQ(env.error(id), "context canceled");
  EXPECT_FALSE(env.exists("m/7"));
}

TEST(EngineTest, ManyKeysAreCountedInRoundsWhileTheyGo) {
  Env env;
  env.leases = {0xabc};
  constexpr int kKeys = 3500;
  for (int i = 0; i < kKeys; ++i) env.put("m/" + std::to_string(i));
  uint64_t id = env.compete("m", 0xabc);
  env.run(1);
  EXPECT_TRUE(env.engine.has_work());
  for (int i = 0; i < kKeys; ++i) {
    env.remove("m/" + std::to_string((i * 9) % kKeys));
    if (i % 1200 == 0) env.run();
    if (i == 1300) env.apply_all();
  }
  EXPECT_FALSE(env.has_turn(id));
  env.settle();
  EXPECT_TRUE(env.has_turn(id));
}

TEST(EngineTest, TheEndAnswersAllAndDeletesTheirKeys) {
  Env env;
  env.leases = {7, 8};
  env.compete("m", 7);
  uint64_t waiting = env.compete("m", 8);
  env.settle();
  uint64_t early = env.compete("m", 0);
  env.run();
  env.engine.end_all(rpc_errors::kStopped);
  EXPECT_EQ(env.error(waiting), "etcdserver: server stopped");
  EXPECT_EQ(env.error(early), "etcdserver: server stopped");
  env.apply_all();
  EXPECT_TRUE(env.exists("m/7"));
  EXPECT_FALSE(env.exists("m/8"));
}

// Anybody may come, go, lose keys or events at any time: nobody has its turn before its time, and
// everybody has it in the end.
class RandomHistory {
 public:
  explicit RandomHistory(uint64_t seed) : random_(seed) {
    env_.on_turn = [this](uint64_t, const Turn& turn) {
      if (!turn.status.ok()) return;
      std::string prefix = turn.key.substr(0, turn.key.find('/') + 1);
      int64_t oldest = env_.oldest(prefix);
      if (oldest == 0) oldest = turn.create_revision;
      EXPECT_GE(oldest, turn.create_revision) << turn.key;
      held_.push_back(turn.key);
    };
  }
  void step() {
    switch (random_() % 12) {
      case 0:
      case 1: compete(); break;
      case 2: env_.cancel(1 + random_() % (env_.last_id + 1)); break;
      case 3: env_.put(name() + "/" + std::to_string(random_() % 3)); break;
      case 4: env_.remove(name() + "/" + std::to_string(random_() % 3)); break;
      case 5:
        if (!held_.empty()) env_.remove(take_held());
        break;
      case 6: env_.lose_events = random_() % 8 == 0; break;
      case 7:
      case 8: env_.run(random_() % 4); break;
      default:
        if (!env_.proposals.empty()) env_.apply_next();
    }
  }
  void finish() {
    env_.lose_events = false;
    for (const char* prefix : {"a/", "b/"}) {
      for (int i = 0; i < 3; ++i) env_.remove(prefix + std::to_string(i));
    }
    env_.settle();
    while (env_.turns.size() < env_.last_id && !held_.empty()) {
      env_.remove(take_held());
      env_.settle();
    }
    EXPECT_EQ(env_.turns.size(), env_.last_id) << "somebody waits in vain";
  }

 private:
  std::string name() { return random_() % 2 == 0 ? "a" : "b"; }
  void compete() {
    int64_t lease = static_cast<int64_t>(16 + random_() % 12);
    env_.leases.insert(lease);
    env_.compete(name(), lease, random_() % 2 == 0 ? ContestKind::kLock : ContestKind::kElection,
                 std::to_string(random_() % 2));
  }
  std::string take_held() {
    std::swap(held_[random_() % held_.size()], held_.back());
    std::string key = held_.back();
    held_.pop_back();
    return key;
  }

  std::mt19937_64 random_;
  std::vector<std::string> held_;
  Env env_;
};

TEST(EngineTest, RandomHistories) {
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(seed);
    RandomHistory history(seed);
    for (int i = 0; i < 400; ++i) history.step();
    history.finish();
    if (::testing::Test::HasFailure()) return;
  }
}

// A client of Observe with credit under control.
class TestClient {
 public:
  explicit TestClient(Env* env) : env_(env) {
    static const mortise_stream_events events = {
        sizeof(mortise_stream_events), 0,
        [](void* self, mortise_buffer message) {
          rpc::Payload payload(message);
          v3electionpb::LeaderResponse response;
          EXPECT_TRUE(response.ParseFromString(std::string(payload.view())));
          static_cast<TestClient*>(self)->seen.push_back(
              response.kv().key() + "=" + response.kv().value() + "@" +
              std::to_string(response.header().revision()));
        },
        [](void*, uint64_t) {},
        [](void* self, mortise_rpc_code code, mortise_bytes) {
          static_cast<TestClient*>(self)->end = code;
        }};
    observer_ =
        std::make_shared<Observer>(env->inbox.get(), rpc::ClientStream(&events, this), nullptr);
    env->inbox->push(OpenedItem{observer_});
  }
  void request(const std::string& name) {
    env_->inbox->push(RequestItem{observer_, name});
    env_->settle();
  }
  void grant(uint64_t bytes) {
    observer_->on_grant(bytes);
    env_->settle();
  }
  void cancel() {
    observer_->on_cancel();
    env_->settle();
  }
  std::vector<std::string> take() { return std::exchange(seen, {}); }

  std::vector<std::string> seen;
  int end = -1;

 private:
  Env* const env_;
  std::shared_ptr<Observer> observer_;
};

using Seen = std::vector<std::string>;

TEST(ObserverTest, FollowsTheLeader) {
  Env env;
  TestClient client(&env);
  client.grant(1 << 20);
  client.request("e");
  EXPECT_EQ(client.take(), Seen());
  env.put("e/1", "a");
  env.put("e/1", "b");
  env.put("e/2", "c");
  env.settle();
  EXPECT_EQ(client.take(), (Seen{"e/1=a@2", "e/1=b@3"}));
  env.put("x");
  env.remove("e/1");
  env.settle();
  EXPECT_EQ(client.take(), Seen{"e/2=c@6"});
  env.put("e/2", "d");
  env.remove("e/2");
  env.settle();
  EXPECT_EQ(client.take(), Seen{"e/2=d@7"});
  env.put("e/0", "f");
  env.settle();
  EXPECT_EQ(client.take(), Seen{"e/0=f@9"});
  client.cancel();
  EXPECT_EQ(client.end, static_cast<int>(RpcCode::kCanceled));
}

TEST(ObserverTest, ALateOneSeesWhatIs) {
  Env env;
  env.put("e/1", "a");
  TestClient early(&env), late(&env);
  early.grant(1 << 20);
  late.grant(1 << 20);
  early.request("e");
  EXPECT_EQ(early.take(), Seen{"e/1=a@2"});
  env.put("e/1", "b");
  env.put("x");
  // Events are under way that the late one may have seen.
  late.request("e");
  EXPECT_EQ(early.take(), Seen{"e/1=b@3"});
  EXPECT_EQ(late.take(), Seen{"e/1=b@4"});
}

TEST(ObserverTest, WhoDoesNotReadGetsTheNewestLeader) {
  Env env;
  env.put("e/1", "a");
  TestClient client(&env);
  client.request("e");
  EXPECT_EQ(client.take(), Seen());
  client.grant(1);
  EXPECT_EQ(client.take(), Seen{"e/1=a@2"});
  for (const char* value : {"b", "c", "d"}) env.put("e/1", value);
  env.settle();
  EXPECT_EQ(client.take(), Seen());
  client.grant(1 << 20);
  EXPECT_EQ(client.take(), Seen{"e/1=d@5"});
}

TEST(ObserverTest, MissedEventsAreReadFromTheStore) {
  Env env;
  TestClient client(&env);
  client.grant(1 << 20);
  client.request("e");
  env.lose_events = true;
  env.put("e/1", "a");
  env.put("e/2", "b");
  env.settle();
  EXPECT_EQ(client.take(), Seen{"e/1=a@3"});
  env.remove("e/1");
  env.settle();
  EXPECT_EQ(client.take(), Seen{"e/2=b@4"});
}

TEST(ObserverTest, ManyCandidates) {
  Env env;
  for (int i = 0; i < 2500; ++i) env.put("e/" + std::to_string(2500 - i), std::to_string(i));
  TestClient client(&env);
  client.grant(1 << 20);
  client.request("e");
  EXPECT_EQ(client.take(), Seen{"e/2500=0@2501"});
  env.remove("e/2500");
  env.run();  // The first round.
  env.remove("e/2499");
  env.settle();
  EXPECT_EQ(client.take(), Seen{"e/2498=2@2503"});
}

}  // namespace
}  // namespace mortise::lock
