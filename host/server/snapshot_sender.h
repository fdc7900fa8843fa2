// Sends snapshots of the store to members that lag too far behind for the log. Raft says to whom;
// what it says of the snapshot is only what it must be of at least. The snapshot is a view that is
// opened on the apply thread between two commits, so its place in the log and its membership are
// those of that moment. The view costs nobody time: its file is laid out, and later read, on
// threads that do nothing else, in pieces.
//
// send() is for any thread and does not block. Limit: kSnapshotsSentMax at once, each of which
// keeps a view open; one more is reported as failed, and raft asks again. What the sender needs
// outlives the snapshots that are under way; they end with the transport, and those that are laid
// out with stop().
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "host/peer/transport.h"
#include "host/server/log.h"
#include "host/snapshot/snapshot.h"

namespace mortise::server {

constexpr int kSnapshotsSentMax = 4;

struct SnapshotSenderOptions {
  store::Store* store = nullptr;
  std::string storage_version;
  // As api::Node's: on the apply thread while no commit is running; a step on the thread of
  // snapshots. False at a stop: the task never runs.
  std::function<bool(std::function<void()>)> between_commits;
  std::function<bool(std::function<void()>)> run_step;
  std::function<bool(raft::NodeId)> is_member;
  // The transport, which reports what became of it.
  std::function<void(raft::Message, std::unique_ptr<peer::SnapshotSource>)> send;
  std::function<void(raft::NodeId)> failed;
  Log* log = nullptr;
};

class SnapshotSender {
 public:
  explicit SnapshotSender(SnapshotSenderOptions options);
  ~SnapshotSender();

  void send(raft::Message message);
  // Gives up what has not been handed to the transport.
  void stop();

 private:
  class Job;
  struct Counts {
    std::atomic<int> open{0};
    std::atomic<bool> stopped{false};
  };
  static void report_failure(const std::shared_ptr<const SnapshotSenderOptions>& options,
                             raft::NodeId to);
  const std::shared_ptr<const SnapshotSenderOptions> options_;
  const std::shared_ptr<Counts> counts_;
};

}  // namespace mortise::server
