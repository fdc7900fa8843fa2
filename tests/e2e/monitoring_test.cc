// /metrics of a whole server: the families that etcd has, and values that follow what clients do;
// and the other pages, over HTTP.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

using namespace etcdserverpb;  // NOLINT: names of messages only.

// A sanitizer's allocator takes jemalloc's place, which is who has figures.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kAllocatorHasFigures = false;
#else
constexpr bool kAllocatorHasFigures = true;
#endif

struct Answer {
  int status = 0;
  std::string head, body;
};

// One request on a connection of its own.
Answer request(const std::string& endpoint, const std::string& target,
               const std::string& method = "GET", const std::string& body = "") {
  const size_t colon = endpoint.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(endpoint.substr(colon + 1))));
  ::inet_pton(AF_INET, endpoint.substr(0, colon).c_str(), &address.sin_addr);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  Answer answer;
  std::string text = method + " " + target +
                     " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" +
                     "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
      ::send(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size())) {
    std::string all;
    char piece[65536];
    for (ssize_t n; (n = ::recv(fd, piece, sizeof piece, 0)) > 0;) {
      all.append(piece, static_cast<size_t>(n));
    }
    const size_t end = std::min(all.find("\r\n\r\n"), all.size());
    answer.head = all.substr(0, end);
    answer.body = all.substr(std::min(end + 4, all.size()));
    if (answer.head.size() > 12) answer.status = std::stoi(answer.head.substr(9, 3));
  }
  ::close(fd);
  return answer;
}

struct Scrape {
  std::map<std::string, std::string> types;
  std::map<std::string, double> values;                 // By the text before the value.
  std::map<std::string, std::set<std::string>> labels;  // Names, joined, by family.

  double operator[](const std::string& series) const {
    auto found = values.find(series);
    return found == values.end() ? -1 : found->second;
  }
};

std::string label_names(const std::string& labels) {
  std::string names;
  for (size_t at = 0; at < labels.size();) {
    const size_t equals = labels.find("=\"", at);
    if (equals == std::string::npos) break;
    const std::string name = labels.substr(at, equals - at);
    if (name != "le") names += (names.empty() ? "" : ",") + name;
    at = labels.find('"', equals + 2) + 2;  // Behind the comma. No value here has a quote.
  }
  return names;
}

Scrape parse(const std::string& text) {
  Scrape scrape;
  std::string family;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ")) {
      std::istringstream words(line.substr(7));
      words >> family;
      words >> scrape.types[family];
      continue;
    }
    if (line.starts_with("#")) continue;
    const size_t space = line.rfind(' ');
    const std::string series = line.substr(0, space);
    const size_t brace = std::min(series.find('{'), series.size());
    EXPECT_TRUE(series.substr(0, brace).starts_with(family)) << line;
    EXPECT_TRUE(scrape.values.emplace(series, std::stod(line.substr(space + 1))).second) << line;
    scrape.labels[family].insert(
        brace < series.size() ? label_names(series.substr(brace + 1, series.size() - brace - 2))
                              : "");
  }
  return scrape;
}

class MonitoringTest : public ::testing::TestWithParam<std::string> {
 protected:
  void start(std::vector<std::string> flags = {}) {
    node_ = std::make_unique<Node>(mortise_target(GetParam()),
                                   NodeOptions{.flags = std::move(flags), .in_memory = true});
    ASSERT_EQ(node_->start().message(), "");
    client_ = std::make_unique<Client>(node_->endpoint());
  }
  Answer get(const std::string& target) { return request(node_->endpoint(), target); }
  Scrape scrape() {
    Answer answer = get("/metrics");
    EXPECT_EQ(answer.status, 200) << answer.head;
    return parse(answer.body);
  }
  void put(const std::string& key, const std::string& value) {
    ASSERT_EQ(status_text(client_->put(key, value)), "OK");
  }
  void del(const std::string& key) {
    DeleteRangeRequest request;
    request.set_key(key);
    DeleteRangeResponse response;
    ASSERT_EQ(status_text(client_->call(client_->kv(), &KV::Stub::DeleteRange, request, &response)),
              "OK");
  }

  std::unique_ptr<Node> node_;
  std::unique_ptr<Client> client_;
};

// testdata/metrics.txt has what etcd 3.7 shows after the same calls: name, type, names of labels.
TEST_P(MonitoringTest, HasTheFamiliesOfEtcd) {
  start({"--metrics=extensive"});
  put("a", "b");
  RangeRequest range;
  range.set_key("a");
  RangeResponse answer;
  ASSERT_EQ(status_text(client_->range(range, &answer)), "OK");
  get("/readyz");
  const Scrape scrape = this->scrape();
  std::ifstream golden("testdata/metrics.txt");
  int families = 0;
  for (std::string line; std::getline(golden, line);) {
    if (line.starts_with("#")) continue;
    std::istringstream words(line);
    std::string name, type, labels;
    words >> name >> type >> labels;
    ++families;
    if (!kAllocatorHasFigures && name.starts_with("go_memstats_")) continue;
    ASSERT_TRUE(scrape.types.contains(name)) << name;
    EXPECT_EQ(scrape.types.at(name), type) << name;
    const auto& seen = scrape.labels.at(name);
    EXPECT_EQ(seen, std::set<std::string>{labels}) << name;
  }
  EXPECT_GT(families, 100);
}

// The numbers are those that etcd shows after the same calls.
TEST_P(MonitoringTest, ValuesFollowWhatClientsDo) {
  start();
  const Scrape before = scrape();
  EXPECT_EQ(before["etcd_mvcc_put_total"], 0);
  EXPECT_EQ(before["etcd_server_has_leader"], 1);
  EXPECT_EQ(before["etcd_server_is_leader"], 1);
  EXPECT_EQ(before["etcd_server_leader_changes_seen_total"], 1);
  EXPECT_EQ(before["etcd_cluster_version{cluster_version=\"3.7\"}"], 1);
  EXPECT_FALSE(before.types.contains("grpc_server_handling_seconds"));
  put("a", "12345");
  put("b", "1");
  for (const char* key : {"a", "a", "none"}) del(key);
  CompactionRequest compaction;
  compaction.set_revision(3);
  compaction.set_physical(true);
  CompactionResponse compacted;
  ASSERT_EQ(status_text(client_->call(client_->kv(), &KV::Stub::Compact, compaction, &compacted)),
            "OK");
  const Scrape after = scrape();
  auto grew = [&](const std::string& series) { return after[series] - before[series]; };
  EXPECT_EQ(after["etcd_mvcc_put_total"], 2);
  EXPECT_EQ(after["etcd_mvcc_delete_total"], 3);
  EXPECT_EQ(after["etcd_mvcc_txn_total"], 0);
  EXPECT_EQ(after["etcd_debugging_mvcc_keys_total"], 1);
  EXPECT_EQ(after["etcd_debugging_mvcc_total_put_size_in_bytes"], 8);
  EXPECT_EQ(after["etcd_debugging_mvcc_current_revision"], 4);
  EXPECT_EQ(after["etcd_debugging_mvcc_compact_revision"], 3);
  EXPECT_EQ(after["etcd_debugging_mvcc_db_compaction_total_duration_milliseconds_count"], 1);
  EXPECT_EQ(after["grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Put\",grpc_service="
                  "\"etcdserverpb.KV\",grpc_type=\"unary\"}"],
            2);
  EXPECT_EQ(after["etcd_server_request_duration_seconds_count{success=\"true\",type=\"Put\"}"], 2);
  EXPECT_EQ(
      after["etcd_server_apply_duration_seconds_count{op=\"DeleteRange\",success=\"true\",version="
            "\"v3\"}"],
      3);
  EXPECT_EQ(grew("etcd_server_proposals_applied_total"), 6);
  EXPECT_EQ(after["etcd_server_proposals_applied_total"],
            after["etcd_server_proposals_committed_total"]);
  EXPECT_EQ(after["etcd_server_proposals_pending"], 0);
  EXPECT_GT(grew("etcd_disk_wal_fsync_duration_seconds_count"), 0);
  EXPECT_GT(grew("etcd_disk_wal_write_bytes_total"), 0);
  EXPECT_GT(grew("etcd_disk_backend_commit_duration_seconds_count"), 0);
  EXPECT_GT(grew("etcd_network_client_grpc_received_bytes_total"), 0);
  EXPECT_GT(after["process_resident_memory_bytes"], 1e6);
  EXPECT_GT(after["process_open_fds"], 10);
}

TEST_P(MonitoringTest, WatchesAndLeasesAreCounted) {
  start();
  LeaseGrantRequest grant;
  grant.set_ttl(100);
  LeaseGrantResponse granted;
  ASSERT_EQ(status_text(client_->call(client_->lease(), &Lease::Stub::LeaseGrant, grant, &granted)),
            "OK");
  grpc::ClientContext context;
  auto stream = client_->watch().Watch(&context);
  WatchRequest create;
  create.mutable_create_request()->set_key("w");
  WatchResponse response;
  ASSERT_TRUE(stream->Write(create));
  ASSERT_TRUE(stream->Read(&response));
  put("w", "1");
  ASSERT_TRUE(stream->Read(&response));
  const Scrape during = scrape();
  EXPECT_EQ(during["etcd_debugging_mvcc_watcher_total"], 1);
  EXPECT_EQ(during["etcd_debugging_mvcc_watch_stream_total"], 1);
  EXPECT_EQ(during["etcd_debugging_mvcc_slow_watcher_total"], 0);
  EXPECT_EQ(during["etcd_debugging_mvcc_events_total"], 1);
  EXPECT_EQ(during["etcd_debugging_lease_granted_total"], 1);
  EXPECT_EQ(during["etcd_debugging_lease_ttl_total_bucket{le=\"64\"}"], 0);
  EXPECT_EQ(during["etcd_debugging_lease_ttl_total_bucket{le=\"128\"}"], 1);
  context.TryCancel();
  while (stream->Read(&response)) {
  }
  stream->Finish();
  const std::string canceled =
      "grpc_server_handled_total{grpc_code=\"Canceled\",grpc_method=\"Watch\",grpc_service="
      "\"etcdserverpb.Watch\",grpc_type=\"bidi_stream\"}";
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  Scrape after = scrape();
  while (after[canceled] < 1 && std::chrono::steady_clock::now() < until) after = scrape();
  EXPECT_EQ(after[canceled], 1);
  EXPECT_EQ(after["etcd_debugging_mvcc_watch_stream_total"], 0);
  const std::string labels =
      "{grpc_method=\"Watch\",grpc_service=\"etcdserverpb.Watch\",grpc_type=\"bidi_stream\"}";
  EXPECT_EQ(after["grpc_server_started_total" + labels], 1);
  EXPECT_EQ(after["grpc_server_msg_received_total" + labels], 1);
  EXPECT_EQ(after["grpc_server_msg_sent_total" + labels], 2);
}

// Its reader knows more rules than Prometheus: names of etcd's that end in _total and are gauges
// are against its taste, which it says with code 3.
TEST_P(MonitoringTest, PromtoolReadsThem) {
  const std::string promtool = "/usr/bin/promtool";
  if (::access(promtool.c_str(), X_OK) != 0) GTEST_SKIP() << promtool << " is not there";
  start({"--metrics=extensive"});
  put("a", "b");
  TempDir dir;
  const std::string path = dir.path() + "/metrics";
  std::ofstream(path) << get("/metrics").body;
  Command command;
  command.argv = {promtool, "check", "metrics"};
  command.input_path = path;
  const Output output = run_command(command);
  EXPECT_TRUE(output.exit.code == 0 || output.exit.code == 3) << output.text;
  EXPECT_EQ(output.text.find("error while"), std::string::npos) << output.text;
}

TEST_P(MonitoringTest, PagesOverHttp) {
  start();
  EXPECT_EQ(get("/version").body,
            R"({"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"})");
  EXPECT_EQ(get("/health").body, R"({"health":"true","reason":""})");
  EXPECT_EQ(get("/readyz?verbose").body,
            "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n"
            "[+]non_learner ok\nok\n");
  EXPECT_EQ(get("/livez/nothing").status, 404);
  Answer refused = request(node_->endpoint(), "/version", "PUT");
  EXPECT_EQ(refused.status, 405);
  EXPECT_NE(refused.head.find("\r\nAllow: GET"), std::string::npos) << refused.head;

  const auto variables = nlohmann::json::parse(get("/debug/vars").body, nullptr, false);
  EXPECT_EQ(variables["raft.status"]["raftState"], "StateLeader");
  EXPECT_GT(variables["cmdline"].size(), 1u);
  EXPECT_EQ(variables["memstats"]["Alloc"] > 0, kAllocatorHasFigures);
  const auto info = nlohmann::json::parse(get("/ui/info.json").body, nullptr, false);
  EXPECT_GE(info["plugins"].size(), 3u);
  EXPECT_GT(info["wal_bytes"], 0);

  const std::string level = "/config/local/log";
  EXPECT_EQ(get(level).body, R"({"Level":"info"})");
  EXPECT_EQ(request(node_->endpoint(), level, "PUT", R"({"Level":"DEBUG"})").status, 204);
  put("k", "v");
  EXPECT_NE(node_->log().find("\"level\":\"debug\""), std::string::npos) << "each call is logged";
}

INSTANTIATE_TEST_SUITE_P(Backends, MonitoringTest, ::testing::Values("rocksdb", "lmdb"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace mortise::testing
