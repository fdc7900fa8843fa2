// kill -9 under eight writers, again and again on one data directory: every acknowledged write is
// there with its revision, no revision is missing or unexplained, and the same history fed to the
// other backend has the same hash. MORTISE_KILL_ROUNDS, or --rounds N, sets the rounds (5).
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <set>

#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

constexpr int kWriters = 8;
constexpr int kKeysOfWriter = 40;

int rounds = 5;

// The changes of one revision: key and value, no value for a delete.
using Changes = std::vector<std::pair<std::string, std::optional<std::string>>>;

// What one writer was told, and what it was doing when the server went away.
struct Record {
  std::map<int64_t, Changes> acknowledged;
  std::vector<Changes> unknown;
};

class Writer {
 public:
  Writer(int number, uint64_t seed, const std::string& endpoint)
      : prefix_("w" + std::to_string(number) + "/"), random_(seed), client_(endpoint) {}

  // Until the server does not answer.
  void run(Record* record, std::atomic<int>* done) {
    for (;;) {
      Changes changes = draw();
      int64_t revision = 0;
      grpc::Status status = write(changes, &revision);
      if (!status.ok()) {
        record->unknown.push_back(changes);
        return;
      }
      // Deletes of nothing change nothing and take no revision.
      if (revision != 0) record->acknowledged[revision] = changes;
      done->fetch_add(1);
    }
  }

 private:
  std::string key() { return prefix_ + std::to_string(random_() % kKeysOfWriter); }
  std::string value() { return std::to_string(random_()) + std::string(random_() % 300, 'x'); }

  Changes draw() {
    uint64_t kind = random_() % 10;
    if (kind == 0) return {{key(), std::nullopt}};
    Changes changes = {{key(), value()}};
    std::string second = key();
    if (kind == 1 && second != changes[0].first) changes.emplace_back(second, value());
    return changes;
  }

  grpc::Status write(const Changes& changes, int64_t* revision) {
    using Stub = etcdserverpb::KV::Stub;
    if (changes.size() == 1 && !changes[0].second) {
      etcdserverpb::DeleteRangeRequest request;
      request.set_key(changes[0].first);
      etcdserverpb::DeleteRangeResponse response;
      auto status = client_.call(client_.kv(), &Stub::DeleteRange, request, &response);
      *revision = response.deleted() > 0 ? response.header().revision() : 0;
      return status;
    }
    if (changes.size() == 1) return client_.put(changes[0].first, *changes[0].second, revision);
    etcdserverpb::TxnRequest request;
    for (const auto& [key, value] : changes) {
      auto* put = request.add_success()->mutable_request_put();
      put->set_key(key);
      put->set_value(*value);
    }
    etcdserverpb::TxnResponse response;
    auto status = client_.call(client_.kv(), &Stub::Txn, request, &response);
    *revision = response.header().revision();
    return status;
  }

  std::string prefix_;
  std::mt19937_64 random_;
  Client client_;
};

int64_t current_revision(Client* client) {
  etcdserverpb::RangeRequest request;
  request.set_key("nothing");
  etcdserverpb::RangeResponse response;
  grpc::Status status = client->range(request, &response);
  EXPECT_TRUE(status.ok()) << status_text(status);
  return response.header().revision();
}

// The changes of each revision from `from` to `to`, as a watch delivers them.
std::map<int64_t, Changes> history(Client* client, int64_t from, int64_t to) {
  std::map<int64_t, Changes> out;
  if (from > to) return out;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  auto stream = client->watch().Watch(&context);
  etcdserverpb::WatchRequest request;
  request.mutable_create_request()->set_key(std::string(1, '\0'));
  request.mutable_create_request()->set_range_end(std::string(1, '\0'));
  request.mutable_create_request()->set_start_revision(from);
  stream->Write(request);
  etcdserverpb::WatchResponse response;
  int64_t last = from - 1;
  while (last < to && stream->Read(&response)) {
    EXPECT_FALSE(response.canceled()) << response.ShortDebugString();
    for (const auto& event : response.events()) {
      last = event.kv().mod_revision();
      std::optional<std::string> value;
      if (event.type() == mvccpb::Event::PUT) value = event.kv().value();
      out[last].emplace_back(event.kv().key(), value);
    }
  }
  EXPECT_EQ(last, to) << "the watch ended early";
  context.TryCancel();
  while (stream->Read(&response)) {
  }
  stream->Finish();
  return out;
}

// In a transaction the order of a batch's changes is theirs; a delete takes no part in one here.
std::multiset<Changes> sorted_unknown(const std::vector<Record>& records) {
  std::multiset<Changes> out;
  for (const Record& record : records) out.insert(record.unknown.begin(), record.unknown.end());
  return out;
}

class KillTest : public ::testing::TestWithParam<std::string> {
 protected:
  // Writers run until the server is killed, which is after some writes and a random time.
  void write_and_kill(Node* node, std::mt19937_64* random, std::vector<Record>* records) {
    std::atomic<int> done{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < kWriters; ++i) {
      threads.emplace_back([&, i, seed = (*random)()] {
        Writer(i, seed, node->endpoint()).run(&(*records)[static_cast<size_t>(i)], &done);
      });
    }
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (done < 50 && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds((*random)() % 400));
    node->kill();
    for (std::thread& thread : threads) thread.join();
    EXPECT_GE(done.load(), 50);
  }

  void check(Client* client, int64_t from, int64_t to, const std::vector<Record>& records) {
    std::map<int64_t, Changes> found = history(client, from, to);
    auto unknown = sorted_unknown(records);
    for (const Record& record : records) {
      for (const auto& [revision, changes] : record.acknowledged) {
        auto at = found.find(revision);
        ASSERT_NE(at, found.end()) << "acknowledged revision " << revision << " is gone";
        EXPECT_EQ(at->second, changes) << "revision " << revision << " holds something else";
      }
    }
    std::set<int64_t> acknowledged;
    for (const Record& record : records) {
      for (const auto& [revision, changes] : record.acknowledged) acknowledged.insert(revision);
    }
    for (int64_t revision = from; revision <= to; ++revision) {
      ASSERT_TRUE(found.contains(revision)) << "revision " << revision << " is a hole";
      if (acknowledged.contains(revision)) continue;
      auto at = unknown.find(found[revision]);
      ASSERT_NE(at, unknown.end()) << "nobody wrote revision " << revision;
      unknown.erase(at);
    }
  }

  void read_back(Client* client, const std::vector<Record>& records) {
    for (const Record& record : records) {
      int left = 40;
      for (auto at = record.acknowledged.rbegin(); at != record.acknowledged.rend() && left > 0;
           ++at, --left) {
        const auto& [key, value] = at->second[0];
        etcdserverpb::RangeRequest request;
        request.set_key(key);
        request.set_revision(at->first);
        etcdserverpb::RangeResponse response;
        grpc::Status status = client->range(request, &response);
        ASSERT_TRUE(status.ok()) << status_text(status);
        ASSERT_EQ(response.kvs_size(), value ? 1 : 0) << key << " at " << at->first;
        if (!value) continue;
        EXPECT_EQ(response.kvs(0).mod_revision(), at->first);
        EXPECT_EQ(response.kvs(0).value(), *value);
      }
    }
  }

  // The whole history goes to a new server on the other backend, revision by revision.
  void replay(Client* client, int64_t to, const std::string& backend) {
    Node other(mortise_target(backend), {.in_memory = true});
    ASSERT_EQ(other.start().message(), "");
    Client copy(other.endpoint());
    for (const auto& [revision, changes] : history(client, 2, to)) {
      etcdserverpb::TxnRequest request;
      for (const auto& [key, value] : changes) {
        if (value) {
          request.add_success()->mutable_request_put()->set_key(key);
          request.mutable_success()->rbegin()->mutable_request_put()->set_value(*value);
        } else {
          request.add_success()->mutable_request_delete_range()->set_key(key);
        }
      }
      etcdserverpb::TxnResponse response;
      grpc::Status status = copy.call(copy.kv(), &etcdserverpb::KV::Stub::Txn, request, &response);
      ASSERT_TRUE(status.ok()) << status_text(status);
      ASSERT_EQ(response.header().revision(), revision);
    }
    etcdserverpb::HashKVResponse first, second;
    ASSERT_TRUE(client->hash_kv(0, &first).ok());
    ASSERT_TRUE(copy.hash_kv(0, &second).ok());
    EXPECT_EQ(first.hash(), second.hash());
    EXPECT_EQ(first.hash_revision(), second.hash_revision());
  }
};

TEST_P(KillTest, AcknowledgedWritesSurvive) {
  std::random_device device;
  uint64_t seed = device();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  Node node(mortise_target(GetParam()));
  ASSERT_EQ(node.start().message(), "");
  int64_t checked = 1;
  for (int round = 0; round < rounds && !HasFailure(); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    std::vector<Record> records(kWriters);
    write_and_kill(&node, &random, &records);
    if (round % 3 == 2) {
      // Once more while it comes up.
      ASSERT_EQ(node.launch().message(), "");
      std::this_thread::sleep_for(std::chrono::milliseconds(random() % 150));
      node.kill();
    }
    ASSERT_EQ(node.start().message(), "");
    Client client(node.endpoint());
    int64_t revision = current_revision(&client);
    check(&client, checked + 1, revision, records);
    read_back(&client, records);
    checked = revision;
  }
  Client client(node.endpoint());
  replay(&client, checked, GetParam() == "lmdb" ? "rocksdb" : "lmdb");
  std::printf("%s: %d rounds, %ld revisions\n", GetParam().c_str(), rounds, checked);
}

INSTANTIATE_TEST_SUITE_P(Backends, KillTest, ::testing::Values("rocksdb", "lmdb"),
                         [](const auto& info) { return info.param; });

}  // namespace

void set_rounds(int argc, char** argv) {
  const char* wanted = std::getenv("MORTISE_KILL_ROUNDS");
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::string_view(argv[i]) == "--rounds") wanted = argv[i + 1];
  }
  if (wanted != nullptr) rounds = std::atoi(wanted);
}

}  // namespace mortise::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  mortise::testing::set_rounds(argc, argv);
  return RUN_ALL_TESTS();
}
