// "mortise.transport/1" on gRPC: takes the connections that the host accepted and turns their calls
// into calls and streams of "mortise.host.rpc/1". It knows paths and bytes, no message.
//
// Threads: `threads` workers, each with a completion queue of its own; one more while draining. The
// library has threads of its own for timers. All of them block every signal.
#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "mortise/abi/transport.h"
#include "mortise/sdk/host.h"
#include "mortise/sdk/status.h"
#include "plugins/transport_grpc/call.h"
#include "plugins/transport_grpc/grpc_log.h"
#include "plugins/transport_grpc/methods.h"

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
  void answers_begin() { HeldAnswers::begin(); }
  void answers_end() { HeldAnswers::end(); }

 private:
  struct WorkerThread {
    std::unique_ptr<grpc::ServerCompletionQueue> queue;
    std::unique_ptr<Worker> worker;
    std::thread thread;
  };

  Transport(sdk::Host host, const mortise_host_rpc_v1* rpc, const Options& options);

  void configure(grpc::ServerBuilder& builder) const;
  void request_calls(Worker& worker);
  static void run_worker(Worker& worker);
  // Shuts the server down and returns when its last call has ended.
  void finish_calls(uint64_t timeout_ns);

  GrpcLog log_;
  Methods methods_;
  grpc::AsyncGenericService unknown_methods_;
  ServerContext context_;
  std::vector<WorkerThread> workers_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;

  std::mutex mutex_;
  bool serving_ = false;  // Guarded by mutex_, which adopt() holds, so none comes after a shutdown.
  std::thread drain_thread_;
};

}  // namespace mortise::transport_grpc
