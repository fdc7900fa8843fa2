// kill -9 under eight writers, again and again on one data directory: every acknowledged write is
// there with its revision, no revision is missing or unexplained, and the same history fed to the
// other backend has the same hash. MORTISE_KILL_ROUNDS, or --rounds N, sets the rounds (5).
#include <gtest/gtest.h>

#include <atomic>
#include <random>

#include "tests/lib/client.h"
#include "tests/lib/node.h"
#include "tests/lib/writes.h"

namespace mortise::testing {
namespace {

constexpr int kWriters = 8;

int rounds = 5;

int64_t current_revision(Client* client) {
  etcdserverpb::RangeRequest request;
  request.set_key("nothing");
  etcdserverpb::RangeResponse response;
  grpc::Status status = client->range(request, &response);
  EXPECT_TRUE(status.ok()) << status_text(status);
  return response.header().revision();
}

class KillTest : public ::testing::TestWithParam<std::string> {
 protected:
  // Writers run until the server is killed, which is after some writes and a random time.
  void write_and_kill(Node* node, std::mt19937_64* random, std::vector<Record>* records) {
    std::atomic<int> done{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < kWriters; ++i) {
      threads.emplace_back([&, i, seed = (*random)()] {
        Writer writer(i, seed, {node->endpoint()});
        while (writer.write(&(*records)[static_cast<size_t>(i)])) done.fetch_add(1);
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
    auto history = read_history(client, 2, to);
    ASSERT_TRUE(history.ok()) << history.status().message();
    for (const auto& [revision, changes] : *history) {
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
    auto history = read_history(&client, checked + 1, revision);
    ASSERT_TRUE(history.ok()) << history.status().message();
    ASSERT_EQ(check_history(*history, checked + 1, revision, records).message(), "");
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
