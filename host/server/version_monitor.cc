#include "host/server/version_monitor.h"

namespace mortise::server {
namespace {

constexpr std::chrono::seconds kInterval{4};

}  // namespace

void VersionMonitor::start() {
  thread_ = std::thread([this] { run(); });
}

void VersionMonitor::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void VersionMonitor::poke() {
  std::lock_guard lock(mutex_);
  poked_ = true;
  wake_.notify_one();
}

void VersionMonitor::run() {
  constexpr auto kNever = Clock::time_point::max();
  const bool ends_downgrades = downgrade_interval_.count() > 0;
  auto version_at = Clock::now() + kInterval;
  auto downgrade_at = ends_downgrades ? Clock::now() + downgrade_interval_ : kNever;
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait_until(lock, std::min(version_at, downgrade_at), [&] { return stopping_ || poked_; });
    if (stopping_) return;
    bool version_due = std::exchange(poked_, false) || Clock::now() >= version_at;
    lock.unlock();
    if (version_due) {
      update_cluster_version();
      version_at = Clock::now() + kInterval;
    }
    if (Clock::now() >= downgrade_at) {
      end_downgrade_if_reached();
      downgrade_at = Clock::now() + downgrade_interval_;
    }
    lock.lock();
  }
}

void VersionMonitor::update_cluster_version() {
  if (!hooks_.leads()) return;
  auto servers = hooks_.servers();
  auto next = membership::next_cluster_version(hooks_.cluster_version(), hooks_.downgrade_target(),
                                               servers);
  if (next) hooks_.set_cluster_version(*next);
}

void VersionMonitor::end_downgrade_if_reached() {
  auto target = hooks_.downgrade_target();
  if (!hooks_.leads() || !target) return;
  if (membership::has_reached(*target, hooks_.servers())) hooks_.end_downgrade();
}

}  // namespace mortise::server
