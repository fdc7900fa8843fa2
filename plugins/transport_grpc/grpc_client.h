// The gRPC library's own client, for tests.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

namespace mortise::transport_grpc {

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
  ClientStream(const std::shared_ptr<grpc::Channel>& channel, const std::string& path,
               grpc_compression_algorithm compression = GRPC_COMPRESS_NONE);
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

std::string to_string(const grpc::ByteBuffer& buffer);
grpc::ByteBuffer to_byte_buffer(std::string_view text);

}  // namespace mortise::transport_grpc
