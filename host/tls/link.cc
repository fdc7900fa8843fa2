#include "host/tls/link.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace mortise::tls {
namespace {

// Pieces of one connection before others have their turn.
constexpr int kPiecesAtOnce = 4;

char* piece() {
  thread_local const std::unique_ptr<char[]> kBuffer(new char[kPieceBytes]);
  return kBuffer.get();
}

}  // namespace

Link::Link(uint64_t id, std::unique_ptr<Session> session, Relay::Done done)
    : id_(id), session_(std::move(session)), done_(std::move(done)) {}

Link::~Link() {
  if (plain_ >= 0) ::close(plain_);
}

void Link::on_event(bool is_tls, uint32_t events) {
  const bool ended = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  const bool readable = ended || (events & EPOLLIN) != 0;
  if (is_tls && readable) {
    tls_readable_ = true;
    session_->readable(ended);
  } else if (!is_tls && readable) {
    plain_readable_ = true;
    plain_ended_ |= ended;
    plain_hung_up_ |= (events & (EPOLLHUP | EPOLLERR)) != 0;
  }
}

void Link::close_soon() { plain_hung_up_ = plain_readable_ = plain_ended_ = true; }

void Link::open(int plain) {
  plain_ = plain;
  state_ = State::kOpen;
}

void Link::fail(std::string error) {
  error_ = std::move(error);
  state_ = State::kEnded;
}

// A failure is told to the other side, too, which may still send what it believes to be welcome.
void Link::shake_hands() {
  const Session::Step step = session_->handshake();
  const Session::Step flushed = session_->flush();
  if (step == Session::Step::kDone && flushed != Session::Step::kFailed) {
    handshake_done_ = true;
  } else if (step == Session::Step::kFailed || flushed == Session::Step::kFailed) {
    error_ = session_->error();
    ::shutdown(session_->fd(), SHUT_WR);
    state_ = State::kLinger;
    discard_rest();
  }
}

bool Link::run() {
  if (state_ == State::kHandshake) {
    shake_hands();
    return false;
  }
  if (state_ == State::kLinger) discard_rest();
  if (state_ != State::kOpen) return false;
  for (int i = 0; i < kPiecesAtOnce; ++i) {
    const Move in = move_in();
    const Move out = state_ == State::kOpen ? move_out() : Move::kStuck;
    if (state_ != State::kOpen || (in == Move::kStuck && out == Move::kStuck)) return false;
  }
  return true;
}

// From the connection to the user.
Link::Move Link::move_in() {
  if (plain_hung_up_) {
    to_plain_.clear();
    return Move::kStuck;
  }
  if (!to_plain_.empty()) {
    std::string left;
    left.swap(to_plain_);
    if (!send_plain(left.data(), left.size()) || !to_plain_.empty()) return Move::kStuck;
  }
  if (tls_readable_ && !tls_over_) return fill_plain() ? Move::kMore : Move::kStuck;
  if (tls_over_ && !told_plain_) {
    told_plain_ = true;
    ::shutdown(plain_, SHUT_WR);
  }
  if (told_plain_ && told_tls_ && !session_->has_unsent()) state_ = State::kEnded;
  return Move::kStuck;
}

// Many small records go to the user in one piece. True if there may be more.
bool Link::fill_plain() {
  size_t size = 0;
  Session::Step step = Session::Step::kDone;
  while (size < kPieceBytes && step == Session::Step::kDone) {
    size_t n = 0;
    step = session_->read(piece() + size, kPieceBytes - size, &n);
    if (step == Session::Step::kDone) size += n;
  }
  has_received_ |= size > 0;
  if (step == Session::Step::kWait) tls_readable_ = false;
  if (step == Session::Step::kEnd) tls_over_ = true;
  if (size > 0 && !send_plain(piece(), size)) return false;
  if (step == Session::Step::kFailed) {
    // Broken: the user hears of it once it has read what came before.
    fail(session_->error());
    return false;
  }
  // What reading had to answer, such as new keys.
  if (session_->has_unsent() && session_->flush() == Session::Step::kFailed) state_ = State::kEnded;
  return step != Session::Step::kWait && to_plain_.empty();
}

bool Link::send_plain(const char* bytes, size_t size) {
  size_t sent = 0;
  while (sent < size) {
    const ssize_t n = ::send(plain_, bytes + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) {
      sent += static_cast<size_t>(n);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      to_plain_.assign(bytes + sent, size - sent);
      return true;
    } else if (errno != EINTR) {
      plain_hung_up_ = true;
      plain_readable_ = true;
      return false;
    }
  }
  return true;
}

// From the user to the connection.
Link::Move Link::move_out() {
  const Session::Step flushed = session_->flush();
  if (flushed == Session::Step::kFailed) state_ = State::kEnded;
  if (flushed != Session::Step::kDone) return Move::kStuck;
  if (plain_over_) {
    plain_is_over();
    return Move::kStuck;
  }
  if (!plain_readable_) return Move::kStuck;
  const ssize_t n = ::recv(plain_, piece(), kPieceBytes, MSG_DONTWAIT);
  if (n < 0 && errno == EINTR) return Move::kMore;
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    plain_readable_ = false;
    return Move::kStuck;
  }
  if (n <= 0) {
    plain_over_ = true;
    return Move::kMore;
  }
  if (!session_->write({piece(), static_cast<size_t>(n)}) ||
      session_->flush() == Session::Step::kFailed) {
    state_ = State::kEnded;
    return Move::kStuck;
  }
  if (static_cast<size_t>(n) < kPieceBytes && !plain_ended_) plain_readable_ = false;
  return plain_readable_ ? Move::kMore : Move::kStuck;
}

// All that the user has sent has left, and so does the end.
void Link::plain_is_over() {
  if (!told_tls_) {
    told_tls_ = true;
    session_->write_end();
    if (session_->flush() == Session::Step::kFailed) state_ = State::kEnded;
  }
  if (session_->has_unsent()) return;
  ::shutdown(session_->fd(), SHUT_WR);
  if (tls_over_ && (told_plain_ || plain_hung_up_)) state_ = State::kEnded;
  // An end with bytes unread would reset the connection and take the last answers with it.
  else if (plain_hung_up_)
    state_ = State::kLinger;
  if (state_ == State::kLinger) discard_rest();
}

void Link::discard_rest() {
  ssize_t n;
  do {
    n = ::recv(session_->fd(), piece(), kPieceBytes, MSG_DONTWAIT);
  } while (n > 0 || (n < 0 && errno == EINTR));
  if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) state_ = State::kEnded;
}

}  // namespace mortise::tls
