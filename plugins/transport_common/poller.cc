#include "plugins/transport_common/poller.h"

#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <utility>

#include "plugins/transport_common/loop_impl.h"

namespace mortise::transport_common {

namespace asio = boost::asio;
using Error = boost::system::error_code;

struct Poller::Impl {
  explicit Impl(asio::io_context& io) : descriptor(io) {}
  asio::posix::stream_descriptor descriptor;
};

Poller::Poller(Loop& loop, std::function<void()> gather)
    : impl_(std::make_unique<Impl>(loop.impl().io)),
      gather_(std::move(gather)),
      epoll_fd_(epoll_create1(EPOLL_CLOEXEC)) {}

Poller::~Poller() {
  if (!impl_->descriptor.is_open() && epoll_fd_ >= 0) ::close(epoll_fd_);
}

void Poller::start() {
  Error error;
  impl_->descriptor.assign(epoll_fd_, error);
  if (!error) wait();
}

void Poller::stop() {
  // A wait whose time has come is not cancelled any more.
  stopped_ = true;
  Error ignored;
  impl_->descriptor.cancel(ignored);
}

void Poller::wait() {
  if (stopped_) return;
  impl_->descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                               [this](const Error& error) {
                                 if (error || stopped_) return;
                                 tell_all();
                                 wait();
                               });
}

void Poller::tell_all() {
  const size_t waiting = std::exchange(waiting_, 0);
  if (gather_ && waiting >= kGatherWaitingMin && waiting <= kGatherWaitingMax) gather_();
  const int count = epoll_wait(epoll_fd_, events_, kEventsAtOnce, 0);
  count_ = count;
  for (told_ = 0; told_ < count_; ++told_) {
    const epoll_event& event = events_[told_];
    if (event.data.ptr == nullptr) continue;
    static_cast<Pollable*>(event.data.ptr)
        ->on_ready((event.events & EPOLLIN) != 0, (event.events & EPOLLOUT) != 0,
                   (event.events & (EPOLLHUP | EPOLLERR)) != 0);
  }
  count_ = 0;
}

bool Poller::control(int operation, int fd, Pollable* pollable, bool read, bool write) {
  epoll_event event{};
  if (read) event.events |= EPOLLIN;
  if (write) event.events |= EPOLLOUT;
  event.data.ptr = pollable;
  return epoll_ctl(epoll_fd_, operation, fd, &event) == 0;
}

bool Poller::add(int fd, Pollable* pollable, bool read, bool write) {
  return control(EPOLL_CTL_ADD, fd, pollable, read, write);
}

bool Poller::change(int fd, Pollable* pollable, bool read, bool write) {
  return control(EPOLL_CTL_MOD, fd, pollable, read, write);
}

void Poller::remove(int fd, Pollable* pollable) {
  epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
  for (int i = told_ + 1; i < count_; ++i) {
    if (events_[i].data.ptr == pollable) events_[i].data.ptr = nullptr;
  }
}

}  // namespace mortise::transport_common
