// Random writes, compactions, watchers and starved clients, against a model that knows every event.
#include <algorithm>
#include <random>
#include <thread>

#include "gtest/gtest.h"
#include "host/watch/test_env.h"

namespace mortise::watch {
namespace {

constexpr char kEnd[] = "\0";

struct Past {
  int64_t revision = 0;
  TestEvent event;  // With the previous value, if there was one.
  bool is_create = false;
};

struct Watched {
  WatchOptions options;
  int64_t start = 0;  // The first revision that it gets.
  bool created = false;
  bool canceled = false;  // By the client or by a compaction.
  int64_t compact_revision = 0;
  std::vector<const TestEvent*> events;
};

class Model {
 public:
  void put(const std::string& key, const std::string& value, int64_t revision) {
    TestEvent event;
    auto found = state_.find(key);
    event.kv = {key, value, revision, revision, 1};
    if (found != state_.end()) {
      event.prev = found->second;
      event.kv.create_revision = found->second.create_revision;
      event.kv.version = found->second.version + 1;
    }
    state_[key] = event.kv;
    history_.push_back({revision, event, !event.prev.has_value()});
  }
  void remove(const std::string& key, int64_t revision) {
    auto found = state_.find(key);
    if (found == state_.end()) return;
    TestEvent event;
    event.is_delete = true;
    event.kv.key = key;
    event.kv.mod_revision = revision;
    event.prev = found->second;
    state_.erase(found);
    history_.push_back({revision, event, false});
  }
  bool exists(const std::string& key) const { return state_.contains(key); }

  // What a watcher must see, all of it.
  std::vector<const Past*> expected(const Watched& watched) const {
    const WatchOptions& o = watched.options;
    std::vector<const Past*> wanted;
    for (const Past& past : history_) {
      const std::string& key = past.event.kv.key;
      const bool matches = o.range_end.empty() ? key == o.key
                           : o.range_end == std::string(kEnd, 1)
                               ? key >= o.key
                               : key >= o.key && key < o.range_end;
      if (!matches || past.revision < watched.start) continue;
      if (past.event.is_delete ? o.no_delete : o.no_put) continue;
      wanted.push_back(&past);
    }
    return wanted;
  }

 private:
  std::map<std::string, TestKeyValue> state_;
  std::vector<Past> history_;
};

// Replays what a client received and checks it.
class Checker {
 public:
  Checker(const Model& model, int64_t compacted) : model_(model), compacted_(compacted) {}

  void check(const std::map<int64_t, WatchOptions>& asked, const std::vector<Response>& responses) {
    for (const auto& [id, options] : asked) watched_[id].options = options;
    for (size_t i = 0; i < responses.size(); ++i) {
      const Response& r = responses[i];
      if (r.watch_id == -1) {
        check_progress(r);
        continue;
      }
      ASSERT_TRUE(watched_.contains(r.watch_id));
      Watched& w = watched_[r.watch_id];
      if (r.created) {
        ASSERT_FALSE(w.created);
        w.created = true;
        w.start = w.options.start_revision == 0 ? r.revision + 1 : w.options.start_revision;
        continue;
      }
      ASSERT_TRUE(w.created) << "before its created response";
      // The client may cancel once more what a compaction has canceled.
      if (r.canceled && w.compact_revision > 0 && r.compact_revision == 0) {
        w.compact_revision = 0;
        continue;
      }
      ASSERT_FALSE(w.canceled) << "after its end";
      if (r.canceled) {
        w.canceled = true;
        w.compact_revision = r.compact_revision;
        ASSERT_LE(r.compact_revision, compacted_);
        continue;
      }
      ASSERT_FALSE(r.events.empty()) << "an empty response";
      if (r.fragment) {
        ASSERT_LT(i + 1, responses.size());
        ASSERT_EQ(responses[i + 1].watch_id, r.watch_id) << "a fragment is interrupted";
        ASSERT_TRUE(w.options.fragment);
      }
      add_events(&w, r, i > 0 && responses[i - 1].fragment);
    }
    for (auto& [id, w] : watched_) check_sequence(id, w);
  }

 private:
  void add_events(Watched* w, const Response& r, bool continues) {
    if (!continues && !w->events.empty()) {
      ASSERT_GT(r.events.front().kv.mod_revision, w->events.back()->kv.mod_revision)
          << "a revision is split";
    }
    ASSERT_GE(r.revision, r.events.back().kv.mod_revision);
    for (const TestEvent& event : r.events) w->events.push_back(&event);
  }
  void check_sequence(int64_t id, const Watched& w) {
    std::vector<const Past*> expected = model_.expected(w);
    if (!w.created) expected.clear();
    ASSERT_LE(w.events.size(), expected.size()) << "watcher " << id;
    if (!w.canceled) {
      ASSERT_EQ(w.events.size(), expected.size()) << "watcher " << id;
    }
    for (size_t i = 0; i < w.events.size(); ++i) {
      const TestEvent& got = *w.events[i];
      const Past& past = *expected[i];
      ASSERT_EQ(got.is_delete, past.event.is_delete) << "watcher " << id << " event " << i;
      ASSERT_EQ(got.kv, past.event.kv) << "watcher " << id << " event " << i;
      if (got.prev.has_value()) {
        ASSERT_TRUE(w.options.prev_kv);
        ASSERT_EQ(got.prev, past.event.prev);
      } else if (w.options.prev_kv && !past.is_create) {
        ASSERT_LT(past.revision - 1, compacted_) << "a previous value is missing";
      }
    }
    // A revision is in a response as a whole, so nothing may end in the middle of one.
    if (w.events.size() < expected.size() && !w.events.empty()) {
      ASSERT_GT(expected[w.events.size()]->revision, w.events.back()->kv.mod_revision);
    }
  }
  void check_progress(const Response& r) {
    int64_t open = 0;
    for (const auto& [id, w] : watched_) {
      if (!w.created || w.canceled) continue;
      ++open;
      size_t due = 0;
      for (const Past* past : model_.expected(w)) due += past->revision <= r.revision;
      ASSERT_GE(w.events.size(), due) << "progress " << r.revision << " overtakes watcher " << id;
      ASSERT_GE(r.revision, w.options.start_revision);
      if (w.events.empty()) continue;
      ASSERT_LE(w.events.back()->kv.mod_revision, r.revision) << "progress goes back";
    }
    ASSERT_GT(open, 0);
  }

  const Model& model_;
  const int64_t compacted_;
  std::map<int64_t, Watched> watched_;
};

struct RandomClient {
  explicit RandomClient(Hub* hub, uint64_t credit) : client(hub, credit, false) {}
  TestClient client;
  std::map<int64_t, WatchOptions> asked;
};

class RandomRun {
 public:
  RandomRun(uint64_t seed, HubOptions options) : random_(seed), member_(std::move(options)) {
    member_.start();
    for (int i = 0; i < 4; ++i) {
      clients_.push_back(std::make_unique<RandomClient>(&member_.hub(), below(2) * 3000));
    }
  }

  void run(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) step();
    if (pending_) commit();
    finish();
  }

 private:
  uint64_t below(uint64_t n) { return std::uniform_int_distribution<uint64_t>(0, n - 1)(random_); }
  std::string key() { return std::string(1, static_cast<char>('a' + below(6))); }
  RandomClient& any_client() { return *clients_[below(clients_.size())]; }

  void step() {
    switch (below(16)) {
      case 0:
      case 1:
      case 2:
      case 3: return put();
      case 4: return remove();
      case 5:
      case 6: return txn();
      case 7:
      case 8:
      case 9: return commit();
      case 10: return watch();
      case 11: return cancel();
      case 12: return any_client().client.send(progress_request());
      case 13:
      case 14: return any_client().client.grant(below(2000) + 1);
      default:
        if (below(8) == 0) compact();
        if (below(4) == 0) std::this_thread::yield();
    }
  }
  int64_t next_revision() { return member_.writer().revision() + 1; }
  void put() {
    std::string k = key(), value = std::string(below(60), 'v') + std::to_string(next_revision());
    model_.put(k, value, next_revision());
    member_.put(k, value);
    pending_ = true;
  }
  void remove() {
    const std::string k = key();
    model_.remove(k, next_revision());
    member_.remove(k);
    pending_ = true;
  }
  void txn() {
    wire::TxnRequest request;
    std::vector<std::string> keys{"a", "b", "c", "d", "e", "f"};
    std::shuffle(keys.begin(), keys.end(), random_);
    keys.resize(1 + below(keys.size()));
    const int64_t revision = next_revision();
    const std::string value = std::to_string(revision);
    for (const std::string& k : keys) {
      if (below(3) == 0) {
        model_.remove(k, revision);
        request.success.emplace_back(wire::DeleteRangeRequest{.key = k});
      } else {
        model_.put(k, value, revision);
        request.success.emplace_back(wire::PutRequest{.key = k, .value = value});
      }
    }
    member_.txn(std::move(request));
    pending_ = true;
  }
  void commit() {
    member_.commit();
    pending_ = false;
  }
  void compact() {
    commit();
    const int64_t low = std::max<int64_t>(compacted_ + 1, 1);
    if (low > member_.revision()) return;
    compacted_ =
        low + static_cast<int64_t>(below(static_cast<uint64_t>(member_.revision() - low + 1)));
    member_.compact(compacted_, below(2) == 0);
  }
  void watch() {
    RandomClient& client = any_client();
    WatchOptions o;
    o.key = key();
    switch (below(3)) {
      case 0: break;
      case 1: o.range_end = std::string(1, static_cast<char>(o.key[0] + 1 + below(3))); break;
      default: o.range_end = std::string(kEnd, 1);
    }
    const auto revision = static_cast<uint64_t>(member_.revision());
    if (below(2) == 0) o.start_revision = 1 + static_cast<int64_t>(below(revision + 8));
    o.watch_id = next_id_++;
    o.prev_kv = below(2) == 0;
    o.fragment = below(2) == 0;
    o.no_put = below(6) == 0;
    o.no_delete = below(6) == 0;
    client.asked[o.watch_id] = o;
    client.client.watch(o);
  }
  void cancel() {
    RandomClient& client = any_client();
    if (client.asked.empty() || below(2) == 0) return;
    auto it = client.asked.begin();
    std::advance(it, below(client.asked.size()));
    client.client.send(cancel_request(it->first));
  }

  // Gives everybody credit and waits for what is still to come: a marker that each client sees when
  // all its watchers are live, because then a new watcher's events come last.
  void finish() {
    for (auto& c : clients_) c->client.read_at_once();
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (member_.hub().stats().unsynced_watchers > 0 ||
           member_.hub().stats().pending_events > 0) {
      ASSERT_LT(std::chrono::steady_clock::now(), limit) << "watchers do not catch up";
      std::this_thread::yield();
    }
    for (auto& c : clients_) {
      WatchOptions marker{.key = "z marker", .watch_id = next_id_++};
      c->asked[marker.watch_id] = marker;
      c->client.watch(marker);
      for (bool found = false; !found && !::testing::Test::HasFailure();) {
        Response r = c->client.next();
        found = r.created && r.watch_id == marker.watch_id;
      }
    }
    // Grants and creations were handled in order, so what was unsynced then is known now.
    while (member_.hub().stats().unsynced_watchers > 0 ||
           member_.hub().stats().pending_events > 0) {
      ASSERT_LT(std::chrono::steady_clock::now(), limit) << "watchers do not catch up";
      std::this_thread::yield();
    }
    for (auto& c : clients_) {
      Checker(model_, compacted_).check(c->asked, c->client.all());
    }
  }

  std::mt19937_64 random_;
  TestMember member_;
  Model model_;
  std::vector<std::unique_ptr<RandomClient>> clients_;
  int64_t next_id_ = 1;
  int64_t compacted_ = mvcc::kNeverCompacted;
  bool pending_ = false;
};

void run_seeds(uint64_t first, int count, const HubOptions& options) {
  for (uint64_t seed = first; seed < first + static_cast<uint64_t>(count); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomRun(seed, options).run(1500);
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(HubRandomTest, DefaultLimits) { run_seeds(1, 20, HubOptions()); }

TEST(HubRandomTest, ShortRoundsAndSmallFragments) {
  HubOptions options;
  options.history_round_revisions_max = 3;
  options.fragment_bytes = 200;
  run_seeds(1000, 20, options);
}

TEST(HubRandomTest, RoundsBoundedInBytes) {
  HubOptions options;
  options.history_round_bytes_max = 200;
  options.control_responses_max = 2;
  run_seeds(2000, 10, options);
}

TEST(HubRandomTest, SmallBudgets) {
  HubOptions options;
  options.unread_bytes_max = 2000;
  options.history_response_bytes_max = 300;
  run_seeds(2500, 20, options);
}

TEST(HubRandomTest, AQueueThatOverflows) {
  HubOptions options;
  options.queued_batch_bytes_max = 100 << 10;  // One batch, sometimes two.
  options.fragment_bytes = 300;
  run_seeds(3000, 20, options);
}

TEST(HubRandomTest, AQueueThatHoldsNothing) {
  HubOptions options;
  options.queued_batch_bytes_max = 0;
  run_seeds(4000, 10, options);
}

}  // namespace
}  // namespace mortise::watch
