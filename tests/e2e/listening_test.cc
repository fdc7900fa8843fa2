// What each address is for: gRPC and HTTP together, apart, metrics alone; plain and over TLS.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/tls/test_files.h"
#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

using ::testing::HasSubstr;
using Strings = std::vector<std::string>;

std::string local_url(const std::string& scheme) {
  return scheme + "://127.0.0.1:" + std::to_string(free_port());
}

// The status code, or "000" if there was no answer.
std::string curl(const std::string& url, Strings arguments = {}) {
  Command command;
  command.argv = {"curl", "-s", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}"};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  command.argv.push_back(url);
  return run_command(command).text;
}

const char* grpc_put(const std::string& url) {
  return Client(url.substr(url.find("//") + 2)).put("k", "v").ok() ? "OK" : "failed";
}

TEST(Listening, OneAddressServesGrpcAndHttpOverTls) {
  tls::TestAuthority authority("ca");
  tls::TestFiles files;
  const auto pair = files.options("server", authority.issue({}));
  const std::string ca = files.write("ca.pem", authority.certificate());
  NodeOptions options;
  options.in_memory = true;
  options.client_url = local_url("https");
  options.flags = {"--cert-file=" + pair.cert_file, "--key-file=" + pair.key_file};
  // For the wait; it shares nothing with the other one.
  const std::string plain = local_url("http");
  options.client_url = plain + "," + options.client_url;
  Node node(mortise_target("rocksdb"), options);
  ASSERT_TRUE(node.launch().ok());
  const auto deadline = std::chrono::steady_clock::now() + kStartBound;
  while (std::string(grpc_put(plain)) != "OK" && std::chrono::steady_clock::now() < deadline) {
  }
  const std::string secure = options.client_url.substr(plain.size() + 1);
  EXPECT_EQ(curl(secure + "/health", {"--cacert", ca}), "200");
  EXPECT_EQ(curl(secure + "/health", {"--cacert", ca, "--http2"}), "200");
  EXPECT_EQ(curl(secure + "/v3/kv/range", {"--cacert", ca, "--no-alpn", "-d", R"({"key":"aw=="})"}),
            "200");
  EXPECT_EQ(curl(plain + "/health"), "200");
  Command etcdctl;
  etcdctl.argv = {"etcdctl", "--endpoints=" + secure, "--cacert=" + ca, "get", "k"};
  etcdctl.env = {"ETCDCTL_API=3"};
  EXPECT_EQ(run_command(etcdctl).text, "k\nv\n");
}

TEST(Listening, GrpcHttpAndMetricsApart) {
  const std::string http = local_url("http"), metrics = local_url("http");
  NodeOptions options;
  options.in_memory = true;
  options.flags = {"--listen-client-http-urls=" + http, "--listen-metrics-urls=" + metrics};
  Node node(mortise_target("rocksdb"), options);
  const Status started = node.start();
  ASSERT_TRUE(started.ok()) << started.message();
  EXPECT_THAT(node.log(), HasSubstr(R"("traffic":"grpc")"));
  EXPECT_THAT(node.log(), HasSubstr(R"("traffic":"http")"));

  EXPECT_STREQ(grpc_put(node.client_url()), "OK");
  EXPECT_EQ(curl(node.client_url() + "/health"), "000");
  EXPECT_STREQ(grpc_put(http), "failed");
  EXPECT_EQ(curl(http + "/v3/kv/range", {"-d", R"({"key":"aw=="})"}), "200");
  EXPECT_EQ(curl(http + "/version"), "200");
  EXPECT_STREQ(grpc_put(metrics), "failed");
  for (const char* page : {"/metrics", "/health", "/livez", "/readyz"}) {
    EXPECT_EQ(curl(metrics + page), "200") << page;
  }
  EXPECT_EQ(curl(metrics + "/version"), "404");
  EXPECT_EQ(curl(metrics + "/v3/kv/range", {"-d", R"({"key":"aw=="})"}), "404");
}

}  // namespace
}  // namespace mortise::testing
