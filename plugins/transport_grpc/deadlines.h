// The times at which calls have to be over, on one loop. Adding and removing cost no memory of
// their own and, as most calls end long before, no timer.
#pragma once

#include <chrono>
#include <cstddef>
#include <vector>

#include "plugins/transport_common/loop.h"
#include "plugins/transport_grpc/keepalive.h"

namespace mortise::transport_grpc {

class Deadlined {
 public:
  // It is time, and the deadline has been removed.
  virtual void on_deadline() = 0;

 protected:
  ~Deadlined() = default;

 private:
  friend class Deadlines;
  static constexpr size_t kNowhere = static_cast<size_t>(-1);
  Clock::time_point deadline_{};
  size_t place_ = kNowhere;
};

class Deadlines {
 public:
  explicit Deadlines(transport_common::Loop& loop) : timer_(loop) {}
  void add(Deadlined& item, Clock::time_point at);
  void remove(Deadlined& item);  // If it has one.
  void stop() { timer_.cancel(); }

 private:
  void place(Deadlined* item, size_t at);
  void rise(size_t at);
  void sink(size_t at);
  void arm();
  void expire();

  std::vector<Deadlined*> heap_;  // The earliest first.
  transport_common::Timer timer_;
  bool armed_ = false;
  Clock::time_point armed_for_{};
};

}  // namespace mortise::transport_grpc
