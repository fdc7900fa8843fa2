// What all kinds of calls share: the server they belong to, the tags of their operations, their
// life.
//
// Threads. All operations of a call report on the one completion queue it came from, and each queue
// has one thread, its worker; so everything that is said here to run on the worker is serial for a
// call. Answers and events of the host come on any thread.
//
// Life. A call counts references: one for each operation that is under way, one for the host until
// its last event has returned, one while the call is being set up. The last one destroys it.
#pragma once

#include <grpc/grpc.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <thread>
#include <tuple>
#include <vector>

#include "mortise/sdk/host.h"
#include "mortise/sdk/transport_parts.h"
#include "plugins/transport_grpc/methods.h"
#include "plugins/transport_grpc/options.h"
#include "plugins/transport_grpc/outbox.h"

namespace mortise::transport_grpc {

// Counts the calls that are not destroyed yet. It starts with a share for the server itself.
class LiveCalls {
 public:
  void add() { count_.fetch_add(1, std::memory_order_relaxed); }
  // Whoever drops the last share touches this object only under the lock that wait() needs as well,
  // so the waiter may destroy it.
  void drop() {
    if (count_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    std::lock_guard lock(mutex_);
    none_left_ = true;
    changed_.notify_all();
  }
  // Whether there is none. Others may begin.
  bool idle() const { return count_.load(std::memory_order_acquire) == 1; }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return none_left_; });
  }

 private:
  std::atomic<int64_t> count_{1};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool none_left_ = false;
};

class CallBase;

// Calls that came while the transport drains: neither answered nor dropped until their connection
// is closed. They are no more than were asked for before, as none of them asks for another.
class LateCalls {
 public:
  // From now on calls are late. Any thread.
  void begin() { begun_.store(true, std::memory_order_release); }
  // True if the call is late; its reference then passes to this object. On the call's worker.
  bool take(CallBase* call);
  // Drops them, and those that still come.
  void release();

 private:
  std::atomic<bool> begun_{false};
  std::mutex mutex_;
  bool released_ = false;
  std::vector<CallBase*> calls_;
};

// What calls need of their server; outlives them all.
struct ServerContext {
  sdk::Host host;
  const mortise_host_rpc_v1* rpc = nullptr;
  Options options;
  const Methods* methods = nullptr;
  grpc_server* server = nullptr;
  Connections connections;
  LiveCalls live;
  LateCalls late;
};

// A completion queue with what belongs to the one thread that serves it.
struct Worker {
  explicit Worker(grpc_completion_queue* q) : queue(q) {}
  grpc_completion_queue* const queue;
  Outbox outbox;
};

// The tag of an operation in a completion queue.
class Completion {
 public:
  // The operation is about to start: what was written before is seen by on_complete(). The library
  // orders the two as well, but a race detector cannot see that in a library built without it.
  void hand_over() { handed_over_.store(true, std::memory_order_release); }
  // The queue has reported the operation. On the queue's worker.
  void complete(bool ok) {
    std::ignore = handed_over_.load(std::memory_order_acquire);
    on_complete(ok);
  }

 protected:
  ~Completion() = default;
  virtual void on_complete(bool ok) = 0;

 private:
  std::atomic<bool> handed_over_{false};
};

template <class Call, void (Call::*kFunction)(bool)>
class Operation final : public Completion {
 public:
  explicit Operation(Call* call) : call_(call) {}

 private:
  void on_complete(bool ok) override { (call_->*kFunction)(ok); }

  Call* const call_;
};

class CallBase {
 public:
  CallBase(ServerContext& context, Worker& worker) : context_(context), worker_(worker) {
    grpc_metadata_array_init(&metadata_);
  }
  CallBase(const CallBase&) = delete;
  CallBase& operator=(const CallBase&) = delete;

 protected:
  friend class LateCalls;
  virtual ~CallBase();

  // The library has filled in a new call; the object is now one of the living.
  void begin() {
    started_ = true;
    context_.live.add();
  }
  void ref() { references_.fetch_add(1, std::memory_order_relaxed); }
  void unref() {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
  // Starts operations that report together to `tag`, which holds a reference until then.
  void start(const grpc_op* ops, size_t count, Completion* tag);

  ServerContext& context_;
  Worker& worker_;
  grpc_call* call_ = nullptr;
  grpc_metadata_array metadata_;
  gpr_timespec deadline_{};

 private:
  std::atomic<uint32_t> references_{1};
  bool started_ = false;
};

// The status codes that this side gives by itself.
enum Code : mortise_rpc_code {
  kUnknown = 2,
  kResourceExhausted = 8,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14
};

grpc_status_code to_grpc(mortise_rpc_code code);
grpc_slice to_slice(std::string_view text);

// A refusal by the host to take a call or a stream, as an answer to the client.
struct Refusal {
  mortise_rpc_code code;
  std::string_view message;
};
Refusal refusal_of(mortise_status status);
std::string too_large_message(size_t size, uint64_t max);

grpc_op initial_metadata_op();
grpc_op status_op(mortise_rpc_code code, grpc_slice* details);
grpc_op message_op(grpc_byte_buffer* message);
grpc_op close_op(int* cancelled);

}  // namespace mortise::transport_grpc
