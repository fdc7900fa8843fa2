// Pings, both ways, as grpc-go's servers have them. Pure.
#pragma once

#include <chrono>
#include <cstdint>

namespace mortise::transport_grpc {

using Clock = std::chrono::steady_clock;

// Clients that ping too often: three times, with no answer in between, before the time has passed.
class PingGuard {
 public:
  // Between two pings of a client that has no call open.
  static constexpr std::chrono::hours kMinTimeWithoutCalls{2};
  static constexpr int kStrikesMax = 2;

  explicit PingGuard(std::chrono::nanoseconds min_time) : min_time_(min_time) {}  // 0: no limit.
  // False if it is one too many.
  bool on_ping(Clock::time_point now, bool has_calls);
  // Something of an answer was sent: it is forgotten what was before.
  void forgive() { forgiven_ = true; }

 private:
  const std::chrono::nanoseconds min_time_;
  Clock::time_point last_{};
  int strikes_ = 0;
  bool forgiven_ = false;
};

// The server's own pings on a connection that says nothing.
class Keepalive {
 public:
  enum class Action : uint8_t { kNothing, kPing, kClose };

  // If one of the two is zero there are no pings.
  Keepalive(std::chrono::nanoseconds interval, std::chrono::nanoseconds timeout)
      : interval_(interval), timeout_(timeout) {}
  // From time to time; last_read is when something came from the client.
  Action look(Clock::time_point now, Clock::time_point last_read);

 private:
  const std::chrono::nanoseconds interval_;
  const std::chrono::nanoseconds timeout_;
  bool pinged_ = false;
  Clock::time_point pinged_at_{};
};

}  // namespace mortise::transport_grpc
