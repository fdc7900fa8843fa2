#include "host/peer/snapshot_transfer.h"

#include <sys/resource.h>
#include <unistd.h>

#include <future>

#include "host/peer/codec.h"
#include "host/peer/dial.h"
#include "host/peer/framing.h"
#include "host/peer/pipeline.h"

namespace mortise::peer {

bool TransferThreads::run(std::function<void()> task) {
  slots_.remove_if([](Slot& slot) {
    if (!slot.done) return false;
    slot.thread.join();
    return true;
  });
  if (slots_.size() >= kSnapshotTransfersMax) return false;
  Slot& slot = slots_.emplace_back();
  slot.thread = std::thread([&slot, task = std::move(task)]() mutable {
    task();
    task = nullptr;
    slot.done = true;
  });
  return true;
}

void TransferThreads::join_all() {
  for (Slot& slot : slots_) slot.thread.join();
  slots_.clear();
}

namespace {

// Where the processors are busy, calls go before snapshots. There is no way back for the thread, so
// it is not for receivers: a store is opened there, and its threads would inherit this.
void yield_to_others() {
  constexpr int kNicer = 10;
  const auto thread = static_cast<id_t>(::gettid());
  ::setpriority(PRIO_PROCESS, thread, ::getpriority(PRIO_PROCESS, thread) + kNicer);
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Result<ConnectionRef> dial_and_wait(Context* context, const config::Url& url) {
  using Promise = std::promise<Result<ConnectionRef>>;
  auto promise = std::make_shared<Promise>();
  auto result = promise->get_future();
  context->loop.post([context, url, promise] {
    dial(&context->loop, url, context->options.dial_limit,
         [promise](Result<ConnectionRef> dialed) { promise->set_value(std::move(dialed)); });
  });
  return result.get();
}

class Sender {
 public:
  explicit Sender(OutgoingSnapshot* snapshot)
      : s_(*snapshot), context_(s_.context.get()), url_(s_.picker->pick()) {}

  Status post() {
    MORTISE_ASSIGN_OR_RETURN(connection_, dial_and_wait(context_, url_));
    if (context_->stopping) return Status(StatusCode::kStopped, "stopped");
    Status written = write();
    if (!written.ok() && written.code() != StatusCode::kIo) return written;
    // One who refuses says why, perhaps before it has taken the file.
    auto answer = read_answer(written.ok() ? kSnapshotAnswerLimit : context_->options.read_limit);
    if (!answer.ok()) return written.ok() ? answer.status() : written;
    return check_post_answer(context_, s_.message.to, answer.value());
  }
  const config::Url& url() const { return url_; }
  void close() {
    if (connection_) connection_->abort();
  }

 private:
  Status write() {
    std::string head;
    append_big_endian(message_size(s_.message), &head);
    append_message(s_.message, &head);
    auto headers = context_->request_headers();
    headers.emplace_back("Content-Type", "application/octet-stream");
    head.insert(0, request_head("POST", "/raft/snapshot", host_header(url_), headers,
                                head.size() + s_.source->size()));
    MORTISE_RETURN_IF_ERROR(connection_->write_all(head, kSnapshotProgressLimit));
    return write_file();
  }
  Status write_file() {
    std::string piece(kSnapshotPieceBytes, '\0');
    for (uint64_t left = s_.source->size(); left > 0;) {
      MORTISE_ASSIGN_OR_RETURN(size_t size, s_.source->read(std::span(piece)));
      if (size == 0 || size > left) return internal_error("the snapshot's size is not as said");
      MORTISE_RETURN_IF_ERROR(
          connection_->write_all(std::string_view(piece).substr(0, size), kSnapshotProgressLimit));
      left -= size;
    }
    return {};
  }
  Result<HttpResponse> read_answer(milliseconds limit) {
    std::string body;
    HttpParser<false> parser(&body);
    while (!parser.is_done()) {
      ErrorCode error;
      size_t size = connection_->read_some(parser.room(), limit, &error);
      if (error == asio::error::eof && parser.finish_at_eof()) break;
      if (error) return Status(StatusCode::kIo, connection_->error_text(error));
      parser.filled(size);
      MORTISE_RETURN_IF_ERROR(parser.feed_all());
      if (body.size() > kReadBytes) return Status(StatusCode::kIo, "the answer is too large");
    }
    HttpResponse response;
    response.status = static_cast<int>(parser.head().result_int());
    response.headers = copy_headers(parser.head());
    response.body = std::move(body);
    return response;
  }

  OutgoingSnapshot& s_;
  Context* const context_;
  const config::Url url_;
  ConnectionRef connection_;
};

// The other end.
class Receiver {
 public:
  explicit Receiver(IncomingSnapshot* snapshot)
      : s_(*snapshot),
        context_(s_.context.get()),
        announced_(s_.parser->content_length().value_or(0)) {}

  HttpResponse run() {
    HttpResponse refusal;
    auto message = read_message(&refusal);
    if (!message) {
      context_->log(LogLevel::kWarn, "failed to decode Raft message",
                    {{"local-member-id", context_->local_text}, {"error", refusal.body}});
      return refusal;
    }
    from_ = message->from;
    const uint64_t head = 8 + message_bytes_;
    count([head](PeerCounters& c) {
      ++c.snapshots_receiving;
      c.received_bytes += head;
    });
    HttpResponse response = take(std::move(*message));
    const bool good = response.status == 204;
    const double took = seconds_since(start_);
    count([&](PeerCounters& c) {
      --c.snapshots_receiving;
      c.received_bytes += file_bytes_;
      ++(good ? c.snapshots_received : c.snapshot_receive_failures);
      if (good) observe(took, kSnapshotFirstBound, &c.snapshot_receive_seconds);
    });
    return response;
  }

 private:
  template <typename Change>
  void count(Change&& change) {
    context_->counters.change(from_, [&](CounterTable::Row& row) { change(row.counters); });
  }
  LogFields fields(uint64_t index) const {
    return {{"local-member-id", context_->local_text},
            {"remote-snapshot-sender-id", hex_text(from_)},
            {"incoming-snapshot-index", index}};
  }
  HttpResponse fail(const char* message, int code, const char* what, const Status& status,
                    uint64_t index) {
    auto line = fields(index);
    line.push_back({"error", status.message()});
    context_->log(LogLevel::kWarn, message, std::move(line));
    return text_response(code, std::string(what) + " (" + status.message() + ")");
  }

  // Appends to the body what comes next. At the end of the request nothing comes.
  Status read_more() {
    const size_t before = s_.body->size();
    MORTISE_RETURN_IF_ERROR(s_.parser->feed_all());
    while (s_.body->size() == before && !s_.parser->is_done()) {
      ErrorCode error;
      size_t size = s_.connection->read_some(s_.parser->room(), kSnapshotProgressLimit, &error);
      if (error == asio::error::eof) return Status(StatusCode::kIo, "unexpected EOF");
      if (error) return Status(StatusCode::kIo, s_.connection->error_text(error));
      s_.parser->filled(size);
      MORTISE_RETURN_IF_ERROR(s_.parser->feed_all());
    }
    return {};
  }
  Status read_at_least(size_t size) {
    while (s_.body->size() < size) {
      if (s_.parser->is_done()) return Status(StatusCode::kIo, "unexpected EOF");
      MORTISE_RETURN_IF_ERROR(read_more());
    }
    return {};
  }
  std::optional<raft::Message> read_message(HttpResponse* refusal) {
    auto refuse = [&](const Status& status) {
      *refusal = text_response(400, "failed to decode raft message (" + status.message() + ")");
      return std::nullopt;
    };
    if (Status status = read_at_least(8); !status.ok()) return refuse(status);
    message_bytes_ = read_big_endian(s_.body->data());
    if (message_bytes_ > kSnapshotMessageBytesMax) {
      return refuse(invalid("rafthttp: error limit exceeded"));
    }
    if (Status status = read_at_least(8 + message_bytes_); !status.ok()) return refuse(status);
    auto message = decode_message(std::string_view(*s_.body).substr(8, message_bytes_));
    if (!message.ok()) return refuse(message.status());
    s_.body->erase(0, 8 + message_bytes_);
    if (message.value().type != raft::MessageType::kSnap || !message.value().snapshot) {
      *refusal = text_response(400, "wrong raft message type");
      return std::nullopt;
    }
    return std::move(message).value();
  }

  HttpResponse take(raft::Message message) {
    const uint64_t index = message.snapshot->index;
    Status known = context_->check_addresses(message);
    if (!known.ok()) {
      if (known.code() == StatusCode::kNotFound) return text_response(403, known.message());
      return fail("failed to process Raft message", 500, "failed to process raft message", known,
                  index);
    }
    auto line = fields(index);
    line.push_back({"incoming-snapshot-message-size-bytes", message_bytes_});
    context_->log(LogLevel::kInfo, "receiving database snapshot", std::move(line));
    const uint64_t head = 8 + message_bytes_;
    const uint64_t expected = announced_ > head ? announced_ - head : 0;
    auto sink = open(std::move(message), expected);
    if (!sink.ok()) {
      return fail("failed to save incoming database snapshot", 500, "failed to save KV snapshot",
                  sink.status(), index);
    }
    if (Status status = save(sink.value().get()); !status.ok()) {
      return fail("failed to save incoming database snapshot", 500, "failed to save KV snapshot",
                  status, index);
    }
    line = fields(index);
    line.push_back({"incoming-snapshot-size-bytes", file_bytes_});
    line.push_back({"download-took", std::chrono::nanoseconds(Clock::now() - start_)});
    context_->log(LogLevel::kInfo, "received and saved database snapshot", std::move(line));
    if (Status status = sink.value()->finish(); !status.ok()) {
      return fail("failed to process Raft message", 500, "failed to process raft message", status,
                  index);
    }
    HttpResponse done;
    done.status = 204;
    return done;
  }
  Result<std::unique_ptr<SnapshotSink>> open(raft::Message message, uint64_t expected) {
    if (!context_->hooks.receive_snapshot) return internal_error("snapshots are not taken");
    return context_->hooks.receive_snapshot(std::move(message), expected);
  }
  Status save(SnapshotSink* sink) {
    for (;;) {
      if (!s_.body->empty()) {
        file_bytes_ += s_.body->size();
        MORTISE_RETURN_IF_ERROR(sink->write(*s_.body));
        s_.body->clear();
      }
      if (context_->stopping) return Status(StatusCode::kStopped, "stopped");
      if (s_.parser->is_done()) return {};
      MORTISE_RETURN_IF_ERROR(read_more());
    }
  }

  IncomingSnapshot& s_;
  Context* const context_;
  const Clock::time_point start_ = Clock::now();
  const uint64_t announced_;
  NodeId from_ = raft::kNoNode;
  uint64_t message_bytes_ = 0;
  uint64_t file_bytes_ = 0;
};

// Takes what still comes for a moment, since an early end would take the answer with it.
void drain(Connection* connection) {
  constexpr size_t kDrainedBytesMax = 1 << 20;
  constexpr milliseconds kDrainTime{1000};
  ErrorCode error;
  connection->socket().shutdown(Connection::Socket::shutdown_send, error);
  std::string buffer(kReadBytes, '\0');
  const Clock::time_point end = Clock::now() + kDrainTime;
  for (size_t done = 0; !error && done < kDrainedBytesMax && Clock::now() < end;) {
    done += connection->read_some(asio::buffer(buffer), kDrainTime, &error);
  }
}

}  // namespace

void send_snapshot(OutgoingSnapshot snapshot) {
  yield_to_others();
  Context* context = snapshot.context.get();
  const Clock::time_point start = Clock::now();
  const NodeId to = snapshot.message.to;
  const uint64_t bytes = snapshot.source->size();
  const LogFields fields = {{"snapshot-index", snapshot.message.snapshot->index},
                            {"remote-peer-id", hex_text(to)},
                            {"bytes", bytes}};
  context->log(LogLevel::kInfo, "sending database snapshot", fields);
  context->counters.change(to, [](auto& row) { ++row.counters.snapshots_sending; });
  Sender sender(&snapshot);
  const Status status = sender.post();
  sender.close();
  snapshot.source.reset();
  const double took = seconds_since(start);
  context->counters.change(to, [&](auto& row) {
    --row.counters.snapshots_sending;
    if (!status.ok()) {
      ++row.counters.sent_failures;
      ++row.counters.snapshot_send_failures;
      return;
    }
    row.counters.sent_bytes += bytes;
    ++row.counters.snapshots_sent;
    observe(took, kSnapshotFirstBound, &row.counters.snapshot_send_seconds);
  });
  if (status.ok()) {
    snapshot.status->activate();
    context->log(LogLevel::kInfo, "sent database snapshot", fields);
  } else {
    auto line = fields;
    line.push_back({"error", status.message()});
    context->log(LogLevel::kWarn, "failed to send database snapshot", std::move(line));
    snapshot.picker->unreachable(sender.url());
    snapshot.status->deactivate("post", "sendMsgSnap", status.message());
    context->report_unreachable(to);
  }
  if (context->hooks.snapshot_sent) context->hooks.snapshot_sent(to, status.ok());
}

void receive_snapshot(IncomingSnapshot snapshot) {
  HttpResponse response = Receiver(&snapshot).run();
  response.headers.emplace_back("X-Etcd-Cluster-ID", snapshot.context->cluster_text);
  Status written = snapshot.connection->write_all(response_bytes(response, false, true),
                                                  snapshot.context->options.write_limit);
  if (written.ok()) drain(snapshot.connection.get());
  snapshot.connection->abort();
}

}  // namespace mortise::peer
