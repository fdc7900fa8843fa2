#include "tools/bench/keepalive.h"

#include <grpcpp/client_context.h>

#include <optional>

#include "proto/rpc.grpc.pb.h"

namespace mortise::bench {
namespace {

class KeepAliveCaller : public Caller {
 public:
  KeepAliveCaller(const std::shared_ptr<grpc::Channel>& channel, grpc::CompletionQueue* queue,
                  int64_t first_id, int leases)
      : stub_(channel), queue_(queue), first_id_(first_id), leases_(leases) {}

  void start(uint64_t sequence) override {
    request_.set_id(first_id_ + static_cast<int64_t>(sequence % static_cast<uint64_t>(leases_)));
    broken_ = false;
    if (stream_) return exchange();
    context_.emplace();
    phase_ = Phase::kOpening;
    to_come_ = 1;
    stream_ = stub_.AsyncLeaseKeepAlive(&*context_, queue_, this);
  }

  bool on_event(bool ok) override {
    broken_ |= !ok;
    if (--to_come_ > 0) return false;
    if (phase_ == Phase::kFinishing) {
      if (status_.ok()) {
        status_ = grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server closed the stream");
      }
      stream_.reset();
      return true;
    }
    if (broken_) {
      finish_stream();
      return false;
    }
    if (phase_ == Phase::kOpening) {
      exchange();
      return false;
    }
    status_ = response_.ttl() > 0 && response_.id() == request_.id()
                  ? grpc::Status::OK
                  : grpc::Status(grpc::StatusCode::NOT_FOUND, "the lease is gone");
    return true;
  }

  const grpc::Status& status() const override { return status_; }
  void cancel() override { context_->TryCancel(); }

  bool close() override {
    if (!stream_) return false;
    context_->TryCancel();
    finish_stream();
    return true;
  }

 private:
  enum class Phase { kOpening, kExchange, kFinishing };

  void exchange() {
    phase_ = Phase::kExchange;
    to_come_ = 2;
    stream_->Write(request_, this);
    stream_->Read(&response_, this);
  }

  void finish_stream() {
    phase_ = Phase::kFinishing;
    to_come_ = 1;
    stream_->Finish(&status_, this);
  }

  etcdserverpb::Lease::Stub stub_;
  grpc::CompletionQueue* queue_;
  int64_t first_id_;
  int leases_;
  std::optional<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<etcdserverpb::LeaseKeepAliveRequest,
                                                etcdserverpb::LeaseKeepAliveResponse>>
      stream_;
  etcdserverpb::LeaseKeepAliveRequest request_;
  etcdserverpb::LeaseKeepAliveResponse response_;
  grpc::Status status_;
  Phase phase_ = Phase::kOpening;
  int to_come_ = 0;
  bool broken_ = false;
};

}  // namespace

LoadResult run_keepalive(const Channels& channels, const Load& load, int64_t first_id, int leases) {
  return run_load(load, [&](int, int number, grpc::CompletionQueue* queue) {
    return std::make_unique<KeepAliveCaller>(
        channels[static_cast<size_t>(number) % channels.size()], queue, first_id, leases);
  });
}

}  // namespace mortise::bench
