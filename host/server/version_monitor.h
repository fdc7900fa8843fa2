// Looks after the cluster's version while this member leads: asks all members for theirs, every
// four seconds and when it has become leader, and proposes what follows from them. Ends a downgrade
// once all members run the version that it aims at.
//
// One thread, made by start(); the hooks are called on it and may wait. poke() is for any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "host/membership/versions.h"

namespace mortise::server {

struct VersionMonitorHooks {
  using Version = membership::Version;
  std::function<bool()> leads;
  // Of each member, this one included.
  std::function<std::vector<std::optional<Version>>()> servers;
  std::function<std::optional<Version>()> cluster_version;
  std::function<std::optional<Version>()> downgrade_target;
  std::function<void(Version)> set_cluster_version;
  std::function<void()> end_downgrade;
};

class VersionMonitor {
 public:
  // `downgrade_interval` zero: downgrades are ended by request only.
  VersionMonitor(VersionMonitorHooks hooks, std::chrono::nanoseconds downgrade_interval)
      : hooks_(std::move(hooks)), downgrade_interval_(downgrade_interval) {}
  ~VersionMonitor() { stop(); }

  void start();
  // Waits for a hook that is being called.
  void stop();
  void poke();

  // What the thread does each time; for tests.
  void update_cluster_version();
  void end_downgrade_if_reached();

 private:
  using Clock = std::chrono::steady_clock;
  void run();

  const VersionMonitorHooks hooks_;
  const std::chrono::nanoseconds downgrade_interval_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool poked_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace mortise::server
