// A loop, its thread and the connections on it.
#pragma once

#include <chrono>
#include <thread>
#include <unordered_set>

#include "plugins/transport_common/loop.h"
#include "plugins/transport_common/output.h"

namespace mortise::transport_common {

using Clock = std::chrono::steady_clock;

// What a worker keeps an eye on. On its loop.
class Watched {
 public:
  // Every second or so: whoever is too slow is closed.
  virtual void sweep(Clock::time_point now) = 0;
  // No request begins any more; clients are to go elsewhere.
  virtual void begin_drain() = 0;
  // The grace is over: calls and streams are given up.
  virtual void give_up() = 0;
  virtual void close() = 0;

 protected:
  ~Watched() = default;
};

class Worker {
 public:
  Worker(const char* thread_name, std::chrono::milliseconds sweep_interval);
  virtual ~Worker();
  void start();
  // Closes what there is; returns when the thread has ended. A class that has more than this one
  // calls it in its destructor.
  void stop();

  // Any thread.
  void begin_drain();  // These two return when it has been done.
  void give_up();
  void close_all();

  // On the loop.
  void add(Watched* watched) { watched_.insert(watched); }
  void remove(Watched* watched) { watched_.erase(watched); }
  // As of the last look; close enough for limits of seconds.
  Clock::time_point now() const { return now_; }
  void look_at_the_clock() { now_ = Clock::now(); }

  // For half of the shortest of some limits.
  static std::chrono::milliseconds sweep_interval(std::chrono::milliseconds shortest);

  Loop loop;
  Output::Spare spare;

 protected:
  virtual void on_stop() {}  // All are closed; nothing else may be under way.

 private:
  void sweep();
  template <class Function>
  void for_all(Function&& function);
  template <class Function>
  void for_all_and_wait(Function function);

  const char* const thread_name_;
  const std::chrono::milliseconds sweep_interval_;
  std::unordered_set<Watched*> watched_;
  Timer sweep_timer_;
  bool stopping_ = false;
  Clock::time_point now_ = Clock::now();
  std::thread thread_;
};

}  // namespace mortise::transport_common
