#include "host/peer/stream_writer.h"

#include "host/peer/http_io.h"

namespace mortise::peer {
namespace {

constexpr size_t kChunkHeadBytes = 10;  // Eight hex digits and a line break.
constexpr size_t kKeptBytesMax = 4 * kWriteBatchBytes;

void set_chunk_size(size_t size, std::string* bytes) {
  for (size_t i = 0; i < 8; ++i) (*bytes)[i] = "0123456789abcdef"[(size >> (28 - 4 * i)) & 15];
}

uint64_t message_bytes(const raft::Message& message) {
  uint64_t bytes = message.context.size();
  for (const auto& entry : message.entries) bytes += raft::entry_bytes(*entry);
  return bytes;
}

}  // namespace

StreamWriter::StreamWriter(ContextRef context, NodeId peer, StreamType type, PeerStatusRef status)
    : context_(std::move(context)), peer_(peer), type_(type), status_(std::move(status)) {}

LogFields StreamWriter::fields() const {
  return {{"stream-writer-type", std::string(to_string(type_))},
          {"local-member-id", context_->local_text},
          {"remote-peer-id", hex_text(peer_)}};
}

bool StreamWriter::enqueue(raft::Message&& message) {
  if (!is_up() || queue_.size() >= kStreamMessagesMax || queue_bytes_ >= kStreamBytesMax) {
    return false;
  }
  queue_bytes_ += message_bytes(message);
  queue_.push_back(std::move(message));
  return true;
}

void StreamWriter::heartbeat() {
  if (!is_up()) return;
  heartbeat_due_ = true;
  flush();
}

void StreamWriter::attach(ConnectionRef connection) {
  if (stopped_) return connection->abort();
  if (close()) {
    context_->log(LogLevel::kWarn, "closed TCP streaming connection with remote peer", fields());
  }
  connection_ = std::move(connection);
  connection_->read_whenever();
  encoder_.emplace(type_);
  batch_ = std::make_shared<OutBatch>();
  writing_ = false;
  head_due_ = true;
  status_->activate();
  context_->log(LogLevel::kInfo, "established TCP streaming connection with remote peer", fields());
  watch_end();
  flush();
}

// A member that goes away is noticed here before the next write.
void StreamWriter::watch_end() {
  connection_->async_read_some(
      asio::buffer(unexpected_),
      [self = shared_from_this(), c = connection_](const ErrorCode& error, size_t) {
        if (c != self->connection_) return;
        self->lose("read", error ? c->error_text(error) : "unexpected bytes");
      });
}

void StreamWriter::flush() {
  if (!is_up() || writing_) return;
  if (queue_.empty() && !heartbeat_due_ && !head_due_) return;
  start_write();
}

void StreamWriter::start_write() {
  batch_->clear();
  std::string* bytes = batch_->bytes();
  if (bytes->capacity() > kKeptBytesMax) *bytes = std::string();
  if (head_due_) {
    *bytes = chunked_head({{"X-Server-Version", context_->options.server_version},
                           {"X-Etcd-Cluster-ID", context_->cluster_text}});
    head_due_ = false;
  } else {
    bytes->assign("00000000\r\n");
    if (std::exchange(heartbeat_due_, false)) encoder_->encode_heartbeat(batch_.get());
    while (!queue_.empty() && batch_->size() < kWriteBatchBytes) {
      queue_bytes_ -= message_bytes(queue_.front());
      encoder_->encode(queue_.front(), batch_.get());
      queue_.pop_front();
    }
    set_chunk_size(batch_->size() - kChunkHeadBytes, bytes);
    bytes->append("\r\n");
  }
  batch_->pieces(&pieces_);
  buffers_.clear();
  for (auto piece : pieces_) buffers_.emplace_back(piece.data(), piece.size());
  writing_ = true;
  connection_->async_write(buffers_, context_->options.write_limit,
                           [self = shared_from_this(), c = connection_, batch = batch_](
                               const ErrorCode& error, size_t size) {
                             if (c != self->connection_) return;
                             self->on_written(error, size);
                           });
}

void StreamWriter::on_written(const ErrorCode& error, uint64_t bytes) {
  if (error) return lose("write", connection_->error_text(error));
  writing_ = false;
  connection_->write_whenever();
  context_->counters.change(peer_,
                            [bytes](CounterTable::Row& row) { row.counters.sent_bytes += bytes; });
  flush();
  if (!writing_) batch_->clear();  // Entries need not be kept.
}

void StreamWriter::lose(std::string_view action, std::string_view reason) {
  // What the end of a connection says of the member, its own dialling shows soon.
  if (action != "read") {
    status_->deactivate(action, to_string(type_), reason);
    context_->counters.change(peer_, [](CounterTable::Row& row) { ++row.counters.sent_failures; });
  }
  close();
  auto line = fields();
  line.push_back({"error", std::string(reason)});
  context_->log(LogLevel::kWarn, "lost TCP streaming connection with remote peer", line);
}

bool StreamWriter::close() {
  if (!is_up()) return false;
  connection_->abort();
  connection_.reset();
  const bool unsent = writing_ || !queue_.empty();
  queue_.clear();
  queue_bytes_ = 0;
  heartbeat_due_ = head_due_ = writing_ = false;
  if (unsent) context_->report_unreachable(peer_);
  return true;
}

void StreamWriter::stop() {
  stopped_ = true;
  if (close()) {
    context_->log(LogLevel::kWarn, "closed TCP streaming connection with remote peer", fields());
  }
  context_->log(LogLevel::kInfo, "stopped TCP streaming connection with remote peer", fields());
}

}  // namespace mortise::peer
