#include "plugins/transport_grpc/grpc_client.h"

#include <gtest/gtest.h>

#include <vector>

namespace mortise::transport_grpc {

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

ClientStream::ClientStream(const std::shared_ptr<grpc::Channel>& channel, const std::string& path,
                           grpc_compression_algorithm compression)
    : stub_(channel) {
  context_.set_compression_algorithm(compression);
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

}  // namespace mortise::transport_grpc
