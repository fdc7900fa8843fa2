// What the tests share: the plugin out of its shared object behind a listening socket.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "mortise/abi/transport.h"
#include "plugins/transport_grpc/fake_host.h"
#include "plugins/transport_grpc/raw_client.h"

namespace mortise::transport_grpc {

// The table of the plugin that the build made.
const mortise_transport_v1& transport_table();

// Serves `host` on a loopback port: accepts and hands every connection over.
class TestServer {
 public:
  explicit TestServer(FakeHost& host, std::string_view config_json = "{}",
                      std::string common_name = {});
  // Stops accepting, drains unless that has been done, destroys.
  ~TestServer();
  void drain(std::chrono::nanoseconds timeout);
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  uint16_t port() const { return port_; }
  mortise_transport* transport() const { return transport_; }

 private:
  void accept_all();

  FakeHost& host_;
  const std::string common_name_;
  mortise_transport* transport_ = nullptr;
  int listener_ = -1;
  uint16_t port_ = 0;
  bool drain_begun_ = false;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// Stands between one client and the server, so that the connection can be cut without a good-bye.
class Relay {
 public:
  explicit Relay(uint16_t server_port);
  ~Relay();
  uint16_t port() const { return port_; }
  // Both sides get a TCP reset.
  void reset();

 private:
  void run(uint16_t server_port);

  uint16_t port_ = 0;
  int listener_ = -1;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// That a new connection gets an answer of /test.Echo/Inline, which sends back what it is sent.
void expect_served(const TestServer& server);

}  // namespace mortise::transport_grpc
