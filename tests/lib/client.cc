#include "tests/lib/client.h"

#include <grpcpp/generic/generic_stub.h>

#include <cstdlib>
#include <vector>

namespace mortise::testing {
namespace {

// A connection that is being made is seen to only by calls that wait, and else every five seconds
// by default; an attempt may take one second. Calls that fail at once would never get a connection
// to a server that is back.
[[maybe_unused]] const int kBackupPoll =
    ::setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "20", 0);

std::shared_ptr<grpc::Channel> make_channel(const std::string& endpoint) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

std::string status_text(const grpc::Status& status) {
  if (status.ok()) return "OK";
  return std::to_string(status.error_code()) + " " + status.error_message();
}

bool wants_login(const grpc::Status& status) {
  return status.error_message() == "etcdserver: user name is empty";
}

Client::Client(const std::string& endpoint)
    : channel_(make_channel(endpoint)),
      kv_(etcdserverpb::KV::NewStub(channel_)),
      watch_(etcdserverpb::Watch::NewStub(channel_)),
      lease_(etcdserverpb::Lease::NewStub(channel_)),
      cluster_(etcdserverpb::Cluster::NewStub(channel_)),
      maintenance_(etcdserverpb::Maintenance::NewStub(channel_)),
      auth_(etcdserverpb::Auth::NewStub(channel_)) {}

grpc::Status Client::put(const std::string& key, const std::string& value, int64_t* revision,
                         int64_t lease) {
  etcdserverpb::PutRequest request;
  request.set_key(key);
  request.set_value(value);
  request.set_lease(lease);
  etcdserverpb::PutResponse response;
  grpc::Status status = call(*kv_, &etcdserverpb::KV::Stub::Put, request, &response);
  if (revision != nullptr) *revision = response.header().revision();
  return status;
}

grpc::Status Client::range(const etcdserverpb::RangeRequest& request,
                           etcdserverpb::RangeResponse* response) {
  return call(*kv_, &etcdserverpb::KV::Stub::Range, request, response);
}

grpc::Status Client::range_stream(const etcdserverpb::RangeRequest& request,
                                  etcdserverpb::RangeResponse* response, int* chunks) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallBound);
  auto stream = kv_->RangeStream(&context, request);
  etcdserverpb::RangeStreamResponse chunk;
  if (chunks != nullptr) *chunks = 0;
  while (stream->Read(&chunk)) {
    response->MergeFrom(chunk.range_response());
    if (chunks != nullptr) ++*chunks;
  }
  return stream->Finish();
}

grpc::Status Client::status(etcdserverpb::StatusResponse* response,
                            std::chrono::milliseconds bound) {
  return call(*maintenance_, &etcdserverpb::Maintenance::Stub::Status,
              etcdserverpb::StatusRequest(), response, bound);
}

grpc::Status Client::hash_kv(int64_t revision, etcdserverpb::HashKVResponse* response) {
  etcdserverpb::HashKVRequest request;
  request.set_revision(revision);
  return call(*maintenance_, &etcdserverpb::Maintenance::Stub::HashKV, request, response);
}

grpc::Status Client::call_raw(const std::string& method, const std::string& bytes,
                              std::string* response) {
  grpc::GenericStub stub(channel_);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallBound);
  grpc::Slice slice(bytes);
  grpc::ByteBuffer request(&slice, 1), answer;
  grpc::CompletionQueue queue;
  grpc::Status status;
  auto call = stub.PrepareUnaryCall(&context, method, request, &queue);
  call->StartCall();
  call->Finish(&answer, &status, &queue);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  queue.Shutdown();
  std::vector<grpc::Slice> parts;
  response->clear();
  if (status.ok() && answer.Dump(&parts).ok()) {
    for (const grpc::Slice& part : parts) {
      response->append(reinterpret_cast<const char*>(part.begin()), part.size());
    }
  }
  return status;
}

}  // namespace mortise::testing
