// A loop, its thread and the gRPC connections on it. What these have to send leaves at the end of
// the loop's turn, so what a connection got meanwhile goes in one piece.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "mortise/sdk/machine_load.h"
#include "plugins/transport_common/poller.h"
#include "plugins/transport_common/worker.h"
#include "plugins/transport_grpc/context.h"
#include "plugins/transport_grpc/deadlines.h"

namespace mortise::transport_grpc {

class Connection;

class Worker final : public transport_common::Worker {
 public:
  static constexpr size_t kReadBytes = 64 << 10;
  // How long requests gather in the sockets where processor time is short.
  static constexpr std::chrono::milliseconds kGatherTime{1};

  explicit Worker(Context& context);
  ~Worker() override;
  void start();

  // Any thread.
  void adopt(int fd, std::string remote, std::string common_name);

  // On the loop. The connection is flushed at the end of the turn.
  void flush_later(Connection& connection);

  Context& context;
  transport_common::Poller poller;
  Deadlines deadlines;
  // Of whoever reads just now.
  const std::unique_ptr<char[]> read_buffer{new char[kReadBytes]};

 private:
  void on_stop() override;
  void gather();
  void flush_all();

  sdk::MachineLoad load_;
  std::vector<Connection*> waiting_;  // With a reference for each.
  std::vector<Connection*> flushing_;
};

}  // namespace mortise::transport_grpc
