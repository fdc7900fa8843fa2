#include "plugins/transport_common/loop.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <utility>
#include <vector>

#include "plugins/transport_common/loop_impl.h"

namespace mortise::transport_common {
namespace {

namespace asio = boost::asio;
using Error = boost::system::error_code;

struct Held {
  bool holding = false;
  std::vector<Completion*> completions;
};
thread_local Held t_held;

int family_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  return getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 ? address.ss_family
                                                                            : AF_INET;
}

}  // namespace

Loop::Loop() : impl_(std::make_unique<Impl>()) {}
Loop::~Loop() = default;

void Loop::run() {
  impl_->thread = std::this_thread::get_id();
  impl_->io.run();
}

void Loop::finish() { impl_->work.reset(); }

bool Loop::on_thread() const { return impl_->thread == std::this_thread::get_id(); }

void Loop::post(std::function<void()> work) { asio::post(impl_->io, std::move(work)); }

void Loop::deliver(Completion* completion) { deliver_list(completion, completion); }

void Loop::deliver_list(Completion* first, Completion* last) {
  last->next_ = nullptr;
  {
    std::lock_guard lock(mutex_);
    (last_ == nullptr ? first_ : last_->next_) = first;
    last_ = last;
    if (std::exchange(scheduled_, true)) return;
  }
  asio::post(impl_->io, [this] { complete_all(); });
}

void Loop::complete_all() {
  Completion* list;
  {
    std::lock_guard lock(mutex_);
    list = std::exchange(first_, nullptr);
    last_ = nullptr;
    scheduled_ = false;
  }
  while (list != nullptr) std::exchange(list, list->next_)->complete();
}

void HeldCompletions::begin() { t_held.holding = true; }

bool HeldCompletions::put(Loop& loop, Completion* completion) {
  if (!t_held.holding) return false;
  completion->loop_ = &loop;
  t_held.completions.push_back(completion);
  return true;
}

void HeldCompletions::end() {
  t_held.holding = false;
  std::vector<Completion*>& all = t_held.completions;
  // There are few loops: a pass for each.
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i] == nullptr) continue;
    Loop* const loop = all[i]->loop_;
    Completion* const first = all[i];
    Completion* last = first;
    for (size_t k = i + 1; k < all.size(); ++k) {
      if (all[k] == nullptr || all[k]->loop_ != loop) continue;
      last->next_ = all[k];
      last = std::exchange(all[k], nullptr);
    }
    loop->deliver_list(first, last);
  }
  all.clear();
}

struct Timer::Impl {
  explicit Impl(asio::io_context& io) : timer(io) {}
  asio::steady_timer timer;
  // The number of the start that counts. The library does not take back a task whose time has come
  // and that waits behind others of the loop.
  const std::shared_ptr<uint64_t> current = std::make_shared<uint64_t>(0);
};

Timer::Timer(Loop& loop) : impl_(std::make_unique<Impl>(loop.impl().io)) {}
Timer::~Timer() { ++*impl_->current; }

void Timer::start(std::chrono::nanoseconds delay, std::function<void()> task) {
  impl_->timer.expires_after(delay);
  impl_->timer.async_wait([task = std::move(task), current = impl_->current,
                           number = ++*impl_->current](const Error& error) {
    if (!error && *current == number) task();
  });
}

void Timer::cancel() {
  ++*impl_->current;
  impl_->timer.cancel();
}

struct Socket::Impl {
  explicit Impl(asio::io_context& io) : socket(io) {}
  asio::generic::stream_protocol::socket socket;
};

Socket::Socket(Loop& loop, int fd, SocketOwner& owner)
    : owner_(owner), impl_(std::make_unique<Impl>(loop.impl().io)) {
  Error error;
  impl_->socket.assign(asio::generic::stream_protocol(family_of(fd), 0), fd, error);
  if (error) ::close(fd);
}

Socket::~Socket() = default;

bool Socket::open() const { return impl_->socket.is_open(); }

void Socket::read(char* to, size_t size) {
  impl_->socket.async_read_some(asio::buffer(to, size), [this, owner = owner_.shared_from_this()](
                                                            const Error& error, size_t bytes) {
    if (open()) owner->on_read(error ? 0 : bytes);
  });
}

void Socket::wait_writable() {
  impl_->socket.async_wait(asio::socket_base::wait_write,
                           [this, owner = owner_.shared_from_this()](const Error&) {
                             if (open()) owner->on_writable();
                           });
}

int Socket::fd() const { return impl_->socket.native_handle(); }

ssize_t send_pieces(int fd, const iovec* pieces, size_t count) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces);
  message.msg_iovlen = count;
  for (;;) {
    const ssize_t sent = ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) return sent;
    if (errno == EINTR) continue;
    return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
  }
}

void Socket::shutdown_send() {
  Error ignored;
  impl_->socket.shutdown(asio::socket_base::shutdown_send, ignored);
}

void Socket::close() {
  Error ignored;
  impl_->socket.close(ignored);
}

int Socket::release() {
  Error error;
  const int fd = impl_->socket.release(error);
  return error ? -1 : fd;
}

}  // namespace mortise::transport_common
