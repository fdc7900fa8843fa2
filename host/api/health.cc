// grpc.health.v1.Health. A member that answers serves: nothing that it does stops it from serving
// for a while, so the only status that ever changes is that of a connection.
#include "host/api/methods.h"
#include "proto/health.pb.h"

namespace mortise::api {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

// The health of the whole server has the empty name, and as in etcd services have none of their
// own.
bool is_known(const std::string& service) { return service.empty(); }

ByteBuffer to_bytes(const google::protobuf::MessageLite& message) {
  std::string text = message.SerializeAsString();
  ByteBuffer bytes(text.size());
  bytes.append(text);
  return bytes;
}

// One answer, then nothing more until the client goes.
class HealthStream : public rpc::ServerStream, public std::enable_shared_from_this<HealthStream> {
 public:
  static constexpr uint64_t kRequestBytesMax = 4096;

  explicit HealthStream(const rpc::ClientStream& client) : client_(client) {}
  void start() {
    self_ = shared_from_this();
    client_.grant(kRequestBytesMax);
  }
  void on_message(rpc::Payload message) override {
    HealthCheckRequest request;
    if (!parse(message.view(), &request)) return end(rpc_errors::kMalformedStream);
    HealthCheckResponse response;
    response.set_status(is_known(request.service()) ? HealthCheckResponse::SERVING
                                                    : HealthCheckResponse::SERVICE_UNKNOWN);
    client_.send(to_bytes(response));
  }
  void on_half_close() override {}
  void on_grant(uint64_t) override {}  // One small message may always go ahead.
  void on_cancel() override { end(rpc_errors::kContextCanceled); }

 private:
  void end(const RpcStatus& status) {
    auto self = std::move(self_);
    if (self != nullptr) client_.end(status);
  }
  rpc::ClientStream client_;
  std::shared_ptr<HealthStream> self_;  // Keeps the stream until it has ended.
};

}  // namespace

void health_check(Call call) {
  HealthCheckRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  if (!is_known(request.service())) return call.fail(rpc_errors::kUnknownService);
  HealthCheckResponse response;
  response.set_status(HealthCheckResponse::SERVING);
  call.reply(to_bytes(response));
}

void health_list(Call call) {
  grpc::health::v1::HealthListResponse response;
  (*response.mutable_statuses())[""].set_status(HealthCheckResponse::SERVING);
  call.reply(to_bytes(response));
}

rpc::ServerStream* health_watch(const Context&, const rpc::ClientStream& client,
                                std::shared_ptr<auth::Warrant>, RpcStatus*) {
  auto stream = std::make_shared<HealthStream>(client);
  stream->start();
  return stream.get();
}

}  // namespace mortise::api
