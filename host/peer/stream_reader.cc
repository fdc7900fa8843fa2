#include "host/peer/stream_reader.h"

#include <charconv>

#include "host/peer/codec.h"
#include "host/peer/dial.h"

namespace mortise::peer {
namespace {

constexpr size_t kRefusalBytesMax = 4096;

}  // namespace

bool parse_version(std::string_view text, std::pair<int, int>* version) {
  const char* end = text.data() + text.size();
  auto major = std::from_chars(text.data(), end, version->first);
  if (major.ec != std::errc() || major.ptr == end || *major.ptr != '.') return false;
  auto minor = std::from_chars(major.ptr + 1, end, version->second);
  return minor.ec == std::errc() && minor.ptr != end && *minor.ptr == '.';
}

StreamReader::StreamReader(ContextRef context, NodeId peer, StreamType type, PeerStatusRef status,
                           UrlPickerRef picker)
    : context_(std::move(context)),
      peer_(peer),
      type_(type),
      status_(std::move(status)),
      picker_(std::move(picker)),
      timer_(context_->loop.io()) {}

LogFields StreamReader::fields() const {
  return {{"stream-reader-type", std::string(to_string(type_))},
          {"local-member-id", context_->local_text},
          {"remote-peer-id", hex_text(peer_)}};
}

void StreamReader::start() {
  context_->log(LogLevel::kInfo, "started stream reader with remote peer", fields());
  dial_stream();
}

void StreamReader::stop() {
  if (std::exchange(stopped_, true)) return;
  timer_.cancel();
  if (connection_) connection_->abort();
  connection_.reset();
  context_->log(LogLevel::kInfo, "stopped stream reader with remote peer", fields());
}

void StreamReader::dial_stream() {
  last_dial_ = Clock::now();
  url_ = picker_->pick();
  dial(&context_->loop, url_, context_->options.dial_limit,
       [self = shared_from_this()](Result<ConnectionRef> dialed) {
         if (self->stopped_) {
           if (dialed.ok()) dialed.value()->abort();
           return;
         }
         if (!dialed.ok()) return self->fail_dial(dialed.status());
         self->send_request(std::move(dialed).value());
       });
}

void StreamReader::send_request(ConnectionRef connection) {
  connection_ = std::move(connection);
  established_ = false;
  refused_body_.clear();
  decoder_.emplace(type_, context_->options.local_id, peer_);
  parser_ = std::make_shared<HttpParser<false>>(decoder_->input());
  auto headers = context_->request_headers();
  headers.emplace_back("X-Raft-To", hex_text(peer_));
  const char* kind = type_ == StreamType::kMsgAppV2 ? "msgapp/" : "message/";
  request_ = request_bytes("GET", "/raft/stream/" + std::string(kind) + context_->local_text,
                           host_header(url_), headers, "");
  connection_->async_write(
      asio::buffer(request_), context_->options.write_limit,
      [self = shared_from_this(), c = connection_](const ErrorCode& error, size_t) {
        if (c != self->connection_) return;
        if (error) return self->fail_dial(Status(StatusCode::kIo, c->error_text(error)));
        c->write_whenever();
        self->read();
      });
}

void StreamReader::read() {
  connection_->read_within(context_->options.read_limit);
  connection_->async_read_some(
      parser_->room(), [self = shared_from_this(), c = connection_, parser = parser_](
                           const ErrorCode& error, size_t size) {
        if (c != self->connection_) return;
        if (!error) return self->on_read(size);
        const bool is_end = error == asio::error::eof && c->error_text(error) == "EOF";
        if (self->established_) return self->lose(c->error_text(error), is_end);
        if (self->parser_->is_head_done()) return self->fail_dial(self->refusal());
        self->fail_dial(Status(StatusCode::kIo, c->error_text(error)));
      });
}

void StreamReader::on_read(size_t size) {
  parser_->filled(size);
  Status status = parser_->feed();
  if (status.ok() && !established_ && parser_->is_head_done()) {
    if (!check_head()) return;
    status = parser_->feed();
  }
  if (!status.ok()) {
    return established_ ? lose(status.message(), false) : fail_dial(status);
  }
  if (established_) {
    deliver_all(size);
    if (connection_ && parser_->is_done()) lose("EOF", true);
  } else if (parser_->is_head_done() &&
             (parser_->is_done() || decoder_->input()->size() > kRefusalBytesMax)) {
    return fail_dial(refusal());
  }
  if (connection_) read();
}

// Established, or false if the dial has failed. A refusal's text is still to come.
bool StreamReader::check_head() {
  if (Status status = check_server(); !status.ok()) {
    fail_dial(status);
    return false;
  }
  if (parser_->head().result_int() != 200) return true;
  established_ = true;
  status_->activate();
  context_->log(LogLevel::kInfo, "established TCP streaming connection with remote peer", fields());
  return true;
}

// etcd before 2.1 has no such streams.
Status StreamReader::check_server() {
  std::pair<int, int> version{0, 0};
  if (parse_version(parser_->header("X-Server-Version"), &version) && version >= std::pair(2, 1)) {
    return {};
  }
  return invalid("unsupported stream type");
}

Status StreamReader::refusal() {
  std::string text = decoder_->input()->substr(0, kRefusalBytesMax);
  if (!text.empty() && text.back() == '\n') text.pop_back();
  const unsigned code = parser_->head().result_int();
  switch (code) {
    case 410:
      context_->report_removed();
      return invalid("the member has been permanently removed from the cluster");
    case 404:
      return not_found("peer " + hex_text(peer_) + " failed to find local node " +
                       context_->local_text);
    case 412: break;
    default: return internal_error("unhandled http status " + std::to_string(code));
  }
  auto line = fields();
  line.push_back({"error", text});
  if (text == "incompatible version") {
    context_->log(LogLevel::kWarn,
                  "request sent was ignored by remote peer due to server version incompatibility",
                  line);
  } else if (text == "cluster ID mismatch") {
    line.push_back({"remote-peer-cluster-id", std::string(parser_->header("X-Etcd-Cluster-ID"))});
    line.push_back({"local-member-cluster-id", context_->cluster_text});
    context_->log(LogLevel::kWarn,
                  "request sent was ignored by remote peer due to cluster ID mismatch", line);
  } else {
    text = "unhandled error \"" + text + "\" when precondition failed";
  }
  return invalid(text);
}

void StreamReader::deliver_all(size_t bytes) {
  uint64_t failures = 0;
  raft::Message message;
  for (;;) {
    auto next = decoder_->next(&message);
    if (next == StreamDecoder::Next::kMore) break;
    if (next == StreamDecoder::Next::kBad) {
      lose(decoder_->error().message(), false);
      break;
    }
    if (is_link_heartbeat(message)) continue;
    Status status = context_->deliver(std::move(message));
    if (status.ok()) continue;
    ++failures;
    context_->log(LogLevel::kWarn, "failed to process Raft message",
                  {{"local-member-id", context_->local_text},
                   {"remote-peer-id", hex_text(peer_)},
                   {"error", status.message()}});
  }
  context_->counters.change(peer_, [&](CounterTable::Row& row) {
    row.counters.received_bytes += bytes;
    row.counters.received_failures += failures;
  });
}

void StreamReader::fail_dial(const Status& status) {
  picker_->unreachable(url_);
  if (status.message() != "unsupported stream type") {
    status_->deactivate("dial", to_string(type_), status.message());
  }
  retry();
}

void StreamReader::lose(const std::string& reason, bool is_end) {
  auto line = fields();
  line.push_back({"error", reason});
  context_->log(LogLevel::kWarn, "lost TCP streaming connection with remote peer", line);
  if (!is_end) status_->deactivate("read", to_string(type_), reason);
  retry();
}

void StreamReader::retry() {
  if (connection_) connection_->abort();
  connection_.reset();
  timer_.expires_at(std::max(last_dial_ + kDialInterval, Clock::now()));
  timer_.async_wait([self = shared_from_this()](const ErrorCode& error) {
    if (!error && !self->stopped_) self->dial_stream();
  });
}

}  // namespace mortise::peer
