#include "tests/differential/wire.h"

namespace mortise::differential {
namespace {

class GrpcWire : public Wire {
 public:
  explicit GrpcWire(const std::string& endpoint)
      : client_(endpoint), watch_(client_.watch().Watch(&watch_context_)) {}

  grpc::Status call(const OpInfo& op, const google::protobuf::Message& request,
                    google::protobuf::Message* response) override {
    std::string bytes;
    grpc::Status status = client_.call_raw(op.method, request.SerializeAsString(), &bytes);
    if (!status.ok() || response->ParseFromString(bytes)) return status;
    return {grpc::StatusCode::INTERNAL, "the answer is no message"};
  }

  grpc::Status keep_alive(const etcdserverpb::LeaseKeepAliveRequest& request,
                          std::vector<etcdserverpb::LeaseKeepAliveResponse>* answers) override {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + testing::kCallBound);
    auto stream = client_.lease().LeaseKeepAlive(&context);
    etcdserverpb::LeaseKeepAliveResponse response;
    if (stream->Write(request) && stream->Read(&response)) answers->push_back(response);
    stream->WritesDone();
    while (stream->Read(&response)) answers->push_back(response);
    return stream->Finish();
  }

  grpc::Status range_stream(const etcdserverpb::RangeRequest& request,
                            etcdserverpb::RangeResponse* response) override {
    return client_.range_stream(request, response);
  }

  void watch_send(const etcdserverpb::WatchRequest& request) override { watch_->Write(request); }
  bool watch_read(etcdserverpb::WatchResponse* response) override { return watch_->Read(response); }
  grpc::Status watch_status() override { return watch_->Finish(); }
  void watch_cancel() override { watch_context_.TryCancel(); }

 private:
  testing::Client client_;
  grpc::ClientContext watch_context_;
  std::unique_ptr<grpc::ClientReaderWriter<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse>>
      watch_;
};

}  // namespace

std::unique_ptr<Wire> make_grpc_wire(const std::string& endpoint) {
  return std::make_unique<GrpcWire>(endpoint);
}

}  // namespace mortise::differential
