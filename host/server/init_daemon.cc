// What a member tells the program that started it, and how that one sees that it works.
#include "host/server/server.h"

namespace mortise::server {
namespace {

// Of the raft thread; ticks come every heartbeat.
constexpr int kTicksMissed = 3;

}  // namespace

void Server::tell_ready() {
  log_->info("notifying init daemon");
  const std::string socket = notify_socket();
  if (Status told = notify_systemd(socket, "READY=1"); !told.ok()) {
    log_->write(Level::kError, "failed to notify systemd for readiness",
                {{"error", told.message()}});
  } else {
    log_->info("successfully notified init daemon");
  }
  const auto limit = watchdog_limit();
  if (socket.empty() || !limit) return;
  log_->info("feeding the watchdog of systemd", {{"limit", duration_text(*limit)}});
  watchdog_ = std::make_unique<Watchdog>(
      socket, *limit, [this, limit = *limit] { return makes_progress(limit / 2); });
}

void Server::tell_stopping() {
  watchdog_.reset();
  (void)notify_systemd(notify_socket(), "STOPPING=1").ok();
}

// The raft thread ticks, and the apply thread has done what it was asked the last time.
bool Server::makes_progress(std::chrono::nanoseconds silence_max) {
  using Clock = Leadership::Clock;
  const Clock::time_point tick{Clock::duration(last_tick_.load(std::memory_order_relaxed))};
  const auto silence_allowed =
      silence_max + kTicksMissed * std::chrono::nanoseconds(config_.heartbeat_interval);
  if (Clock::now() - tick > silence_allowed) return false;
  if (apply_asked_->load(std::memory_order_acquire)) return false;
  apply_asked_->store(true, std::memory_order_release);
  const bool taken = apply_loop_->run_between_commits(
      [asked = apply_asked_] { asked->store(false, std::memory_order_release); });
  if (!taken) apply_asked_->store(false, std::memory_order_release);
  return true;
}

}  // namespace mortise::server
