// A unary call on its way through the host: the request and the one answer it must get.
#pragma once

#include <chrono>
#include <string>

#include "host/api/context.h"
#include "host/base/byte_buffer.h"
#include "host/mvcc/range.h"
#include "host/rpc/buffers.h"
#include "mortise/abi/rpc.h"

namespace mortise::api {

struct MethodEntry;

// Move-only; answered exactly once: a call dropped without an answer is a bug.
class Call {
 public:
  // `counters` may be null.
  Call(const Context* context, const MethodEntry* method, MethodCounters* counters,
       rpc::Payload request, std::string remote, mortise_done_fn done, void* done_context)
      : context_(context),
        method_(method),
        counters_(counters),
        request_(std::move(request)),
        remote_(std::move(remote)),
        done_(done),
        done_context_(done_context),
        start_(std::chrono::steady_clock::now()) {}
  Call(Call&& o) noexcept
      : context_(o.context_),
        method_(o.method_),
        counters_(o.counters_),
        request_(std::move(o.request_)),
        remote_(std::move(o.remote_)),
        done_(std::exchange(o.done_, nullptr)),
        done_context_(o.done_context_),
        start_(o.start_),
        credentials_(std::move(o.credentials_)),
        identity_(std::move(o.identity_)) {}
  Call& operator=(Call&&) = delete;
  ~Call() { MORTISE_CHECK(done_ == nullptr, "a call was dropped without an answer"); }

  const Context& context() const { return *context_; }
  bool is_answered() const { return done_ == nullptr; }
  std::string_view request() const { return request_.view(); }
  std::string_view grpc_path() const;
  const std::string& remote() const { return remote_; }
  std::chrono::steady_clock::time_point start() const { return start_; }
  // What the caller says of itself; null if it says nothing.
  void set_credentials(std::shared_ptr<const auth::Credentials> credentials) {
    credentials_ = std::move(credentials);
  }
  const std::shared_ptr<const auth::Credentials>& credentials() const { return credentials_; }
  // Who it was found to be (permit.h); null while there is no authentication.
  void set_identity(std::unique_ptr<mortise_identity> who) { identity_ = std::move(who); }
  const mortise_identity* identity() const { return identity_.get(); }
  // In whose name it logs requests.
  wire::Author author() const {
    return identity_ == nullptr ? wire::Author() : auth::author_of(*identity_);
  }
  // Gives the request's memory back before the answer; the log then knows less of the call.
  void drop_request() { request_ = rpc::Payload(); }

  void reply(ByteBuffer&& response) {
    if (response.size() > mvcc::kResponseBytesMax) return fail(too_large(response.size()));
    ended(RpcCode::kOk, response.view());
    std::exchange(done_, nullptr)(done_context_, 0, rpc::to_bytes({}),
                                  rpc::to_buffer(std::move(response)));
  }
  void fail(const RpcStatus& status) {
    ended(status.code(), {});
    std::exchange(done_, nullptr)(done_context_, static_cast<mortise_rpc_code>(status.code()),
                                  rpc::to_bytes(status.message()), mortise_buffer{});
  }
  // The server's own failure, which has no row in etcd's table.
  void fail(const Status& status) {
    fail(RpcStatus(RpcCode::kUnknown, "etcdserver: " + status.message()));
  }

 private:
  static RpcStatus too_large(size_t response_bytes);
  void ended(RpcCode code, std::string_view response) {
    auto took = std::chrono::steady_clock::now() - start_;
    if (counters_ != nullptr) counters_->ended(code, response.size(), took);
    const std::atomic<bool>* all = context_->logs_all_calls;
    const bool reports = all != nullptr && all->load(std::memory_order_relaxed);
    if (reports || took > context_->limits.report_after)
      report(took, code == RpcCode::kOk, response);
  }
  // request_stats.cc
  void report(std::chrono::nanoseconds took, bool answered, std::string_view response) const;

  const Context* context_;
  const MethodEntry* method_;
  MethodCounters* counters_;
  rpc::Payload request_;
  std::string remote_;
  mortise_done_fn done_;
  void* done_context_;
  std::chrono::steady_clock::time_point start_;
  std::shared_ptr<const auth::Credentials> credentials_;
  std::unique_ptr<mortise_identity> identity_;
};

// A call whose work ends early when its client is gone. It lives until it has been answered.
class Cancellable {
 public:
  virtual ~Cancellable() = default;
  virtual void cancel() = 0;
};

template <typename Message>
bool parse(std::string_view bytes, Message* message) {
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

// As Go prints a time.Duration.
std::string go_duration(std::chrono::nanoseconds d);

// A response: the header field, then the other fields as they are.
ByteBuffer respond(const Context& context, int64_t revision, std::string_view body);

// Runs what reads for long away from the transport's thread, which others wait for.
void run_long(Call call, void (*task)(Call));

// Goes on with the call once a read of the store is linearizable, or fails it.
void when_linearizable(Call call, std::function<void(Call)> next);

// Logs a request in the caller's name, if it may have it logged, and answers with header and body
// when it is applied. With `make_waiter` that is who hears of the entry, and answers; with `refuse`
// that is how a caller who may not is told.
using MakeWaiter = std::function<std::unique_ptr<apply::Waiter>(Call call)>;
using RefuseFn = void (*)(Call* call, const RpcStatus& status);
void propose(
    Call call, uint32_t field, std::string_view request, MakeWaiter make_waiter = {},
    RefuseFn refuse = [](Call* call, const RpcStatus& status) { call->fail(status); });
// The same for a caller who was found to be allowed to.
void propose_judged(Call call, uint32_t field, std::string_view request);
inline void propose(Call call, uint32_t field) {
  // The views survive the move: they point into the payload, not into the call.
  std::string_view request = call.request();
  propose(std::move(call), field, request);
}

// Refuses a call that the quota has no space for, once the alarm is on: who is told that there is
// no space finds the alarm, in the health of the member too.
void refuse_for_space(
    std::shared_ptr<Call> call,
    RefuseFn refuse = [](Call* call, const RpcStatus& status) { call->fail(status); });

}  // namespace mortise::api
