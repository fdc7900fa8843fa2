#include "host/integrity/monitor.h"

#include <algorithm>
#include <future>

namespace mortise::integrity {
namespace {

// A member's software does not change often, but it does.
constexpr int kRoundsBetweenQuestions = 10;

}  // namespace

Monitor::Monitor(MonitorOptions options)
    : options_(std::move(options)),
      asking_(options_.client, options_.cluster_id),
      kv_checks_(kv_options()),
      apply_hash_check_(apply_hash_options()) {}

KvChecksOptions Monitor::kv_options() {
  KvChecksOptions options;
  options.local_id = options_.local_id;
  options.request_timeout = options_.request_timeout;
  options.hash_at = options_.hash_at;
  options.ask_peers = [this](int64_t revision) { return ask_hashes(revision); };
  options.past_hashes = options_.past_hashes;
  options.confirm_linearizable = [this] { return confirm_linearizable(); };
  options.is_raised = options_.is_raised;
  options.raise = options_.raise;
  options.log = options_.log;
  return options;
}

ApplyHashCheckOptions Monitor::apply_hash_options() {
  ApplyHashCheckOptions options;
  options.local_id = options_.local_id;
  options.effects = options_.effects;
  options.peers = options_.peers;
  options.ask_all = [this](const std::vector<Peer>& peers, const std::string& path) {
    Asking::Question question;
    question.path = path;
    question.time_limit = kApplyHashTimeLimit;
    return asking_.ask_all(peers, question);
  };
  options.is_raised = options_.is_raised;
  options.raise = options_.raise;
  options.log = options_.log;
  return options;
}

std::vector<PeerHash> Monitor::ask_hashes(int64_t revision) {
  std::vector<Peer> peers = options_.peers();
  Asking::Question question;
  question.path = kHashKvPath;
  question.body = hash_kv_request(revision);
  question.time_limit = options_.request_timeout;
  auto answers = asking_.ask_all(peers, question);
  std::vector<PeerHash> hashes;
  for (size_t i = 0; i < peers.size(); ++i) hashes.push_back(read_hash_kv(peers[i], answers[i]));
  return hashes;
}

RpcStatus Monitor::confirm_linearizable() {
  auto confirmed = std::make_shared<std::promise<RpcStatus>>();
  auto result = confirmed->get_future();
  options_.when_linearizable(
      [confirmed](const RpcStatus& status) { confirmed->set_value(status); });
  while (result.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready) {
    if (asking_.stopped()) return rpc_errors::kStopped;
  }
  return result.get();
}

void Monitor::compare_apply_hashes() {
  uint64_t leader = options_.leader();
  if (leader == 0) return;
  if (leader == options_.local_id) {
    apply_hash_check_.round();
    return;
  }
  if (leader != asked_leader_ || --rounds_to_next_question_ <= 0) {
    auto peers = options_.peers();
    auto found = std::find_if(peers.begin(), peers.end(),
                              [&](const Peer& peer) { return peer.id == leader; });
    if (found == peers.end()) return;
    leader_compares_ = apply_hash_check_.knows_question(*found);
    asked_leader_ = leader;
    rounds_to_next_question_ = kRoundsBetweenQuestions;
  }
  if (!leader_compares_) apply_hash_check_.round();
}

void Monitor::compare_newest() {
  if (!leads() || options_.peers().empty()) return;
  Status status = kv_checks_.check_newest();
  if (!status.ok() && !asking_.stopped()) {
    options_.log("warn", "failed to check hash KV", {{"error", status.message()}});
  }
}

void Monitor::compare_compactions() {
  if (leads() && !options_.peers().empty()) kv_checks_.check_compactions();
}

void Monitor::run_every(std::chrono::nanoseconds interval, void (Monitor::*check)()) {
  if (interval.count() <= 0) return;
  threads_.emplace_back([this, interval, check] {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      if (wake_.wait_for(lock, interval, [&] { return stopping_; })) return;
      lock.unlock();
      (this->*check)();
      lock.lock();
    }
  });
}

void Monitor::start() {
  run_every(options_.apply_hash_interval, &Monitor::compare_apply_hashes);
  run_every(options_.newest_interval, &Monitor::compare_newest);
  run_every(options_.compactions_interval, &Monitor::compare_compactions);
}

void Monitor::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  asking_.stop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace mortise::integrity
