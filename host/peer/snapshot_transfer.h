// Snapshots both ways: one POST with the message and the file of the store behind it. Each has a
// thread of its own that reads and writes without hurry, so that streams never wait for one and its
// memory is a piece or two. Private to this folder.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "host/peer/context.h"
#include "host/peer/http_io.h"

namespace mortise::peer {

inline constexpr size_t kSnapshotTransfersMax = 8;             // At a time, both ways together.
inline constexpr size_t kSnapshotPieceBytes = 256 << 10;       // Read and sent at once.
inline constexpr milliseconds kSnapshotProgressLimit{30'000};  // Between two pieces.
// A receiver answers when it has made a store of the file.
inline constexpr milliseconds kSnapshotAnswerLimit{600'000};

// Threads that end by themselves. One thread calls.
class TransferThreads {
 public:
  // False if there are too many.
  bool run(std::function<void()> task);
  void join_all();

 private:
  struct Slot {
    std::atomic<bool> done{false};
    std::thread thread;
  };
  std::list<Slot> slots_;
};

struct OutgoingSnapshot {
  ContextRef context;
  UrlPickerRef picker;
  PeerStatusRef status;
  raft::Message message;
  std::unique_ptr<SnapshotSource> source;
};
// Reports the result. On a transfer's thread.
void send_snapshot(OutgoingSnapshot snapshot);

// A request whose head has been read and found good. `parser` appends to `body`.
struct IncomingSnapshot {
  ContextRef context;
  ConnectionRef connection;
  std::unique_ptr<std::string> body;
  std::unique_ptr<HttpParser<true>> parser;
};
// Answers the request and ends the connection. On a transfer's thread.
void receive_snapshot(IncomingSnapshot snapshot);

}  // namespace mortise::peer
