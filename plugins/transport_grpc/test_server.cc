#include "plugins/transport_grpc/test_server.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "mortise/abi/plugin.h"

namespace mortise::transport_grpc {
namespace {

const mortise_transport_v1* load_table() {
  const std::string path =
      std::string(std::getenv("MORTISE_BUILD_DIR")) + "/plugins/transport_grpc.so";
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    ADD_FAILURE() << dlerror();
    std::abort();
  }
  const auto* plugin = static_cast<const mortise_plugin_v1*>(dlsym(library, MORTISE_PLUGIN_SYMBOL));
  EXPECT_EQ(plugin->interface_count, 1u);
  EXPECT_STREQ(plugin->interfaces[0].id, MORTISE_TRANSPORT_ID);
  return static_cast<const mortise_transport_v1*>(plugin->interfaces[0].table);
}

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

int listen_on_loopback(uint16_t& port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(listen(fd, 1024), 0);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  port = ntohs(address.sin_port);
  return fd;
}

int connect_to_loopback(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

void close_with_reset(int fd) {
  const linger at_once{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  close(fd);
}

// Moves what has arrived; false at the end.
bool copy_some(int from, int to) {
  char bytes[4096];
  const ssize_t got = recv(from, bytes, sizeof(bytes), MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN;
  return got > 0 && send(to, bytes, static_cast<size_t>(got), MSG_NOSIGNAL) == got;
}

}  // namespace

const mortise_transport_v1& transport_table() {
  static const mortise_transport_v1* const table = load_table();
  return *table;
}

TestServer::TestServer(FakeHost& host, std::string_view config_json, std::string common_name)
    : host_(host), common_name_(std::move(common_name)) {
  mortise_error error{};
  error.struct_size = sizeof(error);
  const mortise_transport_v1& table = transport_table();
  EXPECT_EQ(table.create(host.host(), sdk::bytes(config_json), &transport_, &error), MORTISE_OK)
      << error.message;
  EXPECT_EQ(table.start(transport_, &error), MORTISE_OK) << error.message;
  listener_ = listen_on_loopback(port_);
  thread_ = std::thread([this] { accept_all(); });
}

TestServer::~TestServer() {
  if (!drain_begun_) drain(std::chrono::seconds(0));
  EXPECT_TRUE(host_.wait_drained());
  stopping_ = true;
  shutdown(listener_, SHUT_RDWR);
  thread_.join();
  close(listener_);
  transport_table().destroy(transport_);
}

void TestServer::drain(std::chrono::nanoseconds timeout) {
  drain_begun_ = true;
  transport_table().drain(transport_, static_cast<uint64_t>(timeout.count()));
}

void TestServer::accept_all() {
  while (!stopping_) {
    sockaddr_in peer{};
    socklen_t size = sizeof(peer);
    const int fd =
        accept4(listener_, reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) continue;
    const std::string remote = "127.0.0.1:" + std::to_string(ntohs(peer.sin_port));
    mortise_connection connection{};
    connection.struct_size = sizeof(connection);
    connection.fd = fd;
    connection.serves = MORTISE_SERVES_RPC;
    connection.remote = sdk::bytes(remote);
    connection.tls_common_name = sdk::bytes(common_name_);
    transport_table().adopt(transport_, &connection, nullptr);
  }
}

Relay::Relay(uint16_t server_port) : listener_(listen_on_loopback(port_)) {
  thread_ = std::thread([this, server_port] { run(server_port); });
}

Relay::~Relay() {
  if (thread_.joinable()) reset();
}

void Relay::reset() {
  stopping_ = true;
  thread_.join();
}

void Relay::run(uint16_t server_port) {
  const int client = accept(listener_, nullptr, nullptr);
  close(listener_);  // A client that tries again is refused.
  const int server = connect_to_loopback(server_port);
  bool open = true;
  while (open && !stopping_) {
    pollfd waiting[] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
    poll(waiting, 2, 10);
    open = copy_some(client, server) && copy_some(server, client);
  }
  close_with_reset(client);
  close_with_reset(server);
}

void expect_served(const TestServer& server) {
  RawClient client(server.port());
  client.greet();
  client.send(make_call(1, "/test.Echo/Inline", "x"));
  const RawAnswer answer = client.read_answer(1);
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.data, make_message("x"));
}

}  // namespace mortise::transport_grpc
