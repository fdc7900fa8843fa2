// One server of a test, ours on some backend or Debian's etcd, with the same flags: its data
// directory, its ports on 127.0.0.1, and its process, which can be stopped, killed and started
// again. The directory and the process go away with the object.
//
// Used by one thread, the main one (process.h says why).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "host/base/status.h"
#include "tests/lib/process.h"

namespace mortise::testing {

// What to start. Names are "rocksdb", "lmdb" (ours, from MORTISE_BUILD_DIR) and "etcd".
struct Target {
  std::string name;
  std::string binary;
  std::string backend;  // Empty: an etcd.
  bool is_etcd() const { return backend.empty(); }
};

Target mortise_target(const std::string& backend);
// Debian's etcd, or another binary.
Target etcd_target(const std::string& binary = "/usr/bin/etcd");
// Whether the binary is there; etcd comes in a package that only tests need.
bool available(const Target& target);
// Both backends.
std::vector<Target> mortise_targets();

struct NodeOptions {
  std::string name = "node";
  std::vector<std::string> flags;  // Behind the usual ones.
  std::vector<std::string> env;
  std::string data_dir;    // Empty: in a temporary directory of the node.
  std::string client_url;  // Empty: http on a free port.
  std::string peer_url;    // Empty: http on a free port.
  // Of a member of several (cluster.h); empty: alone, and where it listens.
  std::string advertised_peer_url;
  std::string initial_cluster;
  bool joins = false;      // A cluster that is there.
  bool discovers = false;  // Who the members are: flags say how.
  std::string user;
  bool in_memory = false;
};

constexpr std::chrono::seconds kStartBound{60};
constexpr std::chrono::seconds kStopBound{60};

class Node {
 public:
  explicit Node(Target target, NodeOptions options = {});

  // Starts the process and waits until Status is answered. An error says how the process ended and
  // what it logged.
  Status start();
  // Starts the process and does not wait.
  Status launch();
  // What start() waits for.
  Status wait_ready();
  // SIGTERM, and the end. No Exit: it did not end in kStopBound, and was killed.
  std::optional<Exit> stop();
  void kill();
  // Waits for an end by itself.
  std::optional<Exit> wait(std::chrono::milliseconds bound = kStartBound) {
    return process_->wait(bound);
  }
  bool started() const { return process_ != nullptr; }
  bool running() { return process_ != nullptr && process_->running(); }
  pid_t pid() const { return process_->pid(); }
  void signal(int number) { process_->signal(number); }

  const Target& target() const { return target_; }
  NodeOptions& options() { return options_; }
  // All starts since the node was made.
  std::string log() const { return read_text(log_path_); }
  // For gRPC: "127.0.0.1:port" or "unix:path".
  std::string endpoint() const;
  const std::string& client_url() const { return client_url_; }
  const std::string& peer_url() const { return peer_url_; }
  const std::string& advertised_peer_url() const {
    return options_.advertised_peer_url.empty() ? peer_url_ : options_.advertised_peer_url;
  }
  const std::string& data_dir() const { return options_.data_dir; }
  const std::string& dir() const { return dir_.path(); }
  // The command line that start() uses.
  std::vector<std::string> argv() const;

 private:
  Target target_;
  NodeOptions options_;
  TempDir dir_;
  std::string log_path_, client_url_, peer_url_;
  std::unique_ptr<Process> process_;
};

}  // namespace mortise::testing
