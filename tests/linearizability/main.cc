// Records what clients of a cluster see while its members are killed, paused and cut off, for the
// checker: a line of JSON for each operation, and for each revision what a watch says of it.
//
//   mortise-history --targets mixed --rounds 3 --output history.jsonl [--seed N]
#include <cstdio>
#include <fstream>
#include <map>
#include <thread>

#include "tests/lib/faults.h"
#include "tests/lib/writes.h"
#include "tests/linearizability/client.h"

namespace mortise::testing {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr int kClients = 6;
// Operations of a client are apart by this, or the checker would have too many.
constexpr milliseconds kThinkTime{15};

struct Options {
  std::string targets = "mixed";
  std::string output = "history.jsonl";
  int rounds = 3;
  uint64_t seed = std::random_device{}();
};

Options parse(int argc, char** argv) {
  Options out;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string name = argv[i];
    if (name == "--targets") out.targets = argv[i + 1];
    if (name == "--output") out.output = argv[i + 1];
    if (name == "--rounds") out.rounds = std::atoi(argv[i + 1]);
    if (name == "--seed") out.seed = std::stoull(argv[i + 1]);
  }
  return out;
}

// Faults come in turn, mostly to the leader, for a time that is long enough for an election or not.
Status run_faults(Cluster* cluster, int rounds, std::mt19937_64* random) {
  for (int i = 0; i < rounds; ++i) {
    auto leader = cluster->wait_leader();
    MORTISE_RETURN_IF_ERROR(leader.status());
    size_t member = (*random)() % 4 == 0 ? (*random)() % cluster->size() : *leader;
    auto fault = static_cast<Fault>((*random)() % kFaults);
    milliseconds time{300 + (*random)() % 3500};
    std::printf("round %d: %s member %zu%s for %ld ms\n", i, fault_name(fault), member,
                member == *leader ? " (the leader)" : "", time.count());
    std::fflush(stdout);
    begin_fault(cluster, fault, member);
    std::this_thread::sleep_for(time);
    MORTISE_RETURN_IF_ERROR(end_fault(cluster, fault, member));
    MORTISE_RETURN_IF_ERROR(cluster->wait_serving());
    std::this_thread::sleep_for(milliseconds((*random)() % 1000));
  }
  return cluster->check_equal();
}

Status write_revisions(Cluster* cluster, int64_t last, std::ofstream* file) {
  MORTISE_ASSIGN_OR_RETURN(History history, read_history(&cluster->client(0), 2, last));
  for (size_t i = 1; i < cluster->size(); ++i) {
    MORTISE_ASSIGN_OR_RETURN(History other, read_history(&cluster->client(i), 2, last));
    if (other != history) return internal_error("watches on two members differ");
  }
  for (const auto& [revision, changes] : history) {
    json keys = json::array(), values = json::array();
    for (const auto& [key, value] : changes) {
      keys.push_back(std::stoi(key.substr(1)));
      values.push_back(value ? std::stoll(*value) : 0);
    }
    *file << json{{"kind", "event"}, {"revision", revision}, {"keys", keys}, {"new", values}}
          << "\n";
  }
  return Status();
}

Status record(const Options& options) {
  std::printf("seed %lu, %s\n", options.seed, options.targets.c_str());
  std::mt19937_64 random(options.seed);
  Cluster cluster(cluster_targets(options.targets), {.in_memory = true});
  MORTISE_RETURN_IF_ERROR(cluster.start());
  std::vector<std::string> endpoints;
  for (size_t i = 0; i < cluster.size(); ++i) endpoints.push_back(cluster.endpoint(i));
  std::atomic<int64_t> values{0};
  std::vector<std::unique_ptr<RecordingClient>> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<RecordingClient>(i, random(), endpoints, &values));
  }
  std::atomic<bool> stopping{false};
  std::vector<std::thread> threads;
  for (auto& client : clients) {
    threads.emplace_back([&stopping, &client] {
      while (!stopping) {
        client->run_one();
        std::this_thread::sleep_for(kThinkTime);
      }
    });
  }
  Status status = run_faults(&cluster, options.rounds, &random);
  stopping = true;
  for (std::thread& thread : threads) thread.join();
  MORTISE_RETURN_IF_ERROR(status);
  if (!Cluster::wait_for([&] { return clients[0]->read_all(); })) {
    return internal_error("the last read is not answered");
  }
  std::ofstream file(options.output, std::ios::trunc);
  for (auto& client : clients) {
    for (const json& line : client->records()) file << line << "\n";
  }
  int64_t last = clients[0]->records().back()["revision"];
  MORTISE_RETURN_IF_ERROR(write_revisions(&cluster, last, &file));
  file.close();
  if (!file.good()) return internal_error("cannot write " + options.output);
  return Status();
}

}  // namespace
}  // namespace mortise::testing

int main(int argc, char** argv) {
  using namespace mortise::testing;  // NOLINT(google-build-using-namespace)
  Options options = parse(argc, argv);
  for (const Target& target : cluster_targets(options.targets)) {
    if (available(target)) continue;
    std::printf("skipped: no %s\n", target.binary.c_str());
    return 77;
  }
  mortise::Status status = record(options);
  if (status.ok()) return 0;
  std::printf("%s\n", status.message().c_str());
  return 1;
}
