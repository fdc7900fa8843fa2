// What the tests share: the plugin out of its shared object behind a listening socket, and a client
// that sends bytes as they are given.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>

#include "mortise/abi/transport.h"
#include "plugins/transport_http/fake_host.h"

namespace mortise::transport_http {

// The table of the plugin that the build made.
const mortise_transport_v1& transport_table();

struct ServerSetup {
  std::string config_json = "{}";
  uint32_t serves = MORTISE_SERVES_RPC | MORTISE_SERVES_PAGES;
  bool is_tls = false;
  std::string common_name;
};

// Serves `host` on a loopback port: accepts and hands every connection over.
class TestServer {
 public:
  explicit TestServer(FakeHost& host, ServerSetup setup = {});
  // Stops accepting, drains unless that has been done, destroys.
  ~TestServer();
  void drain(std::chrono::nanoseconds timeout);
  uint16_t port() const { return port_; }
  mortise_transport* transport() const { return transport_; }
  int refused() const { return refused_; }

 private:
  void accept_all();

  FakeHost& host_;
  const ServerSetup setup_;
  mortise_transport* transport_ = nullptr;
  int listener_ = -1;
  uint16_t port_ = 0;
  bool drain_begun_ = false;
  std::atomic<int> refused_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// One answer, read by its Content-Length or chunks.
struct Answer {
  int status = 0;  // 0: the connection ended first.
  std::string head;
  std::string body;
  // Of a header, by its name as sent; empty if it is not there.
  std::string field(std::string_view name) const;
};

class Client {
 public:
  explicit Client(uint16_t port);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // False if the server has closed the connection.
  bool send(std::string_view bytes);
  void post(std::string_view path, std::string_view body, std::string_view fields = {});
  void get(std::string_view path, std::string_view fields = {});
  void shutdown_writes();
  void reset();  // Closes without a good-bye.
  // The next answer; `bodiless` after a HEAD.
  Answer read_answer(bool bodiless = false);
  std::string read_line();  // Up to and with "\n", or what there was before the end.
  std::string read_bytes(size_t size);
  std::string read_to_end();
  // One chunk's bytes; empty at the last one.
  std::string read_chunk();

 private:
  bool fill();

  int fd_ = -1;
  std::string buffer_;
};

}  // namespace mortise::transport_http
