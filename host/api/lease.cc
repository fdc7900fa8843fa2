// etcdserverpb.Lease
#include <deque>
#include <mutex>

#include "host/api/methods.h"
#include "host/api/txn_check.h"
#include "host/mvcc/view.h"
#include "proto/rpc.pb.h"

namespace mortise::api {
void lease_grant(Call call) {
  etcdserverpb::LeaseGrantRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  Node* node = call.context().node;
  if (!node->has_space(kLeaseCost)) return call.fail(rpc_errors::kNoSpace);
  if (request.id() == 0) request.set_id(node->new_lease_id());
  propose(std::move(call), wire::kRaftLeaseGrant, request.SerializeAsString());
}

void lease_revoke(Call call) {
  etcdserverpb::LeaseRevokeRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  propose(std::move(call), wire::kRaftLeaseRevoke);
}

namespace {

void read_time_to_live(Call call) {
  const Context& context = call.context();
  etcdserverpb::LeaseTimeToLiveRequest request;
  if (!parse(call.request(), &request)) return call.fail(rpc_errors::kMalformed);
  etcdserverpb::LeaseTimeToLiveResponse response;
  response.set_id(request.id());
  auto info = context.lessor->info(request.id());
  if (info && !info->is_primary) return call.fail(rpc_errors::kLeaderChanged);
  response.set_ttl(info ? info->remaining_ttl : -1);
  response.set_grantedttl(info ? info->granted_ttl : 0);
  if (info && request.keys()) {
    auto reader = context.store->reader();
    if (!reader.ok()) return call.fail(reader.status());
    Status status = lease::attached_keys(*reader, request.id(), [&](std::string_view key) {
      response.add_keys(key.data(), key.size());
    });
    if (!status.ok()) return call.fail(status);
  }
  call.reply(respond(context, context.node->revision(), response.SerializeAsString()));
}

}  // namespace

void lease_time_to_live(Call call) { when_linearizable(std::move(call), read_time_to_live); }

void lease_leases(Call call) {
  const Context& context = call.context();
  etcdserverpb::LeaseLeasesResponse response;
  for (int64_t id : context.lessor->by_remaining_time()) response.add_leases()->set_id(id);
  call.reply(respond(context, context.node->revision(), response.SerializeAsString()));
}

namespace {

// Answers keep-alives in the order they came. One that waits for the end of an expired lease, or
// for the log to forget a checkpoint, holds up those behind it, as in etcd; the client's window
// bounds how many wait.
class KeepAliveStream : public rpc::ServerStream,
                        public std::enable_shared_from_this<KeepAliveStream> {
 public:
  static constexpr uint64_t kWindowBytes = 64 << 10;
  static constexpr uint64_t kMessageCost = 32;  // So that tiny messages count, too.

  KeepAliveStream(const Context& context, const rpc::ClientStream& client)
      : context_(context), client_(client) {}

  void start() {
    self_ = shared_from_this();
    client_.grant(kWindowBytes);
  }
  void on_message(rpc::Payload message) override {
    std::unique_lock lock(mutex_);
    if (ended_) return;
    Request request{0, message.view().size() + kMessageCost};
    wire::FieldReader reader(message.view());
    wire::Field f;
    while (reader.next(&f)) {
      if (f.is_varint(1)) request.id = static_cast<int64_t>(f.varint);
    }
    if (reader.failed()) return end(lock, rpc_errors::kMalformed);
    waiting_.push_back(request);
    pump(lock);
  }
  void on_half_close() override {
    std::unique_lock lock(mutex_);
    half_closed_ = true;
    pump(lock);
  }
  void on_grant(uint64_t bytes) override {
    std::unique_lock lock(mutex_);
    credit_ += static_cast<int64_t>(bytes);
    pump(lock);
  }
  void on_cancel() override {
    std::unique_lock lock(mutex_);
    end(lock, rpc_errors::kContextCanceled);
  }

 private:
  struct Request {
    int64_t id;
    uint64_t bytes;
  };

  // Messages are sent with the lock held, so that they keep their order.
  void pump(std::unique_lock<std::mutex>& lock) {
    while (!ended_ && !blocked_ && !waiting_.empty() && credit_ > 0) {
      Request request = waiting_.front();
      // Before the renewal, so that a client never sees a renewal at a revision at which the lease
      // was gone.
      int64_t revision = context_.node->revision();
      int64_t ttl = 0;
      using Renewal = lease::Lessor::Renewal;
      Renewal renewal = context_.lessor->renew(request.id, &ttl,
                                               [self = shared_from_this()] { self->unblock(); });
      if (renewal == Renewal::kNotPrimary) return end(lock, rpc_errors::kNoLeader);
      if (renewal == Renewal::kExpired || renewal == Renewal::kCheckpointed) {
        blocked_ = true;
        if (renewal == Renewal::kCheckpointed) forget_checkpoint(request.id, lock);
        return;
      }
      waiting_.pop_front();
      answer(request, revision, renewal == Renewal::kRenewed ? ttl : 0);
    }
    if (!ended_ && half_closed_ && waiting_.empty()) end(lock, RpcStatus());
  }
  // Otherwise a restart would give the lease the time of the checkpoint, less than its client was
  // told.
  void forget_checkpoint(int64_t id, std::unique_lock<std::mutex>& lock) {
    class Forgotten : public apply::Waiter {
     public:
      explicit Forgotten(std::shared_ptr<KeepAliveStream> stream) : stream_(std::move(stream)) {}
      void complete(apply::ApplyResult result) override { stream_->unblock(result.rpc); }

     private:
      std::shared_ptr<KeepAliveStream> stream_;
    };
    // It may be completed at once.
    lock.unlock();
    context_.node->propose(wire::kRaftLeaseCheckpoint, lease::encode_checkpoints({{id, 0, 0}}),
                           std::make_unique<Forgotten>(shared_from_this()));
  }
  void answer(const Request& request, int64_t revision, int64_t ttl) {
    std::string body;
    wire::append_varint_field(&body, 2, static_cast<uint64_t>(request.id));
    wire::append_varint_field(&body, 3, static_cast<uint64_t>(ttl));
    ByteBuffer bytes = respond(context_, revision, body);
    credit_ -= static_cast<int64_t>(bytes.size());
    client_.send(std::move(bytes));
    client_.grant(request.bytes - kMessageCost);
  }
  void unblock(const RpcStatus& status = RpcStatus()) {
    std::unique_lock lock(mutex_);
    if (!status.ok()) return end(lock, status);
    blocked_ = false;
    pump(lock);
  }
  void end(std::unique_lock<std::mutex>& lock, const RpcStatus& status) {
    if (ended_) return;
    ended_ = true;
    auto self = std::move(self_);
    // The transport holds the end back while it is inside one of our functions, which may wait for
    // the lock.
    lock.unlock();
    client_.end(status);
  }

  const Context& context_;
  rpc::ClientStream client_;
  std::mutex mutex_;
  std::shared_ptr<KeepAliveStream> self_;  // Keeps the stream until it has ended.
  std::deque<Request> waiting_;
  int64_t credit_ = 0;
  bool blocked_ = false;
  bool half_closed_ = false;
  bool ended_ = false;
};

}  // namespace

rpc::ServerStream* lease_keep_alive(const Context& context, const rpc::ClientStream& client,
                                    RpcStatus*) {
  auto stream = std::make_shared<KeepAliveStream>(context, client);
  stream->start();
  return stream.get();
}

}  // namespace mortise::api
