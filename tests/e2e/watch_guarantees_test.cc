// What etcd promises of watches: ordered, unique, reliable, atomic, resumable, bookmarkable,
// filterable, with previous values, with a creation flag. Each is judged by itself, over what many
// watchers saw while writers put, deleted and ran transactions, clients broke off and came back,
// and the server was killed and started again.
//
// The judge knows the history from the answers that writers got, and from ranges for what was
// written and not answered. Load is counted in revisions, so that timing decides nothing.
// MORTISE_WATCH_LOAD multiplies it (1). MORTISE_WATCH_ETCD names an etcd that is judged as well,
// from 3.6 on.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

using etcdserverpb::WatchCreateRequest;

constexpr int kWriters = 4;
constexpr int kStreams = 10;
constexpr int kWatchersOfStream = 4;
constexpr int kPhases = 4;  // Between them the server is killed.
constexpr int64_t kRevisionsOfPhase = 1200;
constexpr int kKeys = 60;
constexpr char kEtcdVariable[] = "MORTISE_WATCH_ETCD";
const std::string kOpenEnd(1, '\0');
constexpr auto kPatience = std::chrono::seconds(120);

int load() {
  const char* wanted = std::getenv("MORTISE_WATCH_LOAD");
  return wanted == nullptr ? 1 : std::max(1, std::atoi(wanted));
}

// ---- The history.

struct Version {
  int64_t create = 0, mod = 0, version = 0;
  std::string value;
  friend bool operator==(const Version&, const Version&) = default;
};

// One event: as it should be, or as a watcher saw it.
struct Change {
  std::string key;
  bool is_delete = false;
  Version now;
  std::optional<Version> prev;
};

Version to_version(const mvccpb::KeyValue& kv) {
  return {kv.create_revision(), kv.mod_revision(), kv.version(), kv.value()};
}

Change to_change(const mvccpb::Event& event) {
  Change change{
      event.kv().key(), event.type() == mvccpb::Event::DELETE, to_version(event.kv()), {}};
  if (event.has_prev_kv()) change.prev = to_version(event.prev_kv());
  return change;
}

// Of one revision: keys with their new values, or none if deleted.
using Write = std::map<std::string, std::optional<std::string>>;

class History {
 public:
  void acknowledge(int64_t revision, Write write) {
    std::lock_guard lock(mutex_);
    writes_[revision] = std::move(write);
    latest_ = std::max(latest_, revision);
  }
  int64_t latest() {
    std::lock_guard lock(mutex_);
    return latest_;
  }
  // A revision that is still to come, soon.
  int64_t future(int64_t distance) {
    std::lock_guard lock(mutex_);
    if (ending_) return latest_;
    furthest_ = std::max(furthest_, latest_ + distance);
    return latest_ + distance;
  }
  // No more of them; what was the last?
  int64_t last_future() {
    std::lock_guard lock(mutex_);
    ending_ = true;
    return furthest_;
  }

  // Fills in what was written and not answered, works out all events, and compares the end with
  // what is stored.
  void complete(Client* client) {
    const int64_t last = range(client, 0).header().revision();
    std::map<std::string, Version> state;
    changes_.resize(static_cast<size_t>(last) + 1);
    for (int64_t revision = 2; revision <= last; ++revision) {
      auto found = writes_.find(revision);
      if (found == writes_.end())
        found = writes_.emplace(revision, ask(client, revision, state)).first;
      for (const auto& [key, value] : found->second) add(revision, key, value, &state);
    }
    std::map<std::string, Version> stored;
    const auto all = range(client, 0);
    for (const auto& kv : all.kvs()) stored[kv.key()] = to_version(kv);
    EXPECT_TRUE(stored == state) << "the test does not know the history";
  }
  int64_t last() const { return static_cast<int64_t>(changes_.size()) - 1; }
  // By key.
  const std::vector<Change>& of(int64_t revision) const {
    return changes_[static_cast<size_t>(revision)];
  }

 private:
  etcdserverpb::RangeResponse range(Client* client, int64_t revision) {
    etcdserverpb::RangeRequest request;
    request.set_key(kOpenEnd);
    request.set_range_end(kOpenEnd);
    request.set_revision(revision);
    etcdserverpb::RangeResponse response;
    grpc::Status status = client->range(request, &response);
    EXPECT_TRUE(status.ok()) << status_text(status);
    return response;
  }
  Write ask(Client* client, int64_t revision, const std::map<std::string, Version>& before) {
    Write write;
    std::set<std::string> there;
    const auto all = range(client, revision);
    for (const auto& kv : all.kvs()) {
      there.insert(kv.key());
      if (kv.mod_revision() == revision) write[kv.key()] = kv.value();
    }
    for (const auto& [key, version] : before) {
      if (!there.contains(key)) write[key] = std::nullopt;
    }
    EXPECT_FALSE(write.empty()) << "nothing happened at revision " << revision;
    return write;
  }
  void add(int64_t revision, const std::string& key, const std::optional<std::string>& value,
           std::map<std::string, Version>* state) {
    Change change{key, !value.has_value(), {}, {}};
    auto old = state->find(key);
    if (old != state->end()) change.prev = old->second;
    if (value) {
      change.now = {change.prev ? change.prev->create : revision, revision,
                    change.prev ? change.prev->version + 1 : 1, *value};
      (*state)[key] = change.now;
    } else {
      change.now.mod = revision;
      state->erase(key);
    }
    changes_[static_cast<size_t>(revision)].push_back(std::move(change));
  }

  std::mutex mutex_;
  std::map<int64_t, Write> writes_;
  int64_t latest_ = 1;
  int64_t furthest_ = 1;
  bool ending_ = false;
  std::vector<std::vector<Change>> changes_;
};

// ---- Writers.

class Writer {
 public:
  Writer(int number, uint64_t seed, const std::string& endpoint, History* history)
      : number_(number), random_(seed), client_(endpoint), history_(history) {}

  // Until there are that many revisions, or the server does not answer.
  void run(int64_t until) {
    while (history_->latest() < until) {
      if (!(random_() % 8 == 0 ? remove() : transact())) return;
    }
  }

 private:
  // Each writer has keys of its own, and some are everybody's.
  std::string key() {
    const bool shared = random_() % 2 == 0;
    const std::string owner = shared ? "s" : "w" + std::to_string(number_);
    return owner + "/" + std::to_string(random_() % (shared ? kKeys / 2 : kKeys / 8));
  }
  std::string value() { return std::to_string(random_() % 1000) + std::string(random_() % 8, 'x'); }

  bool remove() {
    etcdserverpb::DeleteRangeRequest request;
    request.set_key(key());
    if (random_() % 4 == 0) request.set_range_end(request.key() + "9");
    request.set_prev_kv(true);
    etcdserverpb::DeleteRangeResponse response;
    if (!client_.call(client_.kv(), &etcdserverpb::KV::Stub::DeleteRange, request, &response)
             .ok()) {
      return false;
    }
    Write write;
    for (const auto& kv : response.prev_kvs()) write[kv.key()] = std::nullopt;
    if (!write.empty()) history_->acknowledge(response.header().revision(), write);
    return true;
  }

  bool transact() {
    etcdserverpb::TxnRequest request;
    Write write;
    for (uint64_t ops = random_() % 4 == 0 ? 2 + random_() % 6 : 1; ops > 0; --ops) {
      const std::string k = key();
      if (write.contains(k)) continue;
      if (ops > 1 && random_() % 4 == 0) {
        write[k] = std::nullopt;
        request.add_success()->mutable_request_delete_range()->set_key(k);
      } else {
        write[k] = value();
        auto* put = request.add_success()->mutable_request_put();
        put->set_key(k);
        put->set_value(*write[k]);
      }
    }
    etcdserverpb::TxnResponse response;
    if (!client_.call(client_.kv(), &etcdserverpb::KV::Stub::Txn, request, &response).ok()) {
      return false;
    }
    for (int i = 0; i < request.success_size(); ++i) {
      const bool deleted_nothing = response.responses(i).has_response_delete_range() &&
                                   response.responses(i).response_delete_range().deleted() == 0;
      if (deleted_nothing) write.erase(request.success(i).request_delete_range().key());
    }
    if (!write.empty()) history_->acknowledge(response.header().revision(), write);
    return true;
  }

  const int number_;
  std::mt19937_64 random_;
  Client client_;
  History* const history_;
};

// ---- Watchers.

bool wants(const WatchCreateRequest& spec, const Change& change) {
  const std::string& end = spec.range_end();
  const bool in_range = end.empty()
                            ? change.key == spec.key()
                            : change.key >= spec.key() && (end == kOpenEnd || change.key < end);
  if (!in_range) return false;
  const auto filter = change.is_delete ? WatchCreateRequest::NODELETE : WatchCreateRequest::NOPUT;
  return std::find(spec.filters().begin(), spec.filters().end(), filter) == spec.filters().end();
}

struct Received {
  int64_t header_revision = 0;
  std::vector<Change> events;  // None: a progress notification.
};

// What one watcher saw on one stream. A later segment may go on where it was broken off.
struct Segment {
  WatchCreateRequest spec;
  int64_t start = 0;  // The first revision that it is to see.
  int64_t next = 0;   // All before has been seen.
  int chain = 0;      // Segments that go on from each other.
  bool resumed = false;
  std::vector<Received> responses;
};

// Where the server is, if it runs.
class Gate {
 public:
  void open(const std::string& endpoint) { set(endpoint); }
  void close() { set(""); }
  // The endpoint, once there is one.
  std::string wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !endpoint_.empty(); });
    return endpoint_;
  }

 private:
  void set(const std::string& endpoint) {
    std::lock_guard lock(mutex_);
    endpoint_ = endpoint;
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string endpoint_;
};

// Opens streams with watchers one after the other, and keeps what they see.
class WatchClient {
 public:
  WatchClient(uint64_t seed, Gate* gate, History* history, std::atomic<int>* chains)
      : random_(seed), gate_(gate), history_(history), chains_(chains) {
    thread_ = std::thread([this] { run(); });
  }

  // Watches to the end of the history, and stops.
  void finish(int64_t last) {
    last_ = last;
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!done_) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "watchers do not get to the end";
      ask_for_progress();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    thread_.join();
  }
  ~WatchClient() {
    if (!thread_.joinable()) return;
    done_ = true;
    std::lock_guard lock(mutex_);
    if (context_) context_->TryCancel();
    thread_.join();
  }
  const std::vector<Segment>& segments() const { return segments_; }

 private:
  using Stream = grpc::ClientReaderWriter<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse>;

  uint64_t below(uint64_t n) { return random_() % n; }

  void run() {
    std::vector<size_t> broken;  // The segments of the stream before.
    while (!done_) {
      Client client(gate_->wait());
      const size_t first = segments_.size();
      plan(broken);
      watch(&client, first);
      broken.clear();
      for (size_t i = first; i < segments_.size(); ++i) broken.push_back(i);
    }
  }

  // Most watchers go on where they were, others are new.
  void plan(const std::vector<size_t>& broken) {
    for (size_t i = 0; i < kWatchersOfStream; ++i) {
      // One that would wait for a revision that may never come keeps its stream from progress.
      const int64_t next = i < broken.size() ? segments_[broken[i]].next : 0;
      const bool resumes = next > 0 && next <= history_->latest() && (last_ > 0 || below(4) != 0);
      if (resumes) {
        Segment segment = segments_[broken[i]];
        segment.responses.clear();
        segment.start = segment.next;
        segment.resumed = true;
        segment.spec.set_start_revision(segment.start);
        segments_.push_back(std::move(segment));
      } else {
        segments_.push_back(new_segment());
      }
    }
  }

  Segment new_segment() {
    Segment segment;
    segment.chain = chains_->fetch_add(1);
    WatchCreateRequest& spec = segment.spec;
    const char* keys[] = {"s/1", "s/2", "w0/3", "s/", "w1/", ""};
    const char* ends[] = {"", "", "", "s0", "w2", "\0"};
    const uint64_t kind = below(6);
    spec.set_key(kind == 5 ? kOpenEnd : keys[kind]);
    spec.set_range_end(kind == 5 ? kOpenEnd : ends[kind]);
    const int64_t now = history_->latest();
    switch (below(6)) {
      case 0: break;  // From now on.
      case 1: spec.set_start_revision(history_->future(1 + static_cast<int64_t>(below(20)))); break;
      case 2:
        spec.set_start_revision(1 + static_cast<int64_t>(below(static_cast<uint64_t>(now))));
        break;
      default:
        spec.set_start_revision(std::max<int64_t>(1, now - static_cast<int64_t>(below(200))));
    }
    segment.start = spec.start_revision();
    spec.set_prev_kv(below(2) == 0);
    spec.set_fragment(below(4) == 0);
    spec.set_progress_notify(below(2) == 0);
    if (below(4) == 0) spec.add_filters(WatchCreateRequest::NOPUT);
    if (below(4) == 0) spec.add_filters(WatchCreateRequest::NODELETE);
    return segment;
  }

  void watch(Client* client, size_t first) {
    open(client);
    for (size_t i = first; i < segments_.size(); ++i) {
      etcdserverpb::WatchRequest request;
      *request.mutable_create_request() = segments_[i].spec;
      request.mutable_create_request()->set_watch_id(static_cast<int64_t>(i - first) + 1);
      std::lock_guard lock(mutex_);
      stream_->Write(request);
    }
    pending_.clear();
    uint64_t left = 5 + below(150);
    etcdserverpb::WatchResponse response;
    while (stream_->Read(&response)) {
      receive(response, first);
      if (last_ > 0 && seen_all(first)) done_ = true;
      if (done_ || (last_ == 0 && left-- == 0)) break;
      if (below(8) == 0) ask_for_progress();
    }
    context_->TryCancel();
    while (stream_->Read(&response)) continue;
    std::lock_guard lock(mutex_);
    stream_->Finish();
    stream_.reset();
  }

  void open(Client* client) {
    std::lock_guard lock(mutex_);
    context_ = std::make_unique<grpc::ClientContext>();
    stream_ = client->watch().Watch(context_.get());
  }
  void ask_for_progress() {
    etcdserverpb::WatchRequest request;
    request.mutable_progress_request();
    std::lock_guard lock(mutex_);
    if (stream_) stream_->Write(request);
  }

  void receive(const etcdserverpb::WatchResponse& response, size_t first) {
    if (response.watch_id() == -1) {
      EXPECT_FALSE(response.created()) << response.ShortDebugString();
      for (size_t i = first; i < segments_.size(); ++i) add_progress(response, &segments_[i]);
      return;
    }
    Segment& segment = segments_[first + static_cast<size_t>(response.watch_id()) - 1];
    EXPECT_FALSE(response.canceled()) << response.ShortDebugString();
    if (response.created()) {
      if (segment.start == 0) segment.start = response.header().revision() + 1;
      segment.next = segment.start;
      return;
    }
    if (response.events().empty()) return add_progress(response, &segment);
    // Pieces of one response are one; what comes of it before the stream breaks is forgotten.
    Received& whole = pending_[response.watch_id()];
    whole.header_revision = response.header().revision();
    for (const auto& event : response.events()) whole.events.push_back(to_change(event));
    if (response.fragment()) return;
    segment.next = std::max(segment.next, whole.events.back().now.mod + 1);
    segment.responses.push_back(std::move(whole));
    pending_.erase(response.watch_id());
  }
  static void add_progress(const etcdserverpb::WatchResponse& response, Segment* segment) {
    EXPECT_GT(segment->next, 0) << "progress of a watcher before it was created";
    segment->responses.push_back({response.header().revision(), {}});
    segment->next = std::max(segment->next, response.header().revision() + 1);
  }
  bool seen_all(size_t first) {
    for (size_t i = first; i < segments_.size(); ++i) {
      if (segments_[i].next <= last_) return false;
    }
    return true;
  }

  std::mt19937_64 random_;
  Gate* const gate_;
  History* const history_;
  std::atomic<int>* const chains_;
  std::atomic<int64_t> last_{0};
  std::atomic<bool> done_{false};
  std::mutex mutex_;  // Of writes, and of which stream there is.
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<Stream> stream_;
  std::vector<Segment> segments_;
  std::map<int64_t, Received> pending_;
  std::thread thread_;
};

// ---- The load, and all that was seen.

struct Recording {
  History history;
  std::vector<Segment> segments;
  int64_t kills = 0;

  // The events that the segment was to see from its start up to a revision.
  std::vector<const Change*> expected(const Segment& segment, int64_t to) const {
    std::vector<const Change*> out;
    for (int64_t revision = segment.start; revision <= std::min(to, history.last()); ++revision) {
      for (const Change& change : history.of(revision)) {
        if (wants(segment.spec, change)) out.push_back(&change);
      }
    }
    return out;
  }
};

// In the order of the history: within a revision by key.
std::vector<const Change*> seen(const Segment& segment) {
  std::vector<const Change*> out;
  for (const Received& response : segment.responses) {
    for (const Change& event : response.events) out.push_back(&event);
  }
  std::stable_sort(out.begin(), out.end(), [](const Change* a, const Change* b) {
    return std::tie(a->now.mod, a->key) < std::tie(b->now.mod, b->key);
  });
  return out;
}

void write_and_kill(Node* node, uint64_t seed, Recording* recording, Gate* gate) {
  const int64_t revisions = kRevisionsOfPhase * load();
  for (int phase = 0; phase < kPhases; ++phase) {
    // The server is killed in the middle of it.
    const bool last = phase == kPhases - 1;
    const int64_t until = recording->history.latest() + revisions;
    std::vector<std::thread> writers;
    for (int i = 0; i < kWriters; ++i) {
      writers.emplace_back([&, i] {
        Writer(i, seed + static_cast<uint64_t>(phase * kWriters + i), node->endpoint(),
               &recording->history)
            .run(last ? until : INT64_MAX);
      });
    }
    while (!last && recording->history.latest() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (!last) {
      gate->close();
      node->kill();
      ++recording->kills;
    }
    for (std::thread& writer : writers) writer.join();
    if (last) return;
    ASSERT_EQ(node->start().message(), "");
    gate->open(node->endpoint());
  }
}

std::unique_ptr<Recording> record(const std::string& backend) {
  const uint64_t seed = std::random_device()();
  std::printf("%s: seed %lu\n", backend.c_str(), seed);
  auto recording = std::make_unique<Recording>();
  Node node(backend == "etcd" ? etcd_target(std::getenv(kEtcdVariable)) : mortise_target(backend),
            {.flags = {"--watch-progress-notify-interval=100ms"}, .in_memory = true});
  EXPECT_EQ(node.start().message(), "");
  Gate gate;
  gate.open(node.endpoint());
  std::atomic<int> chains{0};
  std::vector<std::unique_ptr<WatchClient>> clients;
  for (int i = 0; i < kStreams; ++i) {
    clients.push_back(std::make_unique<WatchClient>(seed + 1000 + static_cast<uint64_t>(i), &gate,
                                                    &recording->history, &chains));
  }
  write_and_kill(&node, seed, recording.get(), &gate);
  Client client(node.endpoint());
  // Watchers that began in the future are reached, too.
  const int64_t until = recording->history.last_future() + 5;
  while (recording->history.latest() < until) {
    int64_t revision = 0;
    EXPECT_TRUE(client.put("s/1", "end", &revision).ok());
    recording->history.acknowledge(revision, {{"s/1", "end"}});
  }
  recording->history.complete(&client);
  for (auto& watcher : clients) {
    watcher->finish(recording->history.last());
    recording->segments.insert(recording->segments.end(), watcher->segments().begin(),
                               watcher->segments().end());
  }
  return recording;
}

class WatchGuarantees : public ::testing::TestWithParam<std::string> {
 protected:
  // One load is judged by all tests of a backend.
  void SetUp() override {
    static std::map<std::string, std::unique_ptr<Recording>> recordings;
    std::unique_ptr<Recording>& mine = recordings[GetParam()];
    if (!mine) mine = record(GetParam());
    recording_ = mine.get();
  }
  const History& history() const { return recording_->history; }
  // Segments whose watchers were created.
  template <typename Function>
  void for_each_segment(Function function) {
    for (const Segment& segment : recording_->segments) {
      if (segment.next > 0 && !HasFailure()) function(segment);
    }
  }
  std::string about(const Segment& segment) {
    return segment.spec.ShortDebugString() + ", from " + std::to_string(segment.start) + " to " +
           std::to_string(segment.next);
  }
  // The same events, as far as `same` looks.
  template <typename Function>
  void expect_history(const Segment& segment, Function same) {
    const auto want = recording_->expected(segment, segment.next - 1);
    const auto got = seen(segment);
    ASSERT_EQ(got.size(), want.size()) << about(segment);
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_TRUE(same(*got[i], *want[i]))
          << got[i]->key << "@" << got[i]->now.mod << " of " << about(segment);
    }
  }
  Recording* recording_ = nullptr;
};

bool same_event(const Change& a, const Change& b) {
  return a.key == b.key && a.now.mod == b.now.mod && a.is_delete == b.is_delete;
}

TEST_P(WatchGuarantees, Ordered) {
  size_t events = 0;
  for_each_segment([&](const Segment& segment) {
    int64_t last = 0;
    for (const Received& response : segment.responses) {
      for (const Change& event : response.events) {
        ASSERT_GE(event.now.mod, last) << about(segment);
        last = event.now.mod;
        ++events;
      }
    }
  });
  EXPECT_GT(events, 1000u);
  std::printf("%s: %zu events, %zu segments, %ld revisions\n", GetParam().c_str(), events,
              recording_->segments.size(), history().last());
}

TEST_P(WatchGuarantees, Unique) {
  // Over all segments that go on from each other.
  std::map<int, std::set<std::pair<int64_t, std::string>>> chains;
  for_each_segment([&](const Segment& segment) {
    auto& known = chains[segment.chain];
    for (const Change* event : seen(segment)) {
      ASSERT_TRUE(known.insert({event->now.mod, event->key}).second)
          << event->key << "@" << event->now.mod << " came twice to " << about(segment);
    }
  });
}

TEST_P(WatchGuarantees, Reliable) {
  for_each_segment([&](const Segment& segment) { expect_history(segment, same_event); });
}

TEST_P(WatchGuarantees, Atomic) {
  size_t of_many_keys = 0;
  for_each_segment([&](const Segment& segment) {
    int64_t last = 0;
    for (const Received& response : segment.responses) {
      std::map<int64_t, size_t> counts;
      for (const Change& event : response.events) ++counts[event.now.mod];
      for (const auto& [revision, count] : counts) {
        ASSERT_GT(revision, last) << "in two responses to " << about(segment);
        const auto& changes = history().of(revision);
        const auto whole = std::count_if(changes.begin(), changes.end(), [&](const Change& change) {
          return wants(segment.spec, change);
        });
        ASSERT_EQ(count, static_cast<size_t>(whole)) << revision << " of " << about(segment);
        of_many_keys += count > 1;
      }
      if (!counts.empty()) last = counts.rbegin()->first;
    }
  });
  EXPECT_GT(of_many_keys, 50u);
}

TEST_P(WatchGuarantees, Resumable) {
  struct Chain {
    Segment all;  // The first segment, with what the others saw.
    int resumed = 0;
  };
  std::map<int, Chain> chains;
  size_t resumed = 0;
  for_each_segment([&](const Segment& segment) {
    auto [found, is_new] = chains.try_emplace(segment.chain, Chain{segment, 0});
    if (is_new) return;
    Segment& all = found->second.all;
    ASSERT_EQ(segment.start, all.next) << about(segment);
    all.next = segment.next;
    all.responses.insert(all.responses.end(), segment.responses.begin(), segment.responses.end());
    ++resumed;
  });
  size_t to_the_end = 0;
  for (const auto& [number, chain] : chains) {
    expect_history(chain.all, same_event);
    to_the_end += chain.all.next > history().last();
  }
  EXPECT_GT(resumed, 20u);
  EXPECT_GE(to_the_end, size_t{kStreams * kWatchersOfStream});
  EXPECT_EQ(recording_->kills, kPhases - 1);
}

TEST_P(WatchGuarantees, Bookmarkable) {
  size_t bookmarks = 0;
  for_each_segment([&](const Segment& segment) {
    size_t events = 0;
    int64_t bookmark = 0;
    for (const Received& response : segment.responses) {
      for (const Change& event : response.events) {
        ASSERT_GT(event.now.mod, bookmark) << "after the bookmark, to " << about(segment);
      }
      events += response.events.size();
      if (!response.events.empty()) continue;
      ASSERT_GE(response.header_revision, bookmark) << about(segment);
      bookmark = response.header_revision;
      ASSERT_EQ(events, recording_->expected(segment, bookmark).size())
          << "before the bookmark " << bookmark << ", to " << about(segment);
      ++bookmarks;
    }
  });
  EXPECT_GT(bookmarks, 50u);
}

TEST_P(WatchGuarantees, Filterable) {
  size_t puts = 0, deletes = 0;
  for_each_segment([&](const Segment& segment) {
    if (segment.spec.filters().empty()) return;
    expect_history(segment, same_event);
    for (const Change* event : seen(segment)) {
      ASSERT_TRUE(wants(segment.spec, *event)) << about(segment);
      ++(event->is_delete ? deletes : puts);
    }
  });
  EXPECT_GT(puts, 50u);
  EXPECT_GT(deletes, 20u);
}

TEST_P(WatchGuarantees, PreviousValue) {
  size_t found = 0, absent = 0;
  for_each_segment([&](const Segment& segment) {
    const bool asked = segment.spec.prev_kv();
    expect_history(segment, [&](const Change& got, const Change& want) {
      ++(got.prev ? found : absent);
      return asked ? got.prev == want.prev : !got.prev;
    });
  });
  EXPECT_GT(found, 100u);
  EXPECT_GT(absent, 100u);
}

TEST_P(WatchGuarantees, CreationFlag) {
  size_t created = 0;
  for_each_segment([&](const Segment& segment) {
    expect_history(segment, [&](const Change& got, const Change& want) {
      const bool is_create = !got.is_delete && got.now.create == got.now.mod;
      created += is_create;
      return got.now == want.now && is_create == (!want.is_delete && !want.prev.has_value());
    });
  });
  EXPECT_GT(created, 50u);
}

std::vector<std::string> judged() {
  std::vector<std::string> out = {"rocksdb", "lmdb"};
  if (std::getenv(kEtcdVariable) != nullptr) out.push_back("etcd");
  return out;
}

INSTANTIATE_TEST_SUITE_P(Backends, WatchGuarantees, ::testing::ValuesIn(judged()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace mortise::testing
