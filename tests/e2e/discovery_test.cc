// Members of a new cluster that find each other through another cluster, or in the DNS.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "host/discovery/test_dns.h"
#include "host/tls/test_files.h"
#include "tests/lib/client.h"
#include "tests/lib/cluster.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

namespace pb = ::etcdserverpb;
using ::testing::HasSubstr;

const std::string kToken = "6c007a14875d53d9bf0ef5a6fc0257c817f0fb83";

class DiscoveryTest : public ::testing::Test {
 protected:
  Node& add_member(const std::vector<std::string>& flags) {
    NodeOptions options;
    options.name = "m" + std::to_string(nodes_.size());
    options.peer_url = "http://localhost:" + std::to_string(free_port());
    options.flags = flags;
    options.discovers = true;
    options.in_memory = true;
    const auto targets = mortise_targets();
    nodes_.push_back(std::make_unique<Node>(targets[nodes_.size() % targets.size()], options));
    return *nodes_.back();
  }

  // They are one cluster that takes writes.
  void expect_one_cluster() {
    for (size_t i = 0; i < nodes_.size(); ++i) {
      ASSERT_EQ(nodes_[i]->wait_ready().message(), "");
      Client client(nodes_[i]->endpoint());
      const std::string key = "k" + std::to_string(i);
      ASSERT_TRUE(client.put(key, "v").ok());
      pb::MemberListResponse members;
      ASSERT_TRUE(client
                      .call(client.cluster(), &pb::Cluster::Stub::MemberList,
                            pb::MemberListRequest(), &members)
                      .ok());
      EXPECT_EQ(members.members_size(), static_cast<int>(nodes_.size()));
    }
  }

  std::vector<std::unique_ptr<Node>> nodes_;
};

class ServiceTest : public DiscoveryTest {
 protected:
  void start_service(int size, const Target& target = etcd_target(),
                     const NodeOptions& options = {.in_memory = true}) {
    service_ = std::make_unique<Node>(target, options);
    ASSERT_EQ(service_->start().message(), "");
    Client client(service_->endpoint());
    const std::string key = "/_etcd/registry/" + kToken + "/_config/size";
    ASSERT_TRUE(client.put(key, std::to_string(size)).ok());
  }
  std::vector<std::string> flags() const {
    // Nobody listens on the first endpoint.
    return {"--discovery-token=" + kToken,
            "--discovery-endpoints=http://127.0.0.1:" + std::to_string(free_port()) + "," +
                service_->client_url()};
  }

  std::unique_ptr<Node> service_;
};

TEST_F(ServiceTest, ThreeMembersAndNotAFourth) {
  if (!available(etcd_target())) GTEST_SKIP() << "there is no etcd";
  start_service(3);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(add_member(flags()).launch().message(), "");
  expect_one_cluster();

  Node& fourth = add_member(flags());
  ASSERT_EQ(fourth.launch().message(), "");
  const auto exit = fourth.wait();
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->code, 1);
  EXPECT_THAT(fourth.log(),
              HasSubstr("failed to join discovery cluster (discovery: cluster is full)"));
  nodes_.pop_back();

  // Who has a log asks nobody.
  ASSERT_TRUE(service_->stop().has_value());
  ASSERT_TRUE(nodes_[1]->stop().has_value());
  ASSERT_EQ(nodes_[1]->launch().message(), "");
  expect_one_cluster();
}

// The service is asked over TLS, with a certificate of the member's; endpoints without a scheme
// too.
TEST_F(ServiceTest, OverTls) {
  tls::TestAuthority authority("the authority"), stranger("a stranger");
  const tls::TestFiles files;
  const auto server = files.options("server", authority.issue({.common_name = "server"}));
  const auto member = files.options("member", authority.issue({.common_name = "member"}));
  const std::string ca = files.write("ca.pem", authority.certificate());
  NodeOptions options{.in_memory = true};
  options.client_url = "http://127.0.0.1:" + std::to_string(free_port());
  const std::string secure = "127.0.0.1:" + std::to_string(free_port());
  options.flags = {"--listen-client-urls=" + options.client_url + ",https://" + secure,
                   "--cert-file=" + server.cert_file, "--key-file=" + server.key_file,
                   "--trusted-ca-file=" + ca, "--client-cert-auth"};
  start_service(2, mortise_target("lmdb"), options);

  const auto flags = [&](const std::string& endpoint, const std::string& ca_file) {
    return std::vector<std::string>{
        "--discovery-token=" + kToken, "--discovery-endpoints=" + endpoint,
        "--discovery-cacert=" + ca_file, "--discovery-cert=" + member.cert_file,
        "--discovery-key=" + member.key_file};
  };
  Node& distrustful =
      add_member(flags("https://" + secure, files.write("other.pem", stranger.certificate())));
  ASSERT_EQ(distrustful.launch().message(), "");
  EXPECT_TRUE(Cluster::wait_for([&] {
    return distrustful.log().find("failed to verify certificate") != std::string::npos;
  })) << distrustful.log();
  nodes_.clear();
  ASSERT_EQ(add_member(flags("https://" + secure, ca)).launch().message(), "");
  ASSERT_EQ(add_member(flags(secure, ca)).launch().message(), "");
  expect_one_cluster();
}

TEST_F(ServiceTest, ASignalEndsWhoWaits) {
  if (!available(etcd_target())) GTEST_SKIP() << "there is no etcd";
  start_service(2);
  Node& node = add_member(flags());
  ASSERT_EQ(node.launch().message(), "");
  ASSERT_TRUE(Cluster::wait_for([&] {
    return node.log().find("waiting for peers from discovery service") != std::string::npos;
  }));
  node.signal(SIGTERM);
  const auto exit = node.wait();
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->signal, SIGTERM);
}

TEST_F(ServiceTest, NoSize) {
  if (!available(etcd_target())) GTEST_SKIP() << "there is no etcd";
  start_service(1);
  Node& node =
      add_member({"--discovery-token=another", "--discovery-endpoints=" + service_->client_url()});
  ASSERT_EQ(node.launch().message(), "");
  const auto exit = node.wait();
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->code, 1);
  EXPECT_THAT(node.log(), HasSubstr("discovery: size key not found"));
}

class SrvTest : public DiscoveryTest {
 protected:
  static discovery::SrvRecord record_of(const Node& node) {
    const std::string& url = node.peer_url();
    const auto port = static_cast<uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
    return {0, 0, port, "localhost"};
  }
};

TEST_F(SrvTest, ThreeMembers) {
  discovery::TestDns::Zone zone;
  for (int i = 0; i < 3; ++i) {
    zone["_etcd-server-blue._tcp.example.test"].push_back(record_of(add_member({})));
  }
  discovery::TestDns dns(std::move(zone));
  for (const auto& node : nodes_) {
    node->options().flags = {"--discovery-srv=example.test", "--discovery-srv-name=blue",
                             "--discovery-dns-server=" + dns.address()};
    ASSERT_EQ(node->launch().message(), "");
  }
  expect_one_cluster();
}

TEST_F(SrvTest, NotAmongTheRecords) {
  discovery::TestDns dns({{"_etcd-server._tcp.example.test", {{0, 0, 1, "localhost"}}}});
  Node& node =
      add_member({"--discovery-srv=example.test", "--discovery-dns-server=" + dns.address()});
  ASSERT_EQ(node.launch().message(), "");
  const auto exit = node.wait();
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->code, 1);
  EXPECT_THAT(node.log(), HasSubstr("error setting up initial cluster: cannot find local etcd "
                                    "member \\\"m0\\\" in SRV records"));
}

}  // namespace
}  // namespace mortise::testing
