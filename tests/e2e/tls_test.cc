// TLS from outside: clients and members that show certificates, wrong ones, none, or no TLS at all;
// files that are replaced while the server runs.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <thread>

#include "host/tls/test_files.h"
#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Strings = std::vector<std::string>;

std::string secure_url() { return "https://127.0.0.1:" + std::to_string(free_port()); }

bool wait_for_line(Node& node, const std::string& text) {
  const auto deadline = std::chrono::steady_clock::now() + kStartBound;
  while (std::chrono::steady_clock::now() < deadline && node.running()) {
    if (node.log().find(text) != std::string::npos) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return node.log().find(text) != std::string::npos;
}

class TlsTest : public ::testing::Test {
 protected:
  // A server at an https URL with a certificate of authority_.
  NodeOptions server_options(Strings flags = {}) {
    NodeOptions options;
    options.client_url = secure_url();
    options.in_memory = true;
    const auto files = files_.options("server", authority_.issue({.common_name = "server"}));
    options.flags = {"--cert-file=" + files.cert_file, "--key-file=" + files.key_file};
    options.flags.insert(options.flags.end(), flags.begin(), flags.end());
    return options;
  }
  std::string ca_file() { return files_.write("ca.pem", authority_.certificate()); }

  void start(Node& node) {
    ASSERT_TRUE(node.launch().ok());
    ASSERT_TRUE(wait_for_line(node, "ready to serve client requests")) << node.log();
  }
  Output etcdctl(const Node& node, Strings arguments, const Strings& credentials,
                 const std::string& bound = "20s") {
    Command command;
    command.argv = {"etcdctl", "--endpoints=" + node.client_url(), "--dial-timeout=10s",
                    "--command-timeout=" + bound};
    command.argv.insert(command.argv.end(), credentials.begin(), credentials.end());
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    command.env = {"ETCDCTL_API=3"};
    return run_command(command);
  }
  Strings trusting() { return {"--cacert=" + ca_file()}; }
  Strings as(const std::string& name, const tls::Issued& issued) {
    const auto files = files_.options(name, issued);
    return {"--cacert=" + ca_file(), "--cert=" + files.cert_file, "--key=" + files.key_file};
  }

  tls::TestAuthority authority_{"the authority"};
  tls::TestFiles files_;
};

// A connection of its own that trusts one authority.
std::unique_ptr<etcdserverpb::KV::Stub> kv_of(const Node& node, const std::string& authority) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = authority;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return etcdserverpb::KV::NewStub(
      grpc::CreateCustomChannel(node.endpoint(), grpc::SslCredentials(options), arguments));
}

grpc::Status put(etcdserverpb::KV::Stub& kv, const std::string& key) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  etcdserverpb::PutRequest request;
  request.set_key(key);
  request.set_value(std::string(20'000, 'v'));
  etcdserverpb::PutResponse response;
  return kv.Put(&context, request, &response);
}

// A plain TCP connection to the node's client port.
int connect_to(const Node& node) {
  const std::string endpoint = node.endpoint();
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port =
      htons(static_cast<uint16_t>(std::stoi(endpoint.substr(endpoint.find(':') + 1))));
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return fd;
}

TEST_F(TlsTest, ClientsShowCertificatesThatAreCheckedAndRevoked) {
  const tls::Issued alice = authority_.issue({.common_name = "alice"});
  const tls::Issued bob = authority_.issue({.common_name = "bob"});
  const std::string crl = files_.write("crl", authority_.revocation_list({}));
  Node node(mortise_target("rocksdb"),
            server_options({"--trusted-ca-file=" + ca_file(), "--client-cert-auth",
                            "--client-crl-file=" + crl, "--log-level=debug"}));
  start(node);
  EXPECT_THAT(node.log(), HasSubstr("serving client traffic securely"));
  EXPECT_EQ(etcdctl(node, {"put", "k", "v"}, as("alice", alice)).text, "OK\n");
  // Calls are known by who makes them, not by what stands between.
  EXPECT_TRUE(wait_for_line(node, R"("remote":"127.0.0.1:)"));
  EXPECT_THAT(node.log(), Not(HasSubstr("unix-abstract")));
  EXPECT_EQ(etcdctl(node, {"get", "k"}, as("bob", bob)).text, "k\nv\n");
  EXPECT_NE(etcdctl(node, {"get", "k"}, trusting(), "1s").exit.code, 0);
  EXPECT_TRUE(wait_for_line(node, "the client gave no certificate"));
  tls::TestAuthority other("other");
  EXPECT_NE(etcdctl(node, {"get", "k"}, as("other", other.issue({})), "1s").exit.code, 0);
  EXPECT_TRUE(wait_for_line(node, "failed to verify certificate"));

  files_.write("crl", authority_.revocation_list({bob.serial}));
  EXPECT_NE(etcdctl(node, {"get", "k"}, as("bob", bob), "1s").exit.code, 0);
  EXPECT_TRUE(wait_for_line(node, "transport: certificate serial "));
  EXPECT_EQ(etcdctl(node, {"get", "k"}, as("alice", alice)).text, "k\nv\n");
  EXPECT_THAT(node.log(), HasSubstr("rejected connection on client endpoint"));
}

// With a listener of its own for HTTP, that for gRPC did not ask the list.
TEST_F(TlsTest, GHSA_3wh4_j44w_pg92_RevocationCountsOnEachListener) {
  const tls::Issued bob = authority_.issue({.common_name = "bob"});
  const std::string crl = files_.write("crl", authority_.revocation_list({bob.serial}));
  const std::string http_url = secure_url();
  Node node(mortise_target("rocksdb"),
            server_options({"--trusted-ca-file=" + ca_file(), "--client-cert-auth",
                            "--client-crl-file=" + crl, "--listen-client-http-urls=" + http_url}));
  start(node);
  const Strings alice = as("alice", authority_.issue({.common_name = "alice"}));
  EXPECT_EQ(etcdctl(node, {"put", "k", "v"}, alice).text, "OK\n");
  EXPECT_NE(etcdctl(node, {"get", "k"}, as("bob", bob), "1s").exit.code, 0);
  const auto fetch = [&](const Strings& credentials) {
    Command command;
    command.argv = {"curl", "-s", http_url + "/version"};
    for (const std::string& option : credentials) {
      const size_t equals = option.find('=');
      command.argv.push_back(option.substr(0, equals));
      command.argv.push_back(option.substr(equals + 1));
    }
    return run_command(command).text;
  };
  EXPECT_THAT(fetch(alice), HasSubstr("etcdserver"));
  EXPECT_EQ(fetch(as("bob", bob)), "");
}

TEST_F(TlsTest, CertificatesAreReplacedUnderLoad) {
  NodeOptions options = server_options();
  Node node(mortise_target("rocksdb"), options);
  start(node);
  auto kv = kv_of(node, authority_.certificate());
  ASSERT_EQ(status_text(put(*kv, "a")), "OK");
  std::atomic<bool> done{false};
  std::atomic<int> puts{0}, failed{0};
  std::thread client([&] {
    while (!done) {
      if (!put(*kv, "a").ok()) ++failed;
      ++puts;
    }
  });
  tls::TestAuthority next("the next authority");
  const tls::Issued issued = next.issue({.common_name = "server"});
  files_.write("server.crt", issued.certificate);
  // In between nobody new is harmed: the pair from before is in use.
  EXPECT_EQ(status_text(put(*kv_of(node, authority_.certificate()), "b")), "OK");
  EXPECT_TRUE(wait_for_line(node, "changed TLS files cannot be used"));
  files_.write("server.key", issued.key);
  EXPECT_EQ(status_text(put(*kv_of(node, next.certificate()), "c")), "OK");
  EXPECT_NE(status_text(put(*kv_of(node, authority_.certificate()), "d")), "OK");
  for (const int before = puts; puts < before + 20;) std::this_thread::yield();
  done = true;
  client.join();
  EXPECT_EQ(failed, 0);  // Its connection is older than the change.
}

TEST_F(TlsTest, PlainAndSecureClientsAtTheWrongDoor) {
  Node secure(mortise_target("rocksdb"), server_options());
  start(secure);
  const int fd = connect_to(secure);
  const std::string_view request = "GET / HTTP/1.1\r\n\r\n";
  ASSERT_EQ(::send(fd, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  char byte;
  EXPECT_LE(::recv(fd, &byte, 1, 0), 0);
  ::close(fd);
  EXPECT_TRUE(wait_for_line(secure, "first record does not look like a TLS handshake"));
  EXPECT_EQ(etcdctl(secure, {"put", "k", "v"}, trusting()).text, "OK\n");

  Node plain(mortise_target("rocksdb"), {.in_memory = true});
  ASSERT_TRUE(plain.start().ok());
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = authority_.certificate();
  EXPECT_FALSE(put(*kv_of(plain, authority_.certificate()), "k").ok());
  EXPECT_TRUE(wait_for_line(plain, "the client speaks TLS, which is not served on this address"));
  EXPECT_EQ(status_text(Client(plain.endpoint()).put("k", "v")), "OK");
}

TEST_F(TlsTest, NobodyPosesAsSomebodyElse) {
  tls::TestFiles folder;
  NodeOptions options;
  options.client_url = "unix://" + folder.folder() + "/socket";
  options.in_memory = true;
  Node node(mortise_target("rocksdb"), options);
  ASSERT_TRUE(node.start().ok());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un own{}, server{};
  own.sun_family = server.sun_family = AF_UNIX;
  const std::string name = "mortise-tls-" + std::to_string(::getpid());
  name.copy(own.sun_path + 1, name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&own), size), 0);
  (folder.folder() + "/socket").copy(server.sun_path, sizeof server.sun_path - 1);
  ASSERT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&server), sizeof server), 0);
  char byte;
  EXPECT_LE(::recv(fd, &byte, 1, 0), 0);
  ::close(fd);
  EXPECT_TRUE(wait_for_line(node, "the name of the client's socket is not allowed"));
}

TEST_F(TlsTest, OneAddressServesBothSchemes) {
  NodeOptions options = server_options();
  const std::string plain_url = "http" + options.client_url.substr(5);
  options.client_url = plain_url + "," + options.client_url;
  Node node(mortise_target("rocksdb"), options);
  start(node);
  const std::string endpoint = plain_url.substr(7);
  EXPECT_EQ(status_text(Client(endpoint).put("k", "v")), "OK");
  Command command;
  command.argv = {"etcdctl", "--endpoints=https://" + endpoint, "--cacert=" + ca_file(), "get",
                  "k"};
  command.env = {"ETCDCTL_API=3"};
  EXPECT_EQ(run_command(command).text, "k\nv\n");
}

TEST_F(TlsTest, ThousandThatStopInTheMiddleOfTheHandshake) {
  Node node(mortise_target("rocksdb"), server_options());
  start(node);
  std::vector<int> stuck;
  const std::string_view begun("\x16\x03\x01\x02\x00\x01", 6);
  for (int i = 0; i < 1000; ++i) {
    stuck.push_back(connect_to(node));
    ASSERT_EQ(::send(stuck.back(), begun.data(), begun.size(), MSG_NOSIGNAL), 6);
  }
  EXPECT_EQ(etcdctl(node, {"put", "k", "v"}, trusting()).text, "OK\n");
  for (const int fd : stuck) ::close(fd);
  EXPECT_EQ(etcdctl(node, {"get", "k"}, trusting()).text, "k\nv\n");
}

TEST_F(TlsTest, CertificatesOfItsOwn) {
  NodeOptions options;
  options.client_url = secure_url();
  options.in_memory = true;
  options.flags = {"--auto-tls", "--self-signed-cert-validity=2"};
  Node node(mortise_target("rocksdb"), options);
  start(node);
  const Strings blind = {"--insecure-skip-tls-verify", "--insecure-transport=false"};
  EXPECT_EQ(etcdctl(node, {"put", "k", "v"}, blind).text, "OK\n");
  const std::string made = read_text(node.data_dir() + "/fixtures/client/cert.pem");
  EXPECT_THAT(made, HasSubstr("BEGIN CERTIFICATE"));
  ASSERT_TRUE(node.stop().has_value());
  ASSERT_TRUE(node.launch().ok());
  auto kv = kv_of(node, made);  // Its own authority.
  const auto deadline = std::chrono::steady_clock::now() + kStartBound;
  grpc::Status status;
  do {
    status = put(*kv, "k");
  } while (!status.ok() && std::chrono::steady_clock::now() < deadline);
  EXPECT_EQ(status_text(status), "OK");
  EXPECT_EQ(read_text(node.data_dir() + "/fixtures/client/cert.pem"), made);
}

TEST_F(TlsTest, MistakesEndTheStart) {
  const auto log_of = [&](const Strings& flags) {
    Node node(mortise_target("rocksdb"), server_options(flags));
    EXPECT_TRUE(node.launch().ok());
    const auto exit = node.wait();
    EXPECT_TRUE(exit.has_value() && exit->code == 1);
    return node.log();
  };
  EXPECT_THAT(log_of({"--cipher-suites=TLS_NO_SUCH"}),
              HasSubstr(R"(unexpected TLS cipher suite \"TLS_NO_SUCH\")"));
  EXPECT_THAT(log_of({"--trusted-ca-file=/nonexistent/ca"}), HasSubstr("/nonexistent/ca"));
  NodeOptions plain;
  plain.in_memory = true;
  plain.flags = {"--cipher-suites=TLS_NO_SUCH"};
  Node without_tls(mortise_target("rocksdb"), plain);
  ASSERT_TRUE(without_tls.launch().ok());
  ASSERT_TRUE(without_tls.wait().has_value());
  EXPECT_THAT(without_tls.log(), HasSubstr(R"(unexpected TLS cipher suite \"TLS_NO_SUCH\")"));
  EXPECT_THAT(log_of({"--listen-metrics-urls=https://127.0.0.1:1", "--cert-file=", "--key-file="}),
              HasSubstr("must be provided for"));
}

// Members over TLS: founders with these flags, until each serves; then a write at one is read at
// the others.
class PeerTlsTest : public TlsTest {
 protected:
  void start_members(size_t count, const std::function<Strings(size_t)>& flags_of) {
    std::string members;
    std::vector<NodeOptions> all(count);
    for (size_t i = 0; i < count; ++i) {
      all[i].name = "m" + std::to_string(i);
      all[i].peer_url = secure_url();
      all[i].in_memory = true;
      all[i].flags = flags_of(i);
      members += (members.empty() ? "" : ",") + all[i].name + "=" + all[i].peer_url;
    }
    for (NodeOptions& options : all) {
      options.initial_cluster = members;
      nodes_.push_back(std::make_unique<Node>(mortise_target("rocksdb"), options));
      ASSERT_TRUE(nodes_.back()->launch().ok());
    }
  }
  void expect_cluster_works() {
    for (auto& node : nodes_) {
      const Status ready = node->wait_ready();
      ASSERT_TRUE(ready.ok()) << ready.message();
    }
    ASSERT_EQ(status_text(Client(nodes_[0]->endpoint()).put("k", std::string(100'000, 'v'))), "OK");
    for (auto& node : nodes_) {
      etcdserverpb::RangeRequest request;
      request.set_key("k");
      etcdserverpb::RangeResponse response;
      ASSERT_EQ(status_text(Client(node->endpoint()).range(request, &response)), "OK");
      EXPECT_EQ(response.kvs_size(), 1);
    }
  }
  std::vector<std::unique_ptr<Node>> nodes_;
};

TEST_F(PeerTlsTest, MembersCheckEachOther) {
  const std::string ca = ca_file();
  start_members(3, [&](size_t i) {
    const auto files =
        files_.options("m" + std::to_string(i), authority_.issue({.common_name = "etcd.members"}));
    return Strings{"--peer-cert-file=" + files.cert_file, "--peer-key-file=" + files.key_file,
                   "--peer-client-cert-auth", "--peer-trusted-ca-file=" + ca,
                   "--peer-cert-allowed-cn=other,etcd.members"};
  });
  expect_cluster_works();
  EXPECT_THAT(nodes_[0]->log(), Not(HasSubstr("rejected connection")));

  // Somebody whom the authority knows, but who is no member.
  const auto stranger = files_.options("stranger", authority_.issue({.common_name = "stranger"}));
  Command curl;
  curl.argv = {"curl",
               "-s",
               "--cacert",
               ca,
               "--cert",
               stranger.cert_file,
               "--key",
               stranger.key_file,
               nodes_[0]->peer_url() + "/version"};
  EXPECT_NE(run_command(curl).exit.code, 0);
  EXPECT_TRUE(wait_for_line(*nodes_[0], "client certificate authentication failed"));
  EXPECT_THAT(nodes_[0]->log(), HasSubstr("rejected connection on peer endpoint"));
}

TEST_F(PeerTlsTest, MembersWithCertificatesOfTheirOwn) {
  start_members(2, [](size_t) { return Strings{"--peer-auto-tls"}; });
  expect_cluster_works();
  EXPECT_THAT(read_text(nodes_[1]->data_dir() + "/fixtures/peer/key.pem"), HasSubstr("KEY"));
}

TEST_F(PeerTlsTest, ACertificateOfAnotherMachineIsRefused) {
  const std::string ca = ca_file();
  start_members(2, [&](size_t i) {
    // The second one's is for an address that it does not connect from.
    Strings hosts = {"127.0.0.1"};
    if (i == 1) hosts = {"10.9.8.7"};
    const auto files = files_.options("m" + std::to_string(i),
                                      authority_.issue({.common_name = "m", .hosts = hosts}));
    return Strings{"--peer-cert-file=" + files.cert_file, "--peer-key-file=" + files.key_file,
                   "--peer-client-cert-auth", "--peer-trusted-ca-file=" + ca};
  });
  EXPECT_TRUE(wait_for_line(*nodes_[0], "x509: certificate is valid for"));
  EXPECT_TRUE(wait_for_line(*nodes_[0], "IP address mismatch"));  // Nor is it the one dialed.
}

}  // namespace
}  // namespace mortise::testing
