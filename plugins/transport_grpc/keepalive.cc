#include "plugins/transport_grpc/keepalive.h"

#include <utility>

namespace mortise::transport_grpc {

bool PingGuard::on_ping(Clock::time_point now, bool has_calls) {
  if (min_time_ == std::chrono::nanoseconds::zero()) return true;
  const bool first = last_ == Clock::time_point{};
  const auto passed = now - std::exchange(last_, now);
  if (std::exchange(forgiven_, false)) {
    strikes_ = 0;
    return true;
  }
  const std::chrono::nanoseconds wanted = has_calls ? min_time_ : kMinTimeWithoutCalls;
  if (!first && passed < wanted) ++strikes_;
  return strikes_ <= kStrikesMax;
}

Keepalive::Action Keepalive::look(Clock::time_point now, Clock::time_point last_read) {
  constexpr std::chrono::nanoseconds kNone{0};
  if (interval_ == kNone || timeout_ == kNone) return Action::kNothing;
  if (pinged_ && last_read >= pinged_at_) pinged_ = false;
  if (pinged_) return now - pinged_at_ >= timeout_ ? Action::kClose : Action::kNothing;
  if (now - last_read < interval_) return Action::kNothing;
  pinged_ = true;
  pinged_at_ = now;
  return Action::kPing;
}

}  // namespace mortise::transport_grpc
