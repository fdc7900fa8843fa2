// What transports share beside the table of transport.h.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "mortise/abi/rpc.h"
#include "mortise/sdk/status.h"

namespace mortise::sdk {

// Orders this side's calls into the host for one host handle against the host's last event for it,
// after which the handle is dead.
class HostGate {
 public:
  // Runs `body` unless the last event has begun, and holds that event back meanwhile. On one
  // thread, and not from within another body.
  template <class Body>
  void run(Body&& body) {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    inside_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    body();
    inside_.store(std::thread::id(), std::memory_order_relaxed);
  }
  // The last event begins. The host may send it from within a call that run() is making.
  void close() {
    if (inside_.load(std::memory_order_relaxed) == std::this_thread::get_id()) {
      closed_ = true;
      return;
    }
    std::lock_guard lock(mutex_);
    closed_ = true;
  }

 private:
  std::mutex mutex_;
  std::atomic<std::thread::id> inside_{};
  bool closed_ = false;
};

// Threads made while this lives inherit a mask that leaves all signals to the host's own threads.
class BlockSignals {
 public:
  BlockSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockSignals(const BlockSignals&) = delete;
  BlockSignals& operator=(const BlockSignals&) = delete;

 private:
  sigset_t before_;
};

// Is the host's table there, and as long as this SDK knows it?
inline Status check_rpc(const mortise_host_rpc_v1* rpc) {
  if (rpc == nullptr) return unsupported("the host does not offer " MORTISE_HOST_RPC_ID);
  if (rpc->struct_size < sizeof(mortise_host_rpc_v1)) {
    return unsupported("the host's " MORTISE_HOST_RPC_ID " table is short");
  }
  return Status();
}

}  // namespace mortise::sdk
