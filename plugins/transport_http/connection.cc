#include "plugins/transport_http/connection.h"

#include <algorithm>
#include <utility>

#include "plugins/transport_http/http_stream.h"

namespace mortise::transport_http {
namespace {

// While so much waits to be sent, no further request is begun.
constexpr size_t kUnsentBytesMax = 256 << 10;
// Read ahead of a call or a stream, to hear of the client's end.
constexpr size_t kAheadBytesMax = 4 << 10;
constexpr size_t kBodyReadBytes = 64 << 10;
constexpr std::chrono::seconds kLingerMax{2};
// A body that comes slower than this, in the long run, is given up.
constexpr uint64_t kBodyBytesPerMs = 4;

std::chrono::milliseconds ms(uint64_t count) { return std::chrono::milliseconds(count); }

}  // namespace

Connection::Connection(Worker& worker, int fd, Peer peer)
    : worker_(worker),
      context_(worker.context),
      peer_(std::move(peer)),
      socket_(worker.loop, fd, *this),
      out_(worker.spare),
      parser_(context_.options.header_bytes_max),
      since_(worker.now()),
      last_sent_(worker.now()) {
  context_.connections.add();
}

Connection::~Connection() {
  drop_body();
  context_.connections.drop();
}

void Connection::begin() {
  worker_.add(this);
  caller_.remote = peer_.remote;
  caller_.tls_common_name = peer_.common_name;
  if (!socket_.open() || context_.draining) return close();
  read_more();
}

void Connection::on_read(size_t bytes) {
  reading_ = false;
  if (bytes == 0) return on_peer_end();
  if (phase_ == Phase::kLinger) {
    input_.clear();
  } else {
    if (phase_ == Phase::kHead && input_.empty()) since_ = worker_.now();
    input_.filled(bytes);
  }
  advance();
}

void Connection::on_peer_end() {
  peer_ended_ = true;
  switch (phase_) {
    case Phase::kCall:
      if (call_ == nullptr || !call_->watched()) return;
      break;
    case Phase::kHead:
      if (!out_.empty()) {
        closing_ = true;
        return;
      }
      break;
    default: break;
  }
  close();
}

void Connection::advance() {
  while (step()) {
  }
  proceed();
}

void Connection::proceed() {
  flush();
  read_more();
}

// True if there may be more to do.
bool Connection::step() {
  switch (phase_) {
    case Phase::kHead: return parse_head();
    case Phase::kBody: return take_body();
    case Phase::kStream: feed_stream(); return phase_ == Phase::kHead;
    default: return false;
  }
}

bool Connection::parse_head() {
  if (input_.empty() || closing_ || out_.pending_bytes() > kUnsentBytesMax) return false;
  if (context_.draining) {
    closing_ = true;
    return false;
  }
  switch (parser_.parse_head(input_.view())) {
    case Parser::Result::kMore: return false;
    case Parser::Result::kRefused:
      refuse(parser_.refused().status, parser_.refused().reason);
      return false;
    case Parser::Result::kDone: break;
  }
  const Head& head = parser_.head();
  chunked_ = head.chunked;
  body_left_ = head.content_length;
  phase_ = Phase::kBody;
  since_ = worker_.now();
  on_head(head);
  return true;
}

bool Connection::take_body() { return chunked_ ? take_chunks() : take_sized_body(); }

bool Connection::take_sized_body() {
  if (body_left_ > context_.body_bytes_max) {
    refuse(413, {});
    return false;
  }
  const uint64_t size = std::min<uint64_t>(body_left_, input_.size());
  const std::string_view bytes = input_.view().substr(0, size);
  if (body_.empty() && size == body_left_) {
    // The usual case: all of it is there, and nothing is copied.
    body_left_ = 0;
    input_.take(size);
    on_body(bytes);
    return true;
  }
  if (!keep_body(bytes)) return false;
  input_.take(size);
  body_left_ -= size;
  if (body_left_ > 0) return false;
  on_body(body_);
  drop_body();
  return true;
}

bool Connection::take_chunks() {
  size_t taken = 0;
  const size_t before = body_.size();
  const Parser::Result result =
      parser_.parse_chunks(input_.view(), body_, context_.body_bytes_max, taken);
  input_.take(taken);
  const uint64_t more = body_.size() - before;
  if (!context_.bodies.take(more)) {
    refuse(503, {});
    return false;
  }
  budget_taken_ += more;
  if (result == Parser::Result::kRefused)
    refuse(parser_.refused().status, parser_.refused().reason);
  if (result != Parser::Result::kDone) return false;
  on_body(body_);
  drop_body();
  return true;
}

bool Connection::keep_body(std::string_view bytes) {
  if (!context_.bodies.take(bytes.size())) {
    refuse(503, {});
    return false;
  }
  budget_taken_ += bytes.size();
  body_.append(bytes);
  return true;
}

void Connection::drop_body() {
  std::string().swap(body_);
  if (budget_taken_ > 0) context_.bodies.give_back(std::exchange(budget_taken_, 0));
}

// A stream's body goes to it as it comes, as long as it takes it.
void Connection::feed_stream() {
  while (phase_ == Phase::kStream && stream_->wants_input() && !body_ended_) {
    if (chunked_) {
      std::string bytes;
      size_t taken = 0;
      const Parser::Result result =
          parser_.parse_chunks(input_.view(), bytes, context_.body_bytes_max, taken);
      input_.take(taken);
      if (result == Parser::Result::kRefused) return close();
      body_ended_ = result == Parser::Result::kDone;
      stream_->on_input(bytes, body_ended_);
      if (taken == 0) return;
    } else {
      const uint64_t size = std::min<uint64_t>(body_left_, input_.size());
      const std::string_view bytes = input_.view().substr(0, size);
      input_.take(size);
      body_left_ -= size;
      body_ended_ = body_left_ == 0;
      if (size == 0 && !body_ended_) return;
      stream_->on_input(bytes, body_ended_);
    }
  }
}

void Connection::flush() {
  if (phase_ == Phase::kClosed || waiting_writable_) return;
  const bool had_something = !out_.empty();
  switch (out_.flush(socket_.fd())) {
    case Output::Result::kBroken: return close();
    case Output::Result::kBlocked:
      waiting_writable_ = true;
      socket_.wait_writable();
      return;
    case Output::Result::kDone: break;
  }
  if (had_something) last_sent_ = worker_.now();
  if (closing_ && phase_ != Phase::kLinger) return linger();
  if (had_something && stream_ != nullptr) stream_->on_flushed();
}

void Connection::on_writable() {
  waiting_writable_ = false;
  last_sent_ = worker_.now();
  advance();
}

void Connection::read_more() {
  if (reading_ || phase_ == Phase::kClosed || peer_ended_) return;
  size_t least = 1;
  switch (phase_) {
    case Phase::kHead:
      if (closing_ || out_.pending_bytes() > kUnsentBytesMax) return;
      least = std::max<size_t>(1, input_.size());
      break;
    case Phase::kBody:
      least = chunked_ ? kAheadBytesMax : std::min<uint64_t>(body_left_, kBodyReadBytes);
      break;
    case Phase::kCall:
      if (call_ == nullptr || !call_->watched() || input_.size() >= kAheadBytesMax) return;
      break;
    case Phase::kStream:
      if (input_.size() >= kAheadBytesMax) return;
      break;
    default: break;
  }
  const auto [to, size] = input_.room(least);
  reading_ = true;
  socket_.read(to, size);
}

void Connection::refuse(int status, std::string_view reason) {
  drop_body();
  uncount();
  write_refusal(out_, status, reason);
  phase_ = Phase::kHead;
  closing_ = true;
}

// The end of what is sent. Closing at once would reset the connection if the client has sent more
// than was read, and the client might then not see the answer.
void Connection::linger() {
  if (peer_ended_) return close();
  phase_ = Phase::kLinger;
  since_ = worker_.now();
  socket_.shutdown_send();
  if (!reading_) input_.clear();
}

void Connection::end_exchange() {
  phase_ = Phase::kHead;
  since_ = worker_.now();
  method_ = nullptr;
  timer_.reset();
  if (!style_.keep_alive || peer_ended_) closing_ = true;
  uncount();
}

void Connection::uncount() {
  if (std::exchange(counted_, false)) context_.calls.drop();
}

void Connection::stream_ended() {
  // It is the stream that calls; it goes when it has returned.
  const std::shared_ptr<HttpStream> ended = std::move(stream_);
  loop().post([self = shared_from_this(), this, ended] { advance(); });
  if (!body_ended_) style_.keep_alive = false;
  end_exchange();
}

bool Connection::is_late(Clock::time_point now) const {
  const Options& options = context_.options;
  const auto passed = now - since_;
  if (!out_.empty() && phase_ != Phase::kStream) {
    return now - last_sent_ > ms(options.write_timeout_ms) && waiting_writable_;
  }
  switch (phase_) {
    case Phase::kHead:
      return passed > ms(input_.empty() ? options.idle_timeout_ms : options.header_timeout_ms);
    case Phase::kBody: return passed > ms(options.body_timeout_ms + body_.size() / kBodyBytesPerMs);
    case Phase::kLinger: return passed > kLingerMax;
    default: return false;
  }
}

void Connection::sweep(Clock::time_point now) {
  if (is_late(now)) close();
}

void Connection::begin_drain() {
  style_.keep_alive = false;
  if (phase_ == Phase::kHead && out_.empty()) return close();
  if (phase_ == Phase::kHead) closing_ = true;
  // The drain waits for calls, and this is going to be one.
  if (phase_ == Phase::kBody && !std::exchange(counted_, true)) context_.calls.add();
}

void Connection::give_up() {
  const bool works = phase_ == Phase::kCall || phase_ == Phase::kStream || phase_ == Phase::kBody;
  if (works) close();
}

void Connection::close() {
  if (std::exchange(phase_, Phase::kClosed) == Phase::kClosed) return;
  const auto keep = shared_from_this();
  worker_.remove(this);
  socket_.close();
  timer_.reset();
  if (call_ != nullptr) std::exchange(call_, nullptr)->abandon();
  if (page_ != nullptr) std::exchange(page_, nullptr)->abandon();
  if (stream_ != nullptr) stream_->abandon();
  drop_body();
  uncount();
}

}  // namespace mortise::transport_http
