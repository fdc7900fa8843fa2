// "mortise.transport/1" on gRPC: takes the connections that the host accepted and turns their calls
// into calls and streams of "mortise.host.rpc/1". It knows paths and bytes, no message.
//
// Threads: `threads` workers, each with a loop of its own; one more while draining. All of them
// block every signal.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "mortise/abi/transport.h"
#include "mortise/sdk/host.h"
#include "mortise/sdk/status.h"
#include "plugins/transport_grpc/context.h"
#include "plugins/transport_grpc/worker.h"

namespace mortise::transport_grpc {

class Transport {
 public:
  static sdk::Status create(sdk::Host host, std::string_view config_json,
                            std::unique_ptr<Transport>& out);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  int32_t claims(const mortise_opening& opening);
  sdk::Status start();
  sdk::Status adopt(const mortise_connection& connection);
  void drain(uint64_t timeout_ns);
  void answers_begin() { transport_common::HeldCompletions::begin(); }
  void answers_end() { transport_common::HeldCompletions::end(); }

 private:
  Transport(sdk::Host host, const mortise_host_rpc_v1* rpc, const Options& options);
  // Returns when the last call has ended.
  void finish_calls(uint64_t timeout_ns);

  Context context_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::atomic<size_t> next_worker_{0};

  std::mutex mutex_;
  bool serving_ = false;  // Guarded by mutex_, which adopt() holds, so none comes after a drain.
  std::thread drain_thread_;
};

}  // namespace mortise::transport_grpc
