// What a member does from time to time.
#include "host/server/server.h"

namespace mortise::server {
namespace {

constexpr std::chrono::milliseconds kChoresInterval{500};
// A log shorter than this has nothing to give back: segments go as a whole.
constexpr uint64_t kLogBytesBetweenReleases = 64 << 20;

}  // namespace

void Server::chores_loop() {
  leader_seen_ = apply::WaitList::Clock::now();
  std::unique_lock lock(chores_mutex_);
  while (!stopping_) {
    chores_wake_.wait_for(lock, kChoresInterval, [&] { return stopping_; });
    if (stopping_) return;
    lock.unlock();
    expire_leases();
    checkpoint_leases();
    expire_proposals();
    // Nobody else has to be asked.
    if (cluster_->members().size() == 1) version_monitor_->poke();
    leave_if_removed();
    refresh_store_size();
    maybe_release_log();
    reap_stores();
    stand_back_if_corrupt();
    watch_leader(apply::WaitList::Clock::now());
    lock.lock();
  }
}

// Streams cost more to open again than calls: they end only when there has been no leader for long.
void Server::watch_leader(apply::WaitList::Clock::time_point now) {
  constexpr int kElectionTimeouts = 3;
  if (leader() != raft::kNoNode) leader_seen_ = now;
  if (now - leader_seen_ < kElectionTimeouts * config_.election_timeout) return;
  leader_seen_ = now;
  service_->leader_lost();
}

void Server::refresh_store_size() {
  auto size = store_->size();
  if (size.ok()) store_size_.refresh(*size);
}

void Server::maybe_release_log() {
  uint64_t bytes = raft_->wal_counters().bytes_written.load(std::memory_order_relaxed);
  if (applied_index() < released_at_index_ + config_.snapshot_count) return;
  if (bytes < released_at_log_bytes_ + kLogBytesBetweenReleases) return;
  if (releasing_log_.exchange(true)) return;
  released_at_index_ = applied_index();
  released_at_log_bytes_ = bytes;
  Status posted = maintenance_.post([this] {
    log_->info("triggering snapshot", {{"local-member-applied-index", applied_index()}});
    auto synced = sync_store();
    if (!synced.ok()) fail("syncing the store failed", synced.status());
    raft_->release_log(*synced);
    log_->info("saved snapshot to disk", {{"snapshot-index", *synced}});
    releasing_log_ = false;
  });
  if (!posted.ok()) releasing_log_ = false;
}

}  // namespace mortise::server
