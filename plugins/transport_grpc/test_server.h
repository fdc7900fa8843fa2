// What the tests share: the plugin out of its shared object behind a listening socket, and a client
// of raw bytes.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

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

struct Reply {
  grpc::Status status;
  std::string body;
};

// A channel of its own, so each client is a connection of its own.
std::shared_ptr<grpc::Channel> connect_to(const std::string& address);

// One unary call, waits for its end.
Reply call_unary(const std::shared_ptr<grpc::Channel>& channel, const std::string& path,
                 std::string_view body, grpc::ClientContext* context = nullptr);

// A bidirectional stream; each operation waits until it is done.
class ClientStream {
 public:
  ClientStream(const std::shared_ptr<grpc::Channel>& channel, const std::string& path);
  ~ClientStream();
  bool write(std::string_view body);
  bool writes_done();
  // False at the end of the stream.
  bool read(std::string& out);
  grpc::Status finish();
  void cancel() { context_.TryCancel(); }

  // A write whose end is not waited for; wait_write() does.
  void start_write(std::string_view body);
  bool write_ended_within(std::chrono::milliseconds time);
  bool wait_write() { return wait(); }

 private:
  bool wait();

  grpc::ClientContext context_;
  grpc::GenericStub stub_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  bool finished_ = false;
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

std::string to_string(const grpc::ByteBuffer& buffer);
grpc::ByteBuffer to_byte_buffer(std::string_view text);

}  // namespace mortise::transport_grpc
