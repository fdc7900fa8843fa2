// HTTP as clients see it: curl and gRPC on one port of a real server, at once.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

using nlohmann::json;

class HttpTest : public ::testing::TestWithParam<std::string> {
 protected:
  Output curl(const Node& node, const std::string& path, std::vector<std::string> arguments = {}) {
    std::vector<std::string> argv = {"curl", "-s", "--max-time", "30", node.client_url() + path};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    Output output = run_command({.argv = argv});
    EXPECT_EQ(output.exit.code, 0) << path << ": " << output.text;
    return output;
  }
  json post(const Node& node, const std::string& path, const std::string& body) {
    const Output output = curl(node, path, {"-X", "POST", "-d", body});
    json answer = json::parse(output.text, nullptr, false);
    EXPECT_FALSE(answer.is_discarded()) << output.text;
    return answer;
  }
};

TEST_P(HttpTest, OnePortServesBoth) {
  Node node(mortise_target(GetParam()));
  ASSERT_EQ(node.start().message(), "");
  Client client(node.endpoint());
  EXPECT_EQ(post(node, "/v3/kv/put", R"({"key":"Zm9v","value":"YmFy"})")["header"]["revision"],
            "2");
  etcdserverpb::RangeRequest request;
  request.set_key("foo");
  etcdserverpb::RangeResponse response;
  ASSERT_TRUE(client.range(request, &response).ok());
  ASSERT_EQ(response.kvs_size(), 1);
  EXPECT_EQ(response.kvs(0).value(), "bar");
  ASSERT_TRUE(client.put("foo", "baz").ok());
  const json read = post(node, "/v3/kv/range", R"({"key":"Zm9v"})");
  EXPECT_EQ(read["kvs"][0]["value"], "YmF6");
  EXPECT_EQ(read["kvs"][0]["version"], "2");
  EXPECT_EQ(read["count"], "1");
  const json txn = post(node, "/v3/kv/txn",
                        R"({"compare":[{"result":"EQUAL","target":"VALUE","key":"Zm9v",)"
                        R"("value":"YmF6"}],"success":[{"request_delete_range":{"key":"Zm9v"}}]})");
  EXPECT_EQ(txn["succeeded"], true);
  EXPECT_EQ(txn["responses"][0]["response_delete_range"]["deleted"], "1");
  EXPECT_EQ(json::parse(curl(node, "/version").text)["etcdserver"], "3.7.1");
  EXPECT_EQ(json::parse(curl(node, "/health").text)["health"], "true");
  const json error = post(node, "/v3/lease/revoke", R"({"ID":"7"})");
  EXPECT_EQ(error["code"], 5);
  EXPECT_EQ(error["message"], "etcdserver: requested lease not found");
  EXPECT_TRUE(node.stop().has_value());
}

TEST_P(HttpTest, WatchesOverHttpSeeWritesOverGrpc) {
  Node node(mortise_target(GetParam()));
  ASSERT_EQ(node.start().message(), "");
  Client client(node.endpoint());
  ASSERT_TRUE(client.put("k", "old").ok());
  const std::string directory = ::testing::TempDir() + "http_test." + std::to_string(getpid());
  std::filesystem::create_directory(directory);
  const std::string lines = directory + "/lines";
  const std::string events = directory + "/events";
  const std::string body = R"({"create_request":{"key":"aw==","start_revision":"2"}})";
  const std::vector<std::string> watch = {"curl", "-sN", node.client_url() + "/v3/watch", "-d",
                                          body};
  auto first = Process::start({.argv = watch, .output_path = lines});
  ASSERT_TRUE(first.ok());
  std::vector<std::string> as_events = watch;
  as_events.insert(as_events.end(), {"-H", "Accept: text/event-stream"});
  auto second = Process::start({.argv = as_events, .output_path = events});
  ASSERT_TRUE(second.ok());
  ASSERT_TRUE(client.put("k", "new").ok());
  // "new" in base64 comes last.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (const std::string& path : {lines, events}) {
    while (read_text(path).find("bmV3") == std::string::npos) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << read_text(path) << node.log();
      usleep(10'000);
    }
  }
  const std::string text = read_text(lines);
  EXPECT_TRUE(text.starts_with("{\"result\":{\"header\":{")) << text;
  EXPECT_NE(text.find("\"created\":true}}\n"), std::string::npos) << text;
  EXPECT_LT(text.find("b2xk"), text.find("bmV3"));
  EXPECT_TRUE(read_text(events).starts_with("data: {\"result\":{\"header\":{"))
      << read_text(events);
  // A stop ends them.
  EXPECT_TRUE(node.stop().has_value());
  EXPECT_TRUE((*first)->wait(kStopBound).has_value());
  EXPECT_TRUE((*second)->wait(kStopBound).has_value());
  std::filesystem::remove_all(directory);
}

TEST_P(HttpTest, BothUnderLoadHarmNobody) {
  Node node(mortise_target(GetParam()));
  ASSERT_EQ(node.start().message(), "");
  constexpr int kEach = 300;
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      Client client(node.endpoint());
      for (int i = 0; i < kEach; ++i) {
        if (!client.put("g" + std::to_string(t) + "." + std::to_string(i), "v").ok()) ++failed;
      }
    });
  }
  // One curl sends many requests over one connection; the file says which.
  const std::string path = ::testing::TempDir() + "http_load." + std::to_string(getpid());
  {
    std::ofstream config(path);
    for (int i = 0; i < kEach; ++i) {
      if (i > 0) config << "next\n";
      config << "url = \"" << node.client_url() << "/v3/kv/put\"\n"
             << "data = \"{\\\"key\\\":\\\"aHR0cA==\\\",\\\"value\\\":\\\"djE=\\\"}\"\n"
             << "write-out = \"%{http_code}\\n\"\noutput = /dev/null\nsilent\n";
    }
  }
  const Output output = run_command({.argv = {"curl", "-K", path}});
  for (std::thread& thread : threads) thread.join();
  std::filesystem::remove(path);
  EXPECT_EQ(failed, 0);
  std::string wanted;
  for (int i = 0; i < kEach; ++i) wanted += "200\n";
  EXPECT_EQ(output.text, wanted);
  const json read = post(node, "/v3/kv/range", R"({"key":"aHR0cA=="})");
  EXPECT_EQ(read["kvs"][0]["version"], std::to_string(kEach));
}

TEST_P(HttpTest, FlagsOfEtcdHold) {
  Node node(mortise_target(GetParam()),
            {.flags = {"--cors=http://a.example:80", "--host-whitelist=good.example",
                       "--max-concurrent-streams=1"}});
  ASSERT_EQ(node.launch().message(), "");
  const std::string good = "Host: good.example";
  Output output;
  for (int i = 0; i < 600 && output.text.find("etcdserver") == std::string::npos; ++i) {
    usleep(100'000);
    output = run_command({.argv = {"curl", "-s", "-H", good, node.client_url() + "/version"}});
  }
  EXPECT_NE(output.text.find("\"etcdserver\":\"3.7.1\""), std::string::npos) << node.log();
  output = curl(node, "/version", {"-i"});
  EXPECT_TRUE(output.text.starts_with("HTTP/1.1 421 ")) << output.text;
  EXPECT_NE(output.text.find("CVE-2018-5702"), std::string::npos);
  output = curl(node, "/version", {"-i", "-H", good, "-H", "Origin: http://a.example:80"});
  EXPECT_NE(output.text.find("Access-Control-Allow-Origin: http://a.example:80"),
            std::string::npos);
  output = curl(node, "/version", {"-i", "-H", good, "-H", "Origin: http://b.example:80"});
  EXPECT_EQ(output.text.find("Access-Control"), std::string::npos);

  auto watch = Process::start({.argv = {"curl", "-sN", "-H", good, node.client_url() + "/v3/watch",
                                        "-d", R"({"create_request":{"key":"aw=="}})"},
                               .output_path = "/dev/null"});
  ASSERT_TRUE(watch.ok());
  // The watch has the one stream there is, as in etcd, once it has come.
  for (int i = 0; i < 600 && output.exit.code != 28; ++i) {
    output = run_command({.argv = {"curl", "-s", "--max-time", "1", "-H", good,
                                   node.client_url() + "/v3/kv/range", "-d", R"({"key":"aw=="})"}});
  }
  EXPECT_EQ(output.exit.code, 28) << output.text;
}

INSTANTIATE_TEST_SUITE_P(Backends, HttpTest, ::testing::Values("rocksdb", "lmdb"));

}  // namespace
}  // namespace mortise::testing
