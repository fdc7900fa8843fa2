#include "host/peer/peer.h"

namespace mortise::peer {

Peer::Peer(const ContextRef& context, NodeId id, std::vector<config::Url> urls, Kind kind)
    : context_(context),
      id_(id),
      kind_(kind),
      picker_(std::make_shared<UrlPicker>(std::move(urls))),
      status_(std::make_shared<PeerStatus>(context, id)),
      pipeline_(std::make_shared<Pipeline>(context, id, status_, picker_)),
      beat_timer_(context->loop.io()) {
  if (kind == Kind::kRemote) return;
  app_writer_ = std::make_shared<StreamWriter>(context, id, StreamType::kMsgAppV2, status_);
  message_writer_ = std::make_shared<StreamWriter>(context, id, StreamType::kMessage, status_);
  app_reader_ =
      std::make_shared<StreamReader>(context, id, StreamType::kMsgAppV2, status_, picker_);
  message_reader_ =
      std::make_shared<StreamReader>(context, id, StreamType::kMessage, status_, picker_);
  prober_ = std::make_shared<Prober>(context, id, picker_);
}

void Peer::start() {
  if (kind_ == Kind::kRemote) return;
  context_->log(LogLevel::kInfo, "started remote peer", {{"remote-peer-id", hex_text(id_)}});
  app_reader_->start();
  message_reader_->start();
  prober_->start();
  beat();
}

void Peer::stop() {
  if (std::exchange(stopped_, true)) return;
  beat_timer_.cancel();
  pipeline_->stop();
  if (kind_ == Kind::kRemote) return;
  prober_->stop();
  app_writer_->stop();
  message_writer_->stop();
  app_reader_->stop();
  message_reader_->stop();
  context_->log(LogLevel::kInfo, "stopped remote peer", {{"remote-peer-id", hex_text(id_)}});
}

void Peer::finish() {
  stopped_ = true;
  pipeline_->finish();
}

void Peer::beat() {
  app_writer_->heartbeat();
  message_writer_->heartbeat();
  beat_timer_.expires_after(kLinkHeartbeatInterval);
  beat_timer_.async_wait([self = shared_from_this()](const ErrorCode& error) {
    if (!error && !self->stopped_) self->beat();
  });
}

void Peer::send(raft::Message&& message) {
  const bool is_app = message.type == raft::MessageType::kApp;
  if (is_app && app_writer_ && app_writer_->is_up()) {
    if (!app_writer_->enqueue(std::move(message))) drop(message, "streamMsgAppV2");
  } else if (message_writer_ && message_writer_->is_up()) {
    if (!message_writer_->enqueue(std::move(message))) drop(message, "streamMsg");
  } else if (!pipeline_->enqueue(std::move(message))) {
    drop(message, "pipeline");
  }
}

void Peer::drop(const raft::Message& message, const char* queue) {
  context_->report_unreachable(id_);
  context_->counters.change(id_, [](CounterTable::Row& row) { ++row.counters.sent_failures; });
  context_->log(LogLevel::kWarn, "dropped internal Raft message since sending buffer is full",
                {{"message-type", std::string(raft::to_string(message.type))},
                 {"local-member-id", context_->local_text},
                 {"from", hex_text(message.from)},
                 {"remote-peer-id", hex_text(id_)},
                 {"remote-peer-name", std::string(queue)},
                 {"remote-peer-active", status_->is_active()}});
}

void Peer::flush() {
  if (kind_ == Kind::kRemote) return;
  app_writer_->flush();
  message_writer_->flush();
}

void Peer::attach(StreamType type, ConnectionRef connection) {
  if (kind_ == Kind::kRemote || stopped_) return connection->abort();
  (type == StreamType::kMsgAppV2 ? app_writer_ : message_writer_)->attach(std::move(connection));
}

}  // namespace mortise::peer
