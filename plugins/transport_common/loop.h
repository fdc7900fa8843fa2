// A thread's event loop and what hangs on it: sockets, timers, news from other threads. The library
// that does the work is seen in few files, those that include loop_impl.h.
//
// Everything here belongs to the thread in run(), but for deliver() and post(), which are any
// thread's.
#pragma once

#include <sys/uio.h>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>

namespace mortise::transport_common {

class Loop;

// Work that another thread hands to a loop. Intrusive, so handing it over costs no memory.
class Completion {
 public:
  virtual void complete() = 0;  // On the loop. May destroy the object.

 protected:
  ~Completion() = default;

 private:
  friend class Loop;
  friend class HeldCompletions;
  Completion* next_ = nullptr;
  Loop* loop_ = nullptr;
};

class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void run();  // Until finish(), and nothing is under way.
  void finish();
  void post(std::function<void()> work);
  void deliver(Completion* completion);
  bool on_thread() const;

  struct Impl;  // loop_impl.h
  Impl& impl() { return *impl_; }

 private:
  friend class HeldCompletions;
  void deliver_list(Completion* first, Completion* last);
  void complete_all();

  std::unique_ptr<Impl> impl_;
  std::mutex mutex_;
  Completion* first_ = nullptr;  // Guarded by mutex_, as the next two.
  Completion* last_ = nullptr;
  bool scheduled_ = false;
};

// What a thread of the host completes between begin() and end() reaches the loops at end(), each
// loop's share at once.
class HeldCompletions {
 public:
  static void begin();
  static void end();
  // True if the calling thread holds what it completes.
  static bool put(Loop& loop, Completion* completion);
  // Either way.
  static void put_or_deliver(Loop& loop, Completion* completion) {
    if (!put(loop, completion)) loop.deliver(completion);
  }
};

class Timer {
 public:
  explicit Timer(Loop& loop);
  ~Timer();
  // Runs `task` once, unless the timer is cancelled, destroyed or started anew before.
  void start(std::chrono::nanoseconds delay, std::function<void()> task);
  void cancel();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// How much the socket took, maybe nothing; -1 if it is broken.
ssize_t send_pieces(int fd, const iovec* pieces, size_t count);

// Whose socket it is. Operations that are under way keep it alive.
class SocketOwner : public std::enable_shared_from_this<SocketOwner> {
 public:
  virtual ~SocketOwner() = default;
  virtual void on_read(size_t bytes) = 0;  // 0: the end, or a failure.
  virtual void on_writable() = 0;
};

// A connected stream socket. After close() no event comes.
class Socket {
 public:
  Socket(Loop& loop, int fd, SocketOwner& owner);  // The fd is the socket's.
  ~Socket();

  // on_read() follows, never from in here; one at a time. `to` must stay where it is.
  void read(char* to, size_t size);
  void wait_writable();  // on_writable() follows, one at a time.
  int fd() const;
  void shutdown_send();
  void close();
  bool open() const;
  // Gives the descriptor away, without a read or wait under way; -1 if that fails.
  int release();

 private:
  struct Impl;
  SocketOwner& owner_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mortise::transport_common
