// The process as an operator sees it: version, log, signals, restarts, sockets. What an etcd does
// too is also asked of Debian's etcd.
#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

Target target_of(const std::string& name) {
  return name == "etcd" ? etcd_target() : mortise_target(name);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) out.push_back(line);
  return out;
}

int64_t count_keys(Client* client) {
  etcdserverpb::RangeRequest request;
  request.set_key(std::string(1, '\0'));
  request.set_range_end(std::string(1, '\0'));
  request.set_count_only(true);
  etcdserverpb::RangeResponse response;
  grpc::Status status = client->range(request, &response);
  EXPECT_TRUE(status.ok()) << status_text(status);
  return response.count();
}

class ProcessTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!available(target_of(GetParam()))) GTEST_SKIP() << GetParam() << " is not installed";
  }
  bool is_etcd() const { return GetParam() == "etcd"; }
};

// Only ours: for what etcd 3.4 does otherwise.
class MortiseProcessTest : public ProcessTest {};

TEST_P(MortiseProcessTest, Version) {
  Output output = run_command({.argv = {target_of(GetParam()).binary, "--version"}});
  EXPECT_EQ(output.exit.code, 0);
  EXPECT_EQ(lines_of(output.text).at(0), "etcd Version: 3.7.1");
}

TEST_P(MortiseProcessTest, LogIsJsonAndSaysReady) {
  Node node(target_of(GetParam()), {.flags = {"--log-level=debug"}});
  ASSERT_EQ(node.start().message(), "");
  Client client(node.endpoint());
  EXPECT_TRUE(client.put("k", "v").ok());
  auto exit = node.stop();
  ASSERT_TRUE(exit.has_value());
  bool ready = false, signalled = false;
  for (const std::string& line : lines_of(node.log())) {
    auto json = nlohmann::json::parse(line, nullptr, false);
    ASSERT_FALSE(json.is_discarded()) << line;
    for (const char* key : {"level", "ts", "caller", "msg"})
      EXPECT_TRUE(json.contains(key)) << line;
    EXPECT_NE(json["level"], "error") << line;
    ready = ready || json["msg"] == "ready to serve client requests";
    signalled = signalled ||
                (json["msg"] == "received signal; shutting down" && json["signal"] == "terminated");
  }
  EXPECT_TRUE(ready);
  EXPECT_TRUE(signalled);
}

TEST_P(MortiseProcessTest, ConsoleLog) {
  Node node(target_of(GetParam()), {.flags = {"--log-format=console"}});
  ASSERT_EQ(node.start().message(), "");
  ASSERT_TRUE(node.stop().has_value());
  bool ready = false;
  for (const std::string& line : lines_of(node.log())) {
    EXPECT_FALSE(line.starts_with("{")) << line;
    EXPECT_NE(line.find('\t'), std::string::npos) << line;
    ready = ready || line.find("\tready to serve client requests") != std::string::npos;
  }
  EXPECT_TRUE(ready) << node.log();
}

TEST_P(ProcessTest, SignalsEndIt) {
  for (int number : {SIGTERM, SIGINT}) {
    Node node(target_of(GetParam()));
    ASSERT_EQ(node.start().message(), "");
    node.signal(number);
    auto exit = node.wait(kStopBound);
    ASSERT_TRUE(exit.has_value()) << "still runs";
    EXPECT_EQ(exit->signal, number);
    EXPECT_EQ(exit->code, -1);
  }
}

TEST_P(ProcessTest, RestartKeepsDataAndLeases) {
  Node node(target_of(GetParam()));
  ASSERT_EQ(node.start().message(), "");
  etcdserverpb::HashKVResponse before, after;
  etcdserverpb::StatusResponse status_before, status_after;
  int64_t remaining = 0;
  {
    Client client(node.endpoint());
    etcdserverpb::LeaseGrantRequest grant;
    grant.set_id(77);
    grant.set_ttl(5000);
    etcdserverpb::LeaseGrantResponse granted;
    ASSERT_TRUE(
        client.call(client.lease(), &etcdserverpb::Lease::Stub::LeaseGrant, grant, &granted).ok());
    for (int i = 0; i < 50; ++i)
      ASSERT_TRUE(client.put("k" + std::to_string(i), "v", nullptr, 77).ok());
    ASSERT_TRUE(client.hash_kv(0, &before).ok());
    ASSERT_TRUE(client.status(&status_before).ok());
  }
  ASSERT_TRUE(node.stop().has_value());
  ASSERT_EQ(node.start().message(), "");
  Client client(node.endpoint());
  EXPECT_EQ(count_keys(&client), 50);
  ASSERT_TRUE(client.hash_kv(0, &after).ok());
  ASSERT_TRUE(client.status(&status_after).ok());
  EXPECT_EQ(before.hash(), after.hash());
  EXPECT_EQ(before.header().revision(), after.header().revision());
  EXPECT_EQ(before.header().member_id(), after.header().member_id());
  EXPECT_EQ(before.header().cluster_id(), after.header().cluster_id());
  EXPECT_GE(status_after.raftindex(), status_before.raftindex());
  etcdserverpb::LeaseTimeToLiveRequest request;
  request.set_id(77);
  request.set_keys(true);
  etcdserverpb::LeaseTimeToLiveResponse ttl;
  ASSERT_TRUE(
      client.call(client.lease(), &etcdserverpb::Lease::Stub::LeaseTimeToLive, request, &ttl).ok());
  remaining = ttl.ttl();
  EXPECT_GT(remaining, 4000);
  EXPECT_LE(remaining, 5001);  // A new leader adds an election timeout.
  EXPECT_EQ(ttl.grantedttl(), 5000);
  EXPECT_EQ(ttl.keys_size(), 50);
}

TEST_P(ProcessTest, LeaseExpires) {
  Node node(target_of(GetParam()));
  ASSERT_EQ(node.start().message(), "");
  Client client(node.endpoint());
  etcdserverpb::LeaseGrantRequest grant;
  grant.set_ttl(1);
  etcdserverpb::LeaseGrantResponse granted;
  ASSERT_TRUE(
      client.call(client.lease(), &etcdserverpb::Lease::Stub::LeaseGrant, grant, &granted).ok());
  EXPECT_EQ(granted.ttl(), 2);  // The least.
  EXPECT_GT(granted.id(), 0);
  int64_t revision = 0;
  ASSERT_TRUE(client.put("held", "v", &revision, granted.id()).ok());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  auto stream = client.watch().Watch(&context);
  etcdserverpb::WatchRequest request;
  request.mutable_create_request()->set_key("held");
  request.mutable_create_request()->set_start_revision(revision + 1);
  stream->Write(request);
  etcdserverpb::WatchResponse response;
  while (response.events().empty() && stream->Read(&response)) {
  }
  ASSERT_EQ(response.events_size(), 1) << "the key did not go with its lease";
  EXPECT_EQ(response.events(0).type(), mvccpb::Event::DELETE);
  EXPECT_EQ(response.events(0).kv().mod_revision(), revision + 1);
  context.TryCancel();
  stream->Finish();
}

TEST_P(ProcessTest, UnixSocket) {
  if (GetParam() == "etcd") GTEST_SKIP() << "etcd 3.4 takes a host and a port only, and no path";
  TempDir dir;
  Node node(target_of(GetParam()), {.client_url = "unix://" + dir.path() + "/client:0"});
  ASSERT_EQ(node.start().message(), "");
  Client client(node.endpoint());
  EXPECT_TRUE(client.put("k", "v").ok());
  EXPECT_EQ(count_keys(&client), 1);
  // The file of a process that was killed is no obstacle.
  node.kill();
  ASSERT_EQ(node.start().message(), "");
  EXPECT_EQ(count_keys(&client), 1);
}

TEST_P(ProcessTest, SignalUnderLoadLosesNothing) {
  Node node(target_of(GetParam()));
  ASSERT_EQ(node.start().message(), "");
  std::atomic<int> acknowledged{0};
  std::vector<std::thread> writers;
  for (int i = 0; i < 8; ++i) {
    writers.emplace_back([&, i] {
      Client client(node.endpoint());
      for (int n = 0; client.put(std::to_string(i) + "/" + std::to_string(n), "v").ok(); ++n)
        ++acknowledged;
    });
  }
  while (acknowledged < 100) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  auto exit = node.stop();
  for (std::thread& writer : writers) writer.join();
  ASSERT_TRUE(exit.has_value()) << "still ran after a minute";
  EXPECT_EQ(exit->signal, SIGTERM);
  ASSERT_EQ(node.start().message(), "");
  Client client(node.endpoint());
  int64_t found = count_keys(&client);
  EXPECT_GE(found, acknowledged);
  EXPECT_LE(found, acknowledged + 8);
}

// Open watch streams and idle connections do not hold the end up.
TEST_P(ProcessTest, SignalWithOpenStreams) {
  Node node(target_of(GetParam()));
  ASSERT_EQ(node.start().message(), "");
  Client client(node.endpoint());
  grpc::ClientContext context;
  auto stream = client.watch().Watch(&context);
  etcdserverpb::WatchRequest request;
  request.mutable_create_request()->set_key("k");
  stream->Write(request);
  etcdserverpb::WatchResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(response.created());
  auto exit = node.stop();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_FALSE(stream->Finish().ok());
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->signal, SIGTERM);
}

auto name_of = [](const auto& info) { return info.param; };
INSTANTIATE_TEST_SUITE_P(Targets, ProcessTest, ::testing::Values("rocksdb", "lmdb", "etcd"),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Targets, MortiseProcessTest, ::testing::Values("rocksdb", "lmdb"),
                         name_of);

}  // namespace
}  // namespace mortise::testing
