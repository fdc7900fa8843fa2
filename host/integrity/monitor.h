// Runs the checks of this folder, each on a thread of its own, which wakes up now and then. A
// member that is alone in its cluster has nobody to be compared with, and its checks do nothing.
//
// The running hashes are compared by the leader. If the leader cannot do that, because it is an
// etcd, each of the others does it; alarms that come twice change nothing.
//
// Made by host/server. check_at_start() comes before start(); stop() ends all waiting and returns
// when no check runs any more.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "host/integrity/apply_hash.h"
#include "host/integrity/kv_checks.h"

namespace mortise::integrity {

struct MonitorOptions {
  uint64_t local_id = 0;
  uint64_t cluster_id = 0;
  std::chrono::milliseconds request_timeout{7000};
  // 0: never.
  std::chrono::nanoseconds apply_hash_interval{0};
  std::chrono::nanoseconds newest_interval{0};
  std::chrono::nanoseconds compactions_interval{0};
  peer::HttpClient* client = nullptr;  // Outlives the monitor.
  const apply::EffectHash* effects = nullptr;
  std::function<std::vector<Peer>()> peers;  // All other members.
  std::function<uint64_t()> leader;
  HashAt hash_at;
  std::function<std::vector<KvHash>()> past_hashes;
  // Calls done() once a read sees every acknowledged write, on any thread.
  std::function<void(std::function<void(const RpcStatus&)> done)> when_linearizable;
  std::function<bool(uint64_t member_id)> is_raised;
  std::function<void(uint64_t member_id)> raise;
  LogHook log;
};

class Monitor {
 public:
  explicit Monitor(MonitorOptions options);
  ~Monitor() { stop(); }

  Status check_at_start() { return kv_checks_.check_at_start(); }
  void start();
  void stop();

 private:
  bool leads() const { return options_.leader() == options_.local_id; }
  KvChecksOptions kv_options();
  ApplyHashCheckOptions apply_hash_options();
  std::vector<PeerHash> ask_hashes(int64_t revision);
  RpcStatus confirm_linearizable();
  void compare_apply_hashes();
  void compare_newest();
  void compare_compactions();
  void run_every(std::chrono::nanoseconds interval, void (Monitor::*check)());

  const MonitorOptions options_;
  Asking asking_;
  KvChecks kv_checks_;
  ApplyHashCheck apply_hash_check_;
  // The apply hash thread's: the leader that was asked last, and whether it compares hashes.
  uint64_t asked_leader_ = 0;
  bool leader_compares_ = true;
  int rounds_to_next_question_ = 0;

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;  // Guarded by mutex_.
  std::vector<std::thread> threads_;
};

}  // namespace mortise::integrity
