// Writes messages to the member that has dialled us for them, as chunks of an HTTP response that
// never ends. All that waits goes out with one write. On the loop's thread; owned by Peer. Private
// to this folder.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "host/peer/context.h"
#include "host/peer/framing.h"

namespace mortise::peer {

// Messages that wait for a stream; further ones are dropped.
inline constexpr size_t kStreamMessagesMax = 4096;
inline constexpr uint64_t kStreamBytesMax = uint64_t{128} << 20;  // The same in bytes of entries.
inline constexpr size_t kWriteBatchBytes = 1 << 20;  // One write, and the message that crosses it.

class StreamWriter : public std::enable_shared_from_this<StreamWriter> {
 public:
  StreamWriter(ContextRef context, NodeId peer, StreamType type, PeerStatusRef status);

  bool is_up() const { return connection_ != nullptr; }
  // False if the queue is full or no stream is up. flush() sends.
  bool enqueue(raft::Message&& message);
  void flush();
  void heartbeat();
  // Answers the request for a stream and goes on with it; the one before it is closed.
  void attach(ConnectionRef connection);
  void stop();

 private:
  void start_write();
  void on_written(const ErrorCode& error, uint64_t bytes);
  void watch_end();
  void lose(std::string_view action, std::string_view reason);
  bool close();
  LogFields fields() const;

  const ContextRef context_;
  const NodeId peer_;
  const StreamType type_;
  const PeerStatusRef status_;
  ConnectionRef connection_;
  std::optional<StreamEncoder> encoder_;
  std::deque<raft::Message> queue_;
  uint64_t queue_bytes_ = 0;
  bool heartbeat_due_ = false;
  bool head_due_ = false;
  bool writing_ = false;
  bool stopped_ = false;
  // What is being written; a write that is under way when the connection changes keeps its own.
  std::shared_ptr<OutBatch> batch_;
  std::vector<std::string_view> pieces_;
  std::vector<asio::const_buffer> buffers_;
  std::array<char, 1> unexpected_{};
};

}  // namespace mortise::peer
