// What a member does about the membership of its cluster: it follows the version that all members
// have, and leaves when it is removed.
#include <signal.h>
#include <unistd.h>

#include "host/server/force_new_cluster.h"
#include "host/server/promise_waiter.h"
#include "host/server/server.h"

namespace mortise::server {
namespace {

// So that the others, and who asked for it, hear that it is done before this member is gone.
constexpr std::chrono::seconds kRemovalDelay{1};

std::optional<membership::Version> version_of(const std::string& text) {
  return membership::parse_version(text);
}

}  // namespace

RpcStatus Server::propose_membership_and_wait(raft::MembershipChange change) {
  std::promise<RpcStatus> promise;
  auto done = promise.get_future();
  propose_membership(std::move(change), std::make_unique<PromiseWaiter>(std::move(promise)));
  return done.get();
}

void Server::make_version_monitor() {
  VersionMonitorHooks hooks;
  hooks.leads = [this] { return raft_->is_leader() && !shutting_down_; };
  hooks.servers = [this] { return server_versions(); };
  hooks.cluster_version = [this] { return version_of(cluster_->version()); };
  hooks.downgrade_target = [this] { return version_of(cluster_->downgrade_target()); };
  hooks.set_cluster_version = [this](membership::Version version) {
    set_cluster_version(version.text());
  };
  hooks.end_downgrade = [this] {
    log_->info("the cluster has been downgraded",
               {{"cluster-version", cluster_->downgrade_target()}});
    std::string request;
    wire::append_varint_field(&request, 1, 0);
    RpcStatus status = propose_and_wait(wire::kRaftDowngradeInfoSet, request);
    if (!status.ok()) log_->warn("failed to cancel downgrade", {{"error", status.message()}});
  };
  version_monitor_ =
      std::make_unique<VersionMonitor>(std::move(hooks), config_.downgrade_check_time);
}

std::vector<std::optional<membership::Version>> Server::server_versions() {
  std::vector<std::optional<membership::Version>> versions;
  for (const membership::Member& member : cluster_->members()) {
    if (member.id == cluster_->local_id()) {
      versions.emplace_back(membership::kOwnVersion);
      continue;
    }
    auto answer = inquiry_->versions(member, request_timeout(config_));
    versions.push_back(answer ? version_of(answer->server) : std::nullopt);
  }
  return versions;
}

void Server::set_cluster_version(const std::string& version) {
  std::string before = cluster_->version();
  if (before.empty()) {
    log_->info("setting up initial cluster version using v3 API",
               {{"cluster-version", membership::shown_version(version)}});
  } else {
    log_->info(
        "updating cluster version using v3 API",
        {{"from", membership::shown_version(before)}, {"to", membership::shown_version(version)}});
  }
  std::string request;
  wire::append_bytes_field(&request, 1, version);
  RpcStatus status = propose_and_wait(wire::kRaftClusterVersionSet, request);
  if (status.ok()) {
    log_->info("cluster version is updated",
               {{"cluster-version", membership::shown_version(version)}});
  } else {
    log_->warn("failed to update cluster version", {{"error", status.message()}});
  }
}

// A cluster that has gone further than this version must not be served by it.
Status Server::check_cluster_version() const {
  auto version = version_of(cluster_->version());
  if (!version || *version <= membership::kOwnVersion) return Status();
  log_->warn("invalid downgrade; server version is lower than determined cluster version",
             {{"current-server-version", membership::kOwnVersion.short_text()},
              {"determined-cluster-version", version->short_text()}});
  return invalid("the cluster has version " + version->short_text() + ", this server only " +
                 membership::kOwnVersion.short_text());
}

void Server::removed(std::chrono::milliseconds delay) {
  std::lock_guard lock(chores_mutex_);
  if (!leaves_at_) leaves_at_ = std::chrono::steady_clock::now() + delay;
}

void Server::removed_self() { removed(kRemovalDelay); }

// The main thread ends the process as if a signal had come.
void Server::leave_if_removed() {
  {
    std::lock_guard lock(chores_mutex_);
    if (!leaves_at_ || is_removed_ || std::chrono::steady_clock::now() < *leaves_at_) return;
  }
  log_->warn("server error",
             {{"error", "the member has been permanently removed from the cluster"}});
  log_->warn("data-dir used by this member must be removed");
  is_removed_ = true;
  ::kill(::getpid(), kRemovedSignal);
}

// Appends what makes this member the only one, and takes everything in its log as committed.
Status Server::stand_alone(raft::MemoryLog* log, uint64_t applied,
                           const raft::ConfState& conf_state, raft::HardState* hard_state) {
  std::vector<raft::EntryRef> unapplied;
  uint64_t last = log->last_index();
  if (last > applied && !log->entries(applied + 1, last + 1, raft::kNoLimit, &unapplied)) {
    return corruption("the log lacks entries that the store needs");
  }
  auto entries =
      entries_to_stand_alone(cluster_->local_id(), conf_state, unapplied, last, hard_state->term);
  hard_state->commit = last + entries.size();
  log_->info("forcing restart member",
             {{"cluster-id", membership::hex_id(cluster_->cluster_id())},
              {"local-member-id", membership::hex_id(cluster_->local_id())},
              {"commit-index", hard_state->commit}});
  wal::BatchBuffer batch;
  std::vector<raft::EntryRef> appended;
  for (raft::Entry& entry : entries) {
    batch.add_entry({entry.term, entry.index, static_cast<uint8_t>(entry.type), entry.data});
    appended.push_back(std::make_shared<raft::Entry>(std::move(entry)));
  }
  batch.set_hard_state({hard_state->term, hard_state->vote, hard_state->commit});
  MORTISE_RETURN_IF_ERROR(wal_->append(batch));
  return log->append(appended);
}

}  // namespace mortise::server
