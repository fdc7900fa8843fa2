// One other member: its streams both ways, its pipeline, its prober. A remote, known only by its
// requests, has the pipeline alone. On the loop's thread; owned by Transport. Private to this
// folder.
#pragma once

#include <memory>

#include "host/peer/pipeline.h"
#include "host/peer/prober.h"
#include "host/peer/stream_reader.h"
#include "host/peer/stream_writer.h"

namespace mortise::peer {

class Peer : public std::enable_shared_from_this<Peer> {
 public:
  enum class Kind : uint8_t { kPeer, kRemote };
  Peer(const ContextRef& context, NodeId id, std::vector<config::Url> urls, Kind kind);

  void start();
  void stop();
  // Of a remote: what it has been given to send still goes.
  void finish();

  // Queues; flush() sends what streams have.
  void send(raft::Message&& message);
  void flush();
  void attach(StreamType type, ConnectionRef connection);

  const UrlPickerRef& picker() const { return picker_; }
  const PeerStatusRef& status() const { return status_; }

 private:
  void beat();
  void drop(const raft::Message& message, const char* queue);

  const ContextRef context_;
  const NodeId id_;
  const Kind kind_;
  const UrlPickerRef picker_;
  const PeerStatusRef status_;
  std::shared_ptr<Pipeline> pipeline_;
  std::shared_ptr<StreamWriter> app_writer_;
  std::shared_ptr<StreamWriter> message_writer_;
  std::shared_ptr<StreamReader> app_reader_;
  std::shared_ptr<StreamReader> message_reader_;
  std::shared_ptr<Prober> prober_;
  asio::steady_timer beat_timer_;
  bool stopped_ = false;
};

}  // namespace mortise::peer
