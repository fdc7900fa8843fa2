// etcdserverpb.Lease/LeaseKeepAlive
#include <deque>
#include <mutex>

#include "host/api/lease_work.h"
#include "host/api/methods.h"
#include "host/api/permit.h"

namespace mortise::api {
namespace {

// Answers keep-alives in the order they came, while those behind the first are under way already:
// the leader may be another member, and a stream of many leases must not wait for it once for each.
// One that waits, for the end of an expired lease say, holds up the answers behind it, as in etcd.
class KeepAliveStream : public rpc::ServerStream,
                        public std::enable_shared_from_this<KeepAliveStream> {
 public:
  static constexpr uint64_t kWindowBytes = 64 << 10;
  // Of those that wait; only messages without an id are so small that they reach it.
  static constexpr size_t kWaitingMax = 16384;
  static constexpr size_t kUnderWayMax = 64;

  KeepAliveStream(const Context& context, const rpc::ClientStream& client,
                  std::shared_ptr<auth::Warrant> warrant)
      : context_(context), client_(client), warrant_(std::move(warrant)) {}

  void start() {
    self_ = shared_from_this();
    client_.grant(kWindowBytes);
  }
  void on_message(rpc::Payload message) override {
    std::unique_lock lock(mutex_);
    if (ended_) return;
    Request request;
    request.bytes = message.view().size();
    wire::FieldReader reader(message.view());
    wire::Field f;
    while (reader.next(&f)) {
      if (f.is_varint(1)) request.id = static_cast<int64_t>(f.varint);
    }
    if (reader.failed()) return end(lock, rpc_errors::kMalformed);
    if (requests_.size() >= kWaitingMax) return end(lock, rpc_errors::kTooManyRequests);
    requests_.push_back(std::move(request));
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
    int64_t id = 0;
    uint64_t bytes = 0;
    int64_t revision = 0;
    bool is_done = false;
    RpcStatus status;
    int64_t ttl = 0;
  };

  // Messages are sent with the lock held, so that they keep their order. Whoever comes while
  // another one is here leaves its news to that one.
  void pump(std::unique_lock<std::mutex>& lock) {
    if (pumping_) return;
    pumping_ = true;
    while (!ended_) {
      if (!requests_.empty() && requests_.front().is_done && credit_ > 0) {
        if (!answer_first(lock)) return;
      } else if (under_way_ < std::min(requests_.size(), kUnderWayMax)) {
        renew_next(lock);
      } else {
        break;
      }
    }
    pumping_ = false;
    if (!ended_ && half_closed_ && requests_.empty()) end(lock, RpcStatus());
  }
  void renew_next(std::unique_lock<std::mutex>& lock) {
    Request& request = requests_[under_way_];
    // Before the renewal, so that a client never sees a renewal at a revision at which the lease
    // was gone.
    request.revision = context_.node->revision();
    int64_t id = request.id;
    uint64_t number = first_number_ + under_way_++;
    RpcStatus refused = permit(id);
    if (!refused.ok()) {
      request.is_done = true;
      request.status = refused;
      return;
    }
    lock.unlock();  // It may be answered at once.
    renew_lease(context_, id,
                [self = shared_from_this(), number](const RpcStatus& status, int64_t ttl) {
                  self->renewed(number, status, ttl);
                });
    lock.lock();
  }
  // A lease lives on for whoever may write its keys.
  RpcStatus permit(int64_t lease) {
    if (!context_.auth_enabled()) return RpcStatus();
    auth::Needs needs;
    needs.add(MORTISE_ACCESS_LOGGED_IN);
    RpcStatus status = warrant_->permit(needs);
    if (!status.ok()) return status;
    return judge_lease_keys(context_, warrant_->identity(), lease, MORTISE_ACCESS_WRITE);
  }
  void renewed(uint64_t number, const RpcStatus& status, int64_t ttl) {
    std::unique_lock lock(mutex_);
    if (ended_) return;
    Request& request = requests_[number - first_number_];
    request.is_done = true;
    bool unknown = status.message() == rpc_errors::kLeaseNotFound.message;
    if (!unknown) request.status = status;
    request.ttl = unknown ? 0 : ttl;
    pump(lock);
  }
  bool answer_first(std::unique_lock<std::mutex>& lock) {
    Request request = std::move(requests_.front());
    if (!request.status.ok()) {
      end(lock, request.status);
      return false;
    }
    requests_.pop_front();
    ++first_number_;
    --under_way_;
    std::string body;
    wire::append_varint_field(&body, 2, static_cast<uint64_t>(request.id));
    wire::append_varint_field(&body, 3, static_cast<uint64_t>(request.ttl));
    ByteBuffer bytes = respond(context_, request.revision, body);
    credit_ -= static_cast<int64_t>(bytes.size());
    client_.send(std::move(bytes));
    client_.grant(request.bytes);
    return true;
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
  const std::shared_ptr<auth::Warrant> warrant_;
  std::shared_ptr<KeepAliveStream> self_;  // Keeps the stream until it has ended.
  std::deque<Request> requests_;           // The first under_way_ of them are being renewed.
  uint64_t first_number_ = 0;              // Of the first one that waits, counted from the start.
  size_t under_way_ = 0;
  int64_t credit_ = 0;
  bool pumping_ = false;
  bool half_closed_ = false;
  bool ended_ = false;
};

}  // namespace

rpc::ServerStream* lease_keep_alive(const Context& context, const rpc::ClientStream& client,
                                    std::shared_ptr<auth::Warrant> warrant, RpcStatus*) {
  auto stream = std::make_shared<KeepAliveStream>(context, client, std::move(warrant));
  stream->start();
  return stream.get();
}

}  // namespace mortise::api
