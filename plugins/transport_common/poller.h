// Many sockets of one loop, for readiness alone: whoever is ready reads and writes by itself. One
// look brings all that are ready, and an idle socket costs no memory here.
//
// Everything belongs to the loop's thread.
#pragma once

#include <sys/epoll.h>

#include <functional>
#include <memory>

#include "plugins/transport_common/loop.h"

namespace mortise::transport_common {

class Pollable {
 public:
  // As long as it is so, again and again. `broken`: nothing more can be sent, and what can be read
  // ends soon.
  virtual void on_ready(bool readable, bool writable, bool broken) = 0;

 protected:
  ~Pollable() = default;
};

class Poller {
 public:
  // A look that brought fewer requests that wait tells nothing about the next; after one with more
  // all are there.
  static constexpr size_t kGatherWaitingMin = 4;
  static constexpr size_t kGatherWaitingMax = 256;

  // `gather` may wait a moment before a look, so that it brings more; it is called if the last one
  // brought as many that wait.
  explicit Poller(Loop& loop, std::function<void()> gather = {});
  ~Poller();
  void start();
  void stop();  // Else the loop does not end.

  // False if the system has no room for it. The first is for one that is not there yet.
  bool add(int fd, Pollable* pollable, bool read, bool write);
  bool change(int fd, Pollable* pollable, bool read, bool write);
  // No event follows. Before the descriptor is closed.
  void remove(int fd, Pollable* pollable);
  // Who was told found a request that waits for the host now, and could as well do so a little
  // later.
  void count_waiting() { ++waiting_; }

 private:
  static constexpr int kEventsAtOnce = 128;

  bool control(int operation, int fd, Pollable* pollable, bool read, bool write);
  void wait();
  void tell_all();

  struct Impl;
  std::unique_ptr<Impl> impl_;
  const std::function<void()> gather_;
  size_t waiting_ = 0;  // Of the last look.
  const int epoll_fd_;
  epoll_event events_[kEventsAtOnce];
  int told_ = 0;  // Of events_, while they are being told.
  int count_ = 0;
  bool stopped_ = false;
};

}  // namespace mortise::transport_common
