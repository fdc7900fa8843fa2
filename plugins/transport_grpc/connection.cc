#include "plugins/transport_grpc/connection.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "plugins/transport_grpc/context.h"
#include "plugins/transport_grpc/stream_call.h"
#include "plugins/transport_grpc/unary_call.h"
#include "plugins/transport_grpc/worker.h"

namespace mortise::transport_grpc {
namespace {

// So much waits for the socket, and then the session is asked for no more.
constexpr size_t kUnsentBytesMax = 256 << 10;
// While the socket takes nothing and so many answers and acknowledgements wait behind what waits
// for it, nothing is read.
constexpr size_t kQueuedFramesMax = 1000;
// While the host works on so many calls that the client has left, nothing is read.
constexpr uint64_t kLeftCallsMax = 1000;
// While so much of the answers to unary calls is not taken by the client, no further one begins.
constexpr uint64_t kUnreadAnswerBytesMax = 64 << 20;

// What is read and thrown away after all is said.
constexpr size_t kLingerBytesMax = 4 << 20;

constexpr std::string_view kTooManyPings = "too_many_pings";

std::chrono::nanoseconds ns(uint64_t count) {
  return std::chrono::nanoseconds(
      static_cast<int64_t>(std::min<uint64_t>(count, std::numeric_limits<int64_t>::max())));
}

}  // namespace

Connection::Connection(Worker& worker, int fd, std::string remote, std::string common_name)
    : worker_(worker),
      context_(worker.context),
      fd_(fd),
      remote_(std::move(remote)),
      common_name_(std::move(common_name)),
      session_(*this),
      out_(worker.spare),
      ping_guard_(ns(context_.rpc->keepalive_min_time_ns)),
      keepalive_(ns(context_.rpc->keepalive_interval_ns), ns(context_.rpc->keepalive_timeout_ns)),
      since_(worker.now()),
      last_read_(worker.now()) {
  context_.connections.add();
}

Connection::~Connection() { context_.connections.drop(); }

void Connection::unref() {
  if (--references_ == 0) delete this;
}

void Connection::begin(Worker& worker, int fd, std::string remote, std::string common_name) {
  auto* connection = new Connection(worker, fd, std::move(remote), std::move(common_name));
  worker.add(connection);
  connection->open();
}

void Connection::open() {
  const bool usable = !context_.draining && session_.start(context_.rpc->concurrent_streams_max) &&
                      worker_.poller.add(fd_, this, reads_, watches_writable_);
  if (!usable) return close();
  worker_.flush_later(*this);
}

void Connection::on_ready(bool readable, bool writable, bool broken) {
  ref();
  if (readable) {
    read();
  } else if (broken) {
    close();
  }
  if (writable && phase_ == Phase::kOpen) {
    blocked_ = false;
    flush();
  }
  unref();
}

void Connection::read() {
  char* const buffer = worker_.read_buffer.get();
  const ssize_t size = ::recv(fd_, buffer, Worker::kReadBytes, MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return close();
  last_read_ = worker_.now();
  if (phase_ == Phase::kLinger) {
    lingered_bytes_ += static_cast<size_t>(size);
    if (lingered_bytes_ > kLingerBytesMax) close();
    return;
  }
  if (ending_) return;
  if (!session_.receive({buffer, static_cast<size_t>(size)})) end_wanted_ = true;
  if (end_wanted_ || session_.wants_write() || session_.finished()) worker_.flush_later(*this);
  update_interest();
}

bool Connection::mark_flush() { return !std::exchange(flush_marked_, true); }

void Connection::flush() {
  flush_marked_ = false;
  if (phase_ != Phase::kOpen) return;
  if (end_wanted_) end();
  if (!blocked_ && !send()) return close();
  if (!blocked_ && (ending_ || session_.finished())) return linger();
  update_interest();
}

// False if the connection is broken.
bool Connection::send() {
  for (;;) {
    pull();
    if (out_.empty()) return true;
    switch (out_.flush(fd_)) {
      case transport_common::Output::Result::kBroken: return false;
      case transport_common::Output::Result::kBlocked: blocked_ = true; return true;
      case transport_common::Output::Result::kDone: break;
    }
    if (ending_ || !session_.wants_write()) return true;
  }
}

void Connection::pull() {
  bool more = false;
  while (!ending_) {
    if (!session_.pull(out_, kUnsentBytesMax, more)) return leave();
    if (more || !admit_waiting()) return;
  }
}

bool Connection::wants_read() const {
  if (phase_ == Phase::kLinger) return true;
  if (ending_) return false;
  if (blocked_ && session_.queued_frames() > kQueuedFramesMax) return false;
  return left_calls_ <= kLeftCallsMax;
}

void Connection::update_interest() {
  const bool reads = wants_read();
  if (phase_ == Phase::kClosed || (reads == reads_ && blocked_ == watches_writable_)) return;
  reads_ = reads;
  watches_writable_ = blocked_;
  if (!worker_.poller.change(fd_, this, reads_, watches_writable_)) submitted(false);
}

void Connection::submitted(bool ok) {
  if (!ok) end_wanted_ = true;
  worker_.flush_later(*this);
}

void Connection::add_call(Call& call) {
  ref();
  call.next_ = first_call_;
  if (first_call_ != nullptr) first_call_->previous_ = &call;
  first_call_ = &call;
}

void Connection::remove_call(Call& call) {
  (call.previous_ == nullptr ? first_call_ : call.previous_->next_) = call.next_;
  if (call.next_ != nullptr) call.next_->previous_ = call.previous_;
  unref();
}

void Connection::left_call_ended() {
  if (left_calls_-- == kLeftCallsMax + 1) update_interest();
}

void Connection::drop_unread(size_t bytes) { unread_bytes_ -= bytes; }

bool Connection::admit(UnaryCall& call) {
  if (unread_bytes_ <= kUnreadAnswerBytesMax && waiting_.empty()) return true;
  waiting_.push_back(&call);
  return false;
}

void Connection::forget(UnaryCall& call) { std::erase(waiting_, &call); }

// True if there was one that waited.
bool Connection::admit_waiting() {
  bool any = false;
  while (!waiting_.empty() && unread_bytes_ <= kUnreadAnswerBytesMax) {
    UnaryCall* const call = waiting_.front();
    waiting_.erase(waiting_.begin());
    call->dispatch();
    any = true;
  }
  return any;
}

void Connection::on_field(std::string_view name, std::string_view value) {
  head_.add(name, value, context_.methods);
}

SessionStream* Connection::on_request(int32_t id) {
  SessionStream* stream = nullptr;
  if (gone_away_) {
    // The client is told that this one never began.
    head_.clear();
    return nullptr;
  }
  last_request_ = id;
  if (head_.malformed()) {
    submitted(session_.reset(id, ErrorCode::kProtocol));
  } else if (const auto refusal = head_.refusal(context_.methods)) {
    submitted(session_.refuse(id, refusal->http_status, head_.content_type(), refusal->status));
  } else if (head_.method()->kind == MORTISE_UNARY) {
    stream = new UnaryCall(*this, id, *head_.method(), head_);
  } else {
    auto* const call = new StreamCall(*this, id, *head_.method(), head_);
    call->open(head_);
    stream = call;
  }
  head_.clear();
  return stream;
}

void Connection::on_ping() {
  if (end_wanted_ || ping_guard_.on_ping(Clock::now(), first_call_ != nullptr)) return;
  submitted(session_.go_away(last_request_, ErrorCode::kCalmDown, kTooManyPings));
  end_wanted_ = true;
}

// The client is to hear what it was told so far, and then no more.
void Connection::end() {
  pull();
  leave();
}

void Connection::leave() {
  if (std::exchange(ending_, true)) return;
  since_ = worker_.now();
  leave_calls();
}

void Connection::leave_calls() {
  // Each takes itself out of the list, or stays until the host is done with it.
  for (Call* call = first_call_; call != nullptr;) {
    Call* const next = call->next_;
    if (call->attached_) call->on_closed();
    call = next;
  }
}

// Closing at once would reset the connection if the client has sent more than was read, and the
// client might then not see the last answers.
void Connection::linger() {
  leave();
  phase_ = Phase::kLinger;
  since_ = worker_.now();
  ::shutdown(fd_, SHUT_WR);
  update_interest();
}

void Connection::sweep(Clock::time_point now) {
  if (ending_) {
    if (now - since_ > kLingerMax) close();
    return;
  }
  if (!settings_seen_ && now - since_ > kSettingsTimeMax) return close();
  for (Call* call = first_call_; call != nullptr; call = call->next_) {
    if (call->attached_) call->sweep(now);
  }
  switch (keepalive_.look(now, last_read_)) {
    case Keepalive::Action::kNothing: return;
    case Keepalive::Action::kPing: return submitted(session_.ping());
    case Keepalive::Action::kClose: return close();
  }
}

// In two steps, as what a client has just begun is better served than refused.
void Connection::begin_drain() {
  if (phase_ != Phase::kOpen || ending_) return;
  unaware_ = true;
  context_.unaware.fetch_add(1, std::memory_order_relaxed);
  submitted(session_.announce_end());
}

void Connection::on_end_known() { go_away(); }

void Connection::go_away() {
  if (std::exchange(unaware_, false)) context_.unaware.fetch_sub(1, std::memory_order_relaxed);
  if (std::exchange(gone_away_, true)) return;
  submitted(session_.go_away(last_request_, ErrorCode::kNone, {}));
}

void Connection::give_up() {
  if (phase_ != Phase::kOpen) return;
  if (!ending_) go_away();
  end();
  flush();
}

void Connection::close() {
  if (std::exchange(phase_, Phase::kClosed) == Phase::kClosed) return;
  worker_.remove(this);
  worker_.poller.remove(fd_, this);
  ::close(fd_);
  if (std::exchange(unaware_, false)) context_.unaware.fetch_sub(1, std::memory_order_relaxed);
  leave();
  session_.stop();
  unref();
}

}  // namespace mortise::transport_grpc
