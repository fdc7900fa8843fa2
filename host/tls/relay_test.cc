#include "host/tls/relay.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <future>
#include <thread>

#include "host/tls/test_files.h"

namespace mortise::tls {
namespace {

using testing::HasSubstr;
using Seconds = std::chrono::seconds;

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n > 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else {
      ASSERT_TRUE(errno == EAGAIN) << std::strerror(errno);
      pollfd wait{fd, POLLOUT, 0};
      ASSERT_EQ(::poll(&wait, 1, 30'000), 1);
    }
  }
}

// Until `size` bytes or the end.
std::string read_up_to(int fd, size_t size) {
  std::string out(size, '\0');
  size_t done = 0;
  while (done < size) {
    pollfd wait{fd, POLLIN, 0};
    if (::poll(&wait, 1, 30'000) != 1) break;
    const ssize_t n = ::recv(fd, out.data() + done, size - done, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) break;
    if (n > 0) done += static_cast<size_t>(n);
  }
  out.resize(done);
  return out;
}

std::string peer_name(int fd) {
  sockaddr_un address{};
  socklen_t size = sizeof address;
  EXPECT_EQ(::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const size_t path_at = offsetof(sockaddr_un, sun_path) + 1;
  return std::string(address.sun_path + 1, size - path_at);
}

class RelayTest : public testing::Test {
 protected:
  using Future = std::future<Outcome>;

  std::shared_ptr<Context> context(const config::TlsOptions& options, Side side) {
    auto made = Context::create(options, side, nullptr);
    EXPECT_TRUE(made.ok()) << made.status().message();
    return made.ok() ? *made : nullptr;
  }
  config::TlsOptions server_options() {
    return files_.options("server", authority_.issue({.common_name = "server"}));
  }
  config::TlsOptions client_options() {
    config::TlsOptions out;
    out.trusted_ca_file = files_.write("ca.pem", authority_.certificate());
    return out;
  }
  config::TlsOptions client_options(const Issued& issued) {
    config::TlsOptions out = files_.options("client", issued);
    out.trusted_ca_file = files_.write("ca.pem", authority_.certificate());
    return out;
  }

  Future accept(int fd, const std::shared_ptr<Context>& context) {
    auto promise = std::make_shared<std::promise<Outcome>>();
    relay_.accept(fd, context, "1.2.3.4:5",
                  [promise](Outcome outcome) { promise->set_value(std::move(outcome)); });
    return promise->get_future();
  }
  Future connect(int fd, const std::shared_ptr<Context>& context, const std::string& name) {
    auto promise = std::make_shared<std::promise<Outcome>>();
    relay_.connect(fd, context, name,
                   [promise](Outcome outcome) { promise->set_value(std::move(outcome)); });
    return promise->get_future();
  }
  static Outcome result(Future future) {
    EXPECT_EQ(future.wait_for(Seconds(30)), std::future_status::ready);
    return future.get();
  }

  struct Both {
    Outcome server, client;
  };
  Both shake_hands(const config::TlsOptions& server, const config::TlsOptions& client,
                   const std::string& name = "localhost") {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    Future accepted = accept(ends[0], context(server, Side::kServer));
    Future connected = connect(ends[1], context(client, Side::kClient), name);
    Both out{result(std::move(accepted)), result(std::move(connected))};
    close_later_.push_back(out.server.fd);
    close_later_.push_back(out.client.fd);
    return out;
  }
  void TearDown() override {
    for (const int fd : close_later_) ::close(fd);
  }
  void close_now(int fd) {
    std::erase(close_later_, fd);
    ::close(fd);
  }

  TestAuthority authority_{"ca"};
  TestFiles files_;
  std::vector<int> close_later_;
  Relay relay_{"relay", 2};
};

TEST_F(RelayTest, BytesPassBothWaysAndEndsToo) {
  Both both = shake_hands(server_options(), client_options());
  ASSERT_EQ(both.server.error, "");
  ASSERT_EQ(both.client.error, "");
  // More than all buffers between them hold, both ways at once.
  const std::string up(5 << 20, 'u'), down(3 << 20, 'd');
  std::thread writers[] = {std::thread([&] { write_all(both.client.fd, up); }),
                           std::thread([&] { write_all(both.server.fd, down); })};
  std::string got_up;
  std::thread reader([&] { got_up = read_up_to(both.server.fd, up.size()); });
  EXPECT_EQ(read_up_to(both.client.fd, down.size()), down);
  reader.join();
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(got_up, up);

  // One direction ends, the other one goes on.
  ::shutdown(both.client.fd, SHUT_WR);
  EXPECT_EQ(read_up_to(both.server.fd, 1), "");
  write_all(both.server.fd, "last words");
  close_now(both.server.fd);
  EXPECT_EQ(read_up_to(both.client.fd, 100), "last words");
}

TEST_F(RelayTest, TheOtherEndsNameTellsWhoItIs) {
  config::TlsOptions server = server_options();
  server.trusted_ca_file = files_.write("ca.pem", authority_.certificate());
  const Issued issued = authority_.issue({.common_name = "alice", .hosts = {"h", "10.1.1.1"}});
  Both both = shake_hands(server, client_options(issued));
  ASSERT_EQ(both.server.error, "");
  EXPECT_TRUE(both.server.identity.is_verified);
  EXPECT_EQ(both.server.identity.common_name, "alice");
  EXPECT_EQ(both.server.identity.server_name, "localhost");
  EXPECT_EQ(both.server.identity.dns_names, std::vector<std::string>{"h"});
  EXPECT_EQ(both.server.identity.ip_addresses, std::vector<std::string>{"10.1.1.1"});
  const std::string name = peer_name(both.server.fd);
  EXPECT_TRUE(name.starts_with(kNamePrefix));
  auto caller = relay_.find(name);
  ASSERT_TRUE(caller.has_value());
  EXPECT_EQ(caller->remote, "1.2.3.4:5");
  EXPECT_EQ(caller->common_name, "alice");
  close_now(both.client.fd);
  EXPECT_EQ(read_up_to(both.server.fd, 1), "");
  close_now(both.server.fd);
  for (int i = 0; i < 3000 && relay_.find(name); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_FALSE(relay_.find(name));
}

TEST_F(RelayTest, ClientsAreCheckedAsTheOptionsSay) {
  config::TlsOptions server = server_options();
  const auto refusal = [&](const config::TlsOptions& client) {
    return shake_hands(server, client).server.error;
  };
  const Issued alice = authority_.issue({.common_name = "alice", .hosts = {"a.example.org"}});
  server.trusted_ca_file = files_.write("ca.pem", authority_.certificate());
  EXPECT_EQ(refusal(client_options()), "tls: the client gave no certificate");
  EXPECT_EQ(refusal(client_options(alice)), "");
  TestAuthority other("other");
  EXPECT_THAT(refusal(client_options(other.issue({.common_name = "alice"}))),
              HasSubstr("failed to verify certificate"));
  EXPECT_THAT(refusal(client_options(authority_.issue({.for_clients = false}))),
              HasSubstr("failed to verify certificate"));

  server.allowed_cns = {"bob", "alice"};
  EXPECT_EQ(refusal(client_options(alice)), "");
  server.allowed_cns = {"bob"};
  EXPECT_EQ(refusal(client_options(alice)), "client certificate authentication failed");
  server.allowed_cns.clear();
  server.allowed_hostnames = {"x", "a.example.org"};
  EXPECT_EQ(refusal(client_options(alice)), "");
  server.allowed_hostnames = {"x"};
  EXPECT_EQ(refusal(client_options(alice)), "client certificate authentication failed");
  server.allowed_hostnames.clear();

  server.crl_file = files_.write("crl", authority_.revocation_list({5, alice.serial}));
  char serial[32];
  std::snprintf(serial, sizeof serial, "%04llx", static_cast<unsigned long long>(alice.serial));
  EXPECT_EQ(refusal(client_options(alice)),
            std::string("transport: certificate serial ") + serial + " revoked");
  files_.write("crl", authority_.revocation_list({5}));
  EXPECT_EQ(refusal(client_options(alice)), "");
}

TEST_F(RelayTest, AClientHearsThatItIsRefused) {
  auto refused = std::make_shared<std::promise<std::string>>();
  relay_.set_on_refused([refused](const std::string& server_name, const std::string& error) {
    refused->set_value(server_name + ": " + error);
  });
  config::TlsOptions server = server_options();
  server.trusted_ca_file = files_.write("ca.pem", authority_.certificate());
  server.allowed_cns = {"bob"};
  shake_hands(server, client_options(authority_.issue({.common_name = "alice"})));
  auto text = refused->get_future();
  ASSERT_EQ(text.wait_for(Seconds(30)), std::future_status::ready);
  EXPECT_EQ(text.get(), "localhost: remote error: tls: bad certificate");
}

TEST_F(RelayTest, ClientsCheckTheServer) {
  const config::TlsOptions server = server_options();
  EXPECT_EQ(shake_hands(server, client_options(), "127.0.0.1").client.error, "");
  EXPECT_THAT(shake_hands(server, client_options(), "elsewhere").client.error,
              HasSubstr("hostname mismatch"));
  EXPECT_THAT(shake_hands(server, client_options(), "127.0.0.2").client.error,
              HasSubstr("IP address mismatch"));
  config::TlsOptions stranger;
  stranger.trusted_ca_file = files_.write("other.pem", TestAuthority("other").certificate());
  Both refused = shake_hands(server, stranger);
  EXPECT_THAT(refused.client.error, HasSubstr("failed to verify certificate"));
  EXPECT_EQ(refused.server.error, "remote error: tls: unknown CA");
  config::TlsOptions blind;
  blind.trusts_any_server = true;
  EXPECT_EQ(shake_hands(server, blind, "elsewhere").client.error, "");
}

TEST_F(RelayTest, VersionsAndCiphersAreLimited) {
  config::TlsOptions server = server_options();
  config::TlsOptions client = client_options();
  server.min_version = "TLS1.3";
  client.max_version = "TLS1.2";
  EXPECT_EQ(shake_hands(server, client).server.error,
            "tls: the client offers only unsupported versions of TLS");
  server.min_version.clear();
  server.cipher_suites = {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"};
  client.cipher_suites = {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"};
  EXPECT_EQ(shake_hands(server, client).server.error,
            "tls: no cipher suite supported by both client and server");
  client.cipher_suites = server.cipher_suites;
  EXPECT_EQ(shake_hands(server, client).server.error, "");
}

TEST_F(RelayTest, WhatIsNoHandshakeIsNamed) {
  auto server = context(server_options(), Side::kServer);
  const auto refusal_of = [&](std::string_view bytes, bool close_after) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    Future accepted = accept(ends[0], server);
    write_all(ends[1], bytes);
    if (close_after) ::close(ends[1]);
    Outcome outcome = result(std::move(accepted));
    if (!close_after) ::close(ends[1]);
    return outcome;
  };
  EXPECT_EQ(refusal_of("PUT /v3/kv HTTP/1.1\r\n\r\n", false).error,
            "tls: first record does not look like a TLS handshake");
  EXPECT_EQ(refusal_of(std::string(300, '\x01'), false).error,
            "tls: first record does not look like a TLS handshake");
  const Outcome gone = refusal_of("\x16\x03\x01", true);
  EXPECT_EQ(gone.error, "EOF");
  EXPECT_TRUE(gone.is_plain_end);
}

// Connections on which nothing came, or nothing more, stayed for ever.
TEST_F(RelayTest, GHSA_6vch_q96h_7gc3_AHandshakeHasALimit) {
  Relay hasty("hasty", 1, std::chrono::milliseconds(100));
  for (const std::string begun : {"", "\x16", "\x16\x03\x01"}) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    std::promise<Outcome> promise;
    hasty.accept(ends[0], context(server_options(), Side::kServer), "",
                 [&](Outcome outcome) { promise.set_value(std::move(outcome)); });
    if (!begun.empty()) write_all(ends[1], begun);
    EXPECT_EQ(result(promise.get_future()).error, "i/o timeout");
    EXPECT_EQ(read_up_to(ends[1], 1), "");
    ::close(ends[1]);
  }
}

TEST_F(RelayTest, ManyThatStopInTheMiddleDisturbNobody) {
  const config::TlsOptions options = server_options();
  auto server = context(options, Side::kServer);
  std::vector<int> stuck;
  std::vector<Future> outcomes;
  for (int i = 0; i < 300; ++i) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    write_all(ends[1], "\x16\x03\x01\x02");
    outcomes.push_back(accept(ends[0], server));
    stuck.push_back(ends[1]);
  }
  Both both = shake_hands(options, client_options());
  ASSERT_EQ(both.client.error, "");
  write_all(both.client.fd, "ping");
  EXPECT_EQ(read_up_to(both.server.fd, 4), "ping");
  for (const int fd : stuck) ::close(fd);
  for (Future& outcome : outcomes) EXPECT_EQ(result(std::move(outcome)).error, "EOF");
}

TEST_F(RelayTest, AStopSendsWhatWasWritten) {
  Both both = shake_hands(server_options(), client_options());
  ASSERT_EQ(both.server.error, "");
  write_all(both.server.fd, "bye");
  close_now(both.server.fd);
  EXPECT_EQ(read_up_to(both.client.fd, 3), "bye");
  relay_.stop();
  EXPECT_EQ(read_up_to(both.client.fd, 1), "");
}

}  // namespace
}  // namespace mortise::tls
