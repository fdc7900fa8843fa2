#include "plugins/transport_http/test_server.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "mortise/abi/plugin.h"

namespace mortise::transport_http {
namespace {

const mortise_transport_v1* load_table() {
  const std::string path =
      std::string(std::getenv("MORTISE_BUILD_DIR")) + "/plugins/transport_http.so";
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

std::string remote_of(const sockaddr_in& address) {
  char text[INET_ADDRSTRLEN];
  inet_ntop(AF_INET, &address.sin_addr, text, sizeof(text));
  return std::string(text) + ":" + std::to_string(ntohs(address.sin_port));
}

}  // namespace

const mortise_transport_v1& transport_table() {
  static const mortise_transport_v1* const table = load_table();
  return *table;
}

TestServer::TestServer(FakeHost& host, ServerSetup setup) : host_(host), setup_(std::move(setup)) {
  mortise_error error{};
  error.struct_size = sizeof(error);
  const mortise_transport_v1& table = transport_table();
  EXPECT_EQ(table.create(host.host(), sdk::bytes(setup_.config_json), &transport_, &error),
            MORTISE_OK)
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
    sockaddr_in address{};
    socklen_t size = sizeof(address);
    const int fd = accept4(listener_, reinterpret_cast<sockaddr*>(&address), &size,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) continue;
    const std::string remote = remote_of(address);
    mortise_connection connection{};
    connection.struct_size = sizeof(connection);
    connection.fd = fd;
    connection.serves = setup_.serves;
    connection.is_tls = setup_.is_tls ? 1 : 0;
    connection.listener = sdk::bytes("http://test");
    connection.remote = sdk::bytes(remote);
    connection.tls_common_name = sdk::bytes(setup_.common_name);
    if (transport_table().adopt(transport_, &connection, nullptr) != MORTISE_OK) ++refused_;
  }
}

std::string Answer::field(std::string_view name) const {
  const std::string begin = "\r\n" + std::string(name) + ": ";
  const size_t at = head.find(begin);
  if (at == std::string::npos) return {};
  const size_t value = at + begin.size();
  return head.substr(value, head.find("\r\n", value) - value);
}

Client::Client(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const sockaddr_in address = loopback(port);
  EXPECT_EQ(connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  // Only a test that fails waits so long.
  const timeval long_time{60, 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &long_time, sizeof(long_time));
}

Client::~Client() {
  if (fd_ >= 0) close(fd_);
}

bool Client::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

void Client::post(std::string_view path, std::string_view body, std::string_view fields) {
  send("POST " + std::string(path) + " HTTP/1.1\r\nHost: h\r\n" + std::string(fields) +
       "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
}

void Client::get(std::string_view path, std::string_view fields) {
  send("GET " + std::string(path) + " HTTP/1.1\r\nHost: h\r\n" + std::string(fields) + "\r\n");
}

void Client::shutdown_writes() { shutdown(fd_, SHUT_WR); }

void Client::reset() {
  const linger at_once{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  close(std::exchange(fd_, -1));
}

bool Client::fill() {
  char bytes[16384];
  const ssize_t got = recv(fd_, bytes, sizeof(bytes), 0);
  if (got <= 0) return false;
  buffer_.append(bytes, static_cast<size_t>(got));
  return true;
}

std::string Client::read_line() {
  size_t end;
  while ((end = buffer_.find('\n')) == std::string::npos) {
    if (!fill()) return std::exchange(buffer_, {});
  }
  std::string line = buffer_.substr(0, end + 1);
  buffer_.erase(0, end + 1);
  return line;
}

std::string Client::read_bytes(size_t size) {
  while (buffer_.size() < size && fill()) {
  }
  std::string out = buffer_.substr(0, size);
  buffer_.erase(0, size);
  return out;
}

std::string Client::read_to_end() {
  while (fill()) {
  }
  return std::exchange(buffer_, {});
}

std::string Client::read_chunk() {
  const size_t size = std::strtoul(read_line().c_str(), nullptr, 16);
  std::string bytes = read_bytes(size);
  if (size > 0) {
    EXPECT_EQ(read_line(), "\r\n");
    return bytes;
  }
  while (read_line().size() > 2) {
  }
  return bytes;
}

Answer Client::read_answer(bool bodiless) {
  Answer answer;
  for (std::string line = read_line(); line.size() > 2; line = read_line()) answer.head += line;
  if (answer.head.size() < 12) return answer;
  answer.status = std::atoi(answer.head.c_str() + 9);
  answer.head += "\r\n";
  if (bodiless || answer.status == 100) return answer;
  if (answer.field("Transfer-Encoding") == "chunked") {
    for (std::string chunk = read_chunk(); !chunk.empty(); chunk = read_chunk()) {
      answer.body += chunk;
    }
  } else if (const std::string length = answer.field("Content-Length"); !length.empty()) {
    answer.body = read_bytes(std::strtoul(length.c_str(), nullptr, 10));
  } else {
    answer.body = read_to_end();
  }
  return answer;
}

}  // namespace mortise::transport_http
