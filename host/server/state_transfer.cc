// How a member's whole state comes from its leader's snapshot.
#include <filesystem>

#include "host/server/server.h"

namespace mortise::server {

void Server::make_state_transfer() {
  SnapshotReceiverOptions receiver;
  receiver.dir = &*data_dir_;
  receiver.cluster_id = cluster_->cluster_id();
  receiver.member_id = cluster_->local_id();
  receiver.open_store = [this](const std::string& path) {
    return store::Store::open(backend_table_, backend_host_->get(), path,
                              config_.backend.options_json);
  };
  receiver.enforces_auth = authority_ != nullptr;
  receiver.applied_index = [this] { return applied_index(); };
  receiver.saved = [this](std::chrono::nanoseconds took) {
    counters_.snapshots_saved.observe(took);
  };
  receiver.step = [this](raft::Message message) { return raft_->step(std::move(message)); };
  receiver.log = log_;
  snapshot_receiver_ = std::make_unique<SnapshotReceiver>(std::move(receiver));
}

// The log begins anew behind the snapshot, durably, so from here on there is no way back.
void Server::install_snapshot(raft::SnapshotRef snapshot) {
  const uint64_t index = snapshot->index;
  apply_loop_->install(index, [this, snapshot = std::move(snapshot)]() mutable {
    ++counters_.snapshot_applies;
    Status status = switch_store(snapshot);
    --counters_.snapshot_applies;
    snapshot.reset();
    return status;
  });
}

// On the apply thread. Whoever reads keeps the store that he has begun with; from here on all see
// the new one.
Status Server::switch_store(const raft::SnapshotRef& snapshot) {
  Fields fields{{"current-applied-index", applied_index()},
                {"incoming-leader-snapshot-index", snapshot->index},
                {"incoming-leader-snapshot-term", snapshot->term}};
  log_->info("applying snapshot", fields);
  auto next = snapshot_receiver_->take(snapshot);
  if (next == nullptr) return internal_error("raft took a snapshot that has no store");
  store_->switch_to(std::move(next));
  log_->info("applySnapshot: opened snapshot backend", {{"path", store_->path()}});
  MORTISE_RETURN_IF_ERROR(applier_->open());
  forget_removed_remotes();
  MORTISE_ASSIGN_OR_RETURN(auto reader, store_->reader());
  MORTISE_ASSIGN_OR_RETURN(int64_t finished, mvcc::finished_compaction(reader));
  const mvcc::State state = applier_->visible();
  revision_.store(state.revision, std::memory_order_release);
  compacted_.store(state.compacted, std::memory_order_relaxed);
  applied_index_.store(applier_->applied_index(), std::memory_order_release);
  read_rounds_->applied(applied_index());
  auth_changed({});
  hub_->compacted(state.compacted);
  keeper_->missed(state.revision);
  hub_->missed(state.revision);
  compaction_->restart(finished, state.compacted);
  store_size_.synced(store_size_.unflushed());
  refresh_store_size();
  log_->info("applied snapshot", fields);
  return Status();
}

// Stores that nobody reads any more go, which takes time.
void Server::reap_stores() {
  if (reaping_stores_.exchange(true)) return;
  Status posted = maintenance_.post([this] {
    snapshot_receiver_->remove_discarded();
    for (const std::string& path : store_->reap()) {
      std::error_code error;
      std::filesystem::remove_all(path, error);
      log_->info("removed the store from before the snapshot", {{"path", path}});
    }
    reaping_stores_ = false;
  });
  if (!posted.ok()) reaping_stores_ = false;
}

}  // namespace mortise::server
