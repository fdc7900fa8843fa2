#include "tools/bench/unary.h"

#include <grpcpp/client_context.h>

#include <optional>

#include "proto/rpc.grpc.pb.h"

namespace mortise::bench {
namespace {

template <typename Response>
struct Pending {
  std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader;
  Response response;
};

struct Stubs {
  explicit Stubs(const std::shared_ptr<grpc::Channel>& channel) : kv(channel), lease(channel) {}

  etcdserverpb::KV::Stub kv;
  etcdserverpb::Lease::Stub lease;
};

// What the callers of one thread share: the request is sent as bytes before start() returns.
struct ThreadShare {
  std::unique_ptr<RequestMaker> maker;
  Request request;
};

class UnaryCaller : public Caller {
 public:
  UnaryCaller(Stubs* stubs, ThreadShare* share, grpc::CompletionQueue* queue,
              const PutObserver* on_put, const std::string* token)
      : stubs_(stubs), share_(share), queue_(queue), on_put_(on_put), token_(token) {}

  ~UnaryCaller() override { drop_readers(); }

  void start(uint64_t sequence) override {
    drop_readers();
    context_.emplace();
    if (!token_->empty()) context_->AddMetadata("token", *token_);
    Request& request = share_->request;
    share_->maker->make(sequence, &request);
    rpc_ = request.rpc;
    key_ = request.key;
    switch (rpc_) {
      case Rpc::kPut: return send(&put_, stubs_->kv.AsyncPut(&*context_, request.put, queue_));
      case Rpc::kRange:
        return send(&range_, stubs_->kv.AsyncRange(&*context_, request.range, queue_));
      case Rpc::kTxn: return send(&txn_, stubs_->kv.AsyncTxn(&*context_, request.txn, queue_));
      case Rpc::kLeaseGrant:
        return send(&grant_, stubs_->lease.AsyncLeaseGrant(&*context_, request.grant, queue_));
      case Rpc::kLeaseRevoke:
        return send(&revoke_, stubs_->lease.AsyncLeaseRevoke(&*context_, request.revoke, queue_));
    }
  }

  bool on_event(bool) override {
    if (status_.ok() && rpc_ == Rpc::kTxn && !txn_.response.succeeded()) {
      status_ = grpc::Status(grpc::StatusCode::ABORTED, "the transaction's compares failed");
    }
    if (*on_put_ && rpc_ == Rpc::kPut && status_.ok()) (*on_put_)(key_);
    return true;
  }

  const grpc::Status& status() const override { return status_; }
  bool is_read() const override { return rpc_ == Rpc::kRange; }
  uint64_t keys_read() const override {
    return rpc_ == Rpc::kRange ? static_cast<uint64_t>(range_.response.kvs_size()) : 0;
  }
  void cancel() override { context_->TryCancel(); }

 private:
  template <typename Response>
  void send(Pending<Response>* pending,
            std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader) {
    pending->reader = std::move(reader);
    pending->reader->Finish(&pending->response, &status_, this);
  }

  // A reader lives in its call's memory, so it must go before the context does.
  void drop_readers() {
    put_.reader.reset();
    range_.reader.reset();
    txn_.reader.reset();
    grant_.reader.reset();
    revoke_.reader.reset();
  }

  Stubs* stubs_;
  ThreadShare* share_;
  grpc::CompletionQueue* queue_;
  const PutObserver* on_put_;
  const std::string* token_;
  std::optional<grpc::ClientContext> context_;
  grpc::Status status_;
  Rpc rpc_ = Rpc::kPut;
  uint64_t key_ = 0;
  Pending<etcdserverpb::PutResponse> put_;
  Pending<etcdserverpb::RangeResponse> range_;
  Pending<etcdserverpb::TxnResponse> txn_;
  Pending<etcdserverpb::LeaseGrantResponse> grant_;
  Pending<etcdserverpb::LeaseRevokeResponse> revoke_;
};

}  // namespace

LoadResult run_unary(const Channels& channels, const Load& load, const MakerFactory& make_maker,
                     const PutObserver& on_put) {
  std::vector<std::unique_ptr<Stubs>> stubs;
  for (const auto& channel : channels) stubs.push_back(std::make_unique<Stubs>(channel));
  std::vector<std::unique_ptr<ThreadShare>> shares;
  for (int i = 0; i < load.threads; ++i) {
    shares.push_back(std::make_unique<ThreadShare>());
    shares.back()->maker = make_maker(i);
  }
  return run_load(load, [&](int thread, int number, grpc::CompletionQueue* queue) {
    return std::make_unique<UnaryCaller>(stubs[static_cast<size_t>(number) % stubs.size()].get(),
                                         shares[static_cast<size_t>(thread)].get(), queue, &on_put,
                                         &load.token);
  });
}

}  // namespace mortise::bench
