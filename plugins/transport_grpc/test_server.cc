#include "plugins/transport_grpc/test_server.h"

#include <arpa/inet.h>
#include <dlfcn.h>
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

std::shared_ptr<grpc::Channel> connect_to(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, -1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

std::string to_string(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string out;
  if (!buffer.Dump(&slices).ok()) return out;
  for (const grpc::Slice& slice : slices) {
    out.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return out;
}

grpc::ByteBuffer to_byte_buffer(std::string_view text) {
  const grpc::Slice slice(text.data(), text.size());
  return grpc::ByteBuffer(&slice, 1);
}

Reply call_unary(const std::shared_ptr<grpc::Channel>& channel, const std::string& path,
                 std::string_view body, grpc::ClientContext* context) {
  grpc::ClientContext own;
  if (context == nullptr) context = &own;
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  Reply reply;
  grpc::ByteBuffer response;
  auto call = stub.PrepareUnaryCall(context, path, to_byte_buffer(body), &queue);
  call->StartCall();
  call->Finish(&response, &reply.status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  EXPECT_TRUE(queue.Next(&tag, &ok));
  if (reply.status.ok()) reply.body = to_string(response);
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  return reply;
}

ClientStream::ClientStream(const std::shared_ptr<grpc::Channel>& channel, const std::string& path)
    : stub_(channel) {
  call_ = stub_.PrepareCall(&context_, path, &queue_);
  call_->StartCall(nullptr);
  EXPECT_TRUE(wait());
}

ClientStream::~ClientStream() {
  if (!finished_) {
    context_.TryCancel();
    finish();
  }
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
  }
}

bool ClientStream::wait() {
  void* tag = nullptr;
  bool ok = false;
  return queue_.Next(&tag, &ok) && ok;
}

bool ClientStream::write(std::string_view body) {
  start_write(body);
  return wait();
}

void ClientStream::start_write(std::string_view body) {
  call_->Write(to_byte_buffer(body), nullptr);
}

bool ClientStream::write_ended_within(std::chrono::milliseconds time) {
  void* tag = nullptr;
  bool ok = false;
  return queue_.AsyncNext(&tag, &ok, std::chrono::system_clock::now() + time) ==
         grpc::CompletionQueue::GOT_EVENT;
}

bool ClientStream::writes_done() {
  call_->WritesDone(nullptr);
  return wait();
}

bool ClientStream::read(std::string& out) {
  grpc::ByteBuffer buffer;
  call_->Read(&buffer, nullptr);
  if (!wait()) return false;
  out = to_string(buffer);
  return true;
}

grpc::Status ClientStream::finish() {
  grpc::Status status;
  finished_ = true;
  call_->Finish(&status, nullptr);
  wait();
  return status;
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

}  // namespace mortise::transport_grpc
