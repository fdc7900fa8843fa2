// Takes snapshots that a leader sends. The file is written beside the store, a new store is filled
// from it, whole and durable, and only then does raft get the message. If raft takes the snapshot,
// the apply thread switches to that store; if not, nobody has noticed anything but the disk space.
//
// The new store hangs on the snapshot that goes with raft's message: whoever drops the last
// reference to it without take() discards the store, and remove_discarded() removes it.
//
// receive() and what it gives are for threads that may block, at most kSnapshotsReceivedMax at
// once; take() for the apply thread; remove_discarded() for one thread at a time that may block.
// stop() ends loading and comes before the transport's; close() closes what nobody took, after raft
// and the apply loop have stopped. Snapshots may outlive the receiver.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "host/peer/transport.h"
#include "host/server/data_dir.h"
#include "host/server/log.h"
#include "host/store/store.h"

namespace mortise::server {

constexpr int kSnapshotsReceivedMax = 2;

struct SnapshotReceiverOptions {
  const DataDir* dir = nullptr;
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
  std::function<Result<std::unique_ptr<store::Store>>(const std::string& path)> open_store;
  bool enforces_auth = false;  // May it serve the data of users that must authenticate?
  std::function<uint64_t()> applied_index;
  std::function<Status(raft::Message)> step;
  // The file of a snapshot is complete; may be empty.
  std::function<void(std::chrono::nanoseconds took)> saved;
  Log* log = nullptr;
};

class SnapshotReceiver {
 public:
  explicit SnapshotReceiver(SnapshotReceiverOptions options);
  ~SnapshotReceiver();

  // For peer::Hooks::receive_snapshot.
  Result<std::unique_ptr<peer::SnapshotSink>> receive(raft::Message message, uint64_t bytes);
  // The store of a snapshot that raft has taken; null if it is none of ours.
  std::unique_ptr<store::Store> take(const raft::SnapshotRef& snapshot);
  void remove_discarded();
  void stop();
  void close();

 private:
  class Sink;
  class Stores;
  const std::shared_ptr<Stores> stores_;
  const SnapshotReceiverOptions options_;
};

}  // namespace mortise::server
