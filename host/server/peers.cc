// What a member has to do with the others: messages, connections, and what it tells them over HTTP.
#include <algorithm>

#include "host/server/peer_log.h"
#include "host/server/server.h"

namespace mortise::server {

peer::Hooks Server::peer_hooks() {
  peer::Hooks hooks;
  hooks.receive = [this](raft::Message message) { return raft_->step(std::move(message)); };
  hooks.unreachable = [this](raft::NodeId id) { raft_->report_unreachable(id); };
  hooks.snapshot_sent = [this](raft::NodeId id, bool ok) { raft_->report_snapshot(id, ok); };
  hooks.removed = [this] { removed(std::chrono::milliseconds(0)); };
  hooks.is_removed = [this](raft::NodeId id) { return cluster_->is_removed(id); };
  hooks.receive_snapshot = [this](raft::Message message, uint64_t bytes) {
    return snapshot_receiver_->receive(std::move(message), bytes);
  };
  hooks.handle = [this](const peer::HttpRequest& request, peer::Hooks::Respond respond) {
    peer_http_.handle(request, std::move(respond));
  };
  hooks.log = peer_log_hook(log_);
  return hooks;
}

// Before the members are read from the store, so that they are followed from the start.
void Server::make_peers() {
  peer::Options options;
  options.local_id = cluster_->local_id();
  options.cluster_id = cluster_->cluster_id();
  options.peer_urls = config::url_texts(config_.initial_advertise_peer_urls);
  options.server_version = api::kServerVersion;
  options.dialer = peer_dialer_;
  options.dial_limit = std::chrono::seconds(1) + config_.election_timeout;
  options.read_limit = std::chrono::ceil<std::chrono::milliseconds>(config_.raft_read_timeout);
  options.write_limit = std::chrono::ceil<std::chrono::milliseconds>(config_.raft_write_timeout);
  serve_peer_http();
  serve_peer_leases();
  serve_peer_hashes();
  make_snapshot_sender();
  serve_membership();
  peers_ = std::make_unique<peer::Transport>(std::move(options), peer_hooks());
  peers_->start();
  follow_members();
  // They send it the log, or the snapshot, that makes them known. Without streams until then, they
  // would take this member for dead and alive in turn: it answers their posts, but not their dials.
  for (const membership::Member& remote : remotes_) {
    check_address(remote, peers_->add_peer(remote.id, remote.peer_urls));
  }
}

// Those that went while this member waited for the snapshot that says so.
void Server::forget_removed_remotes() {
  for (const membership::Member& remote : std::exchange(remotes_, {})) {
    if (cluster_->is_removed(remote.id)) peers_->remove_peer(remote.id);
  }
}

void Server::serve_peer_http() {
  peer_http_.add("/version", [this](const peer::HttpRequest& request, PeerHttp::Respond respond) {
    respond(response_of(pages::version_page(request.method, versions())));
  });
}

// Streams go to the members that there are now, at the addresses that they have now.
void Server::follow_members() {
  membership::Observer observer;
  observer.added = [this](const membership::Member& member) {
    if (member.id != cluster_->local_id())
      check_address(member, peers_->add_peer(member.id, member.peer_urls));
  };
  observer.urls_updated = [this](const membership::Member& member) {
    if (member.id != cluster_->local_id())
      check_address(member, peers_->update_peer(member.id, member.peer_urls));
  };
  observer.removed = [this](uint64_t id) { peers_->remove_peer(id); };
  cluster_->observe(std::move(observer));
}

void Server::check_address(const membership::Member& member, const Status& status) {
  if (status.ok()) return;
  log_->warn("a member's address cannot be used",
             {{"remote-peer-id", membership::hex_id(member.id)}, {"error", status.message()}});
}

// A leader that is late with its heartbeats is about to lose its followers.
void Server::watch_heartbeats(const std::vector<raft::Message>& messages) {
  for (const raft::Message& message : messages) {
    if (message.type != raft::MessageType::kHeartbeat) continue;
    const auto now = Leadership::Clock::now();
    std::unique_lock lock(heartbeats_mutex_);
    auto& sent = heartbeats_sent_[message.to];
    const auto since = now - std::exchange(sent, now);
    lock.unlock();
    if (since == now.time_since_epoch() || since <= 2 * config_.heartbeat_interval) continue;
    counters_.late_heartbeats.add();
    log_->warn(
        "leader failed to send out heartbeat on time; took too long, leader is overloaded likely "
        "from slow disk",
        {{"to", membership::hex_id(message.to)},
         {"heartbeat-interval", duration_text(config_.heartbeat_interval)},
         {"expected-duration", duration_text(2 * config_.heartbeat_interval)},
         {"exceeded-duration", duration_text(since - 2 * config_.heartbeat_interval)}});
  }
}

void Server::send_messages(std::vector<raft::Message> messages) {
  watch_heartbeats(messages);
  auto is_snapshot = [](const raft::Message& m) { return m.type == raft::MessageType::kSnap; };
  if (std::ranges::any_of(messages, is_snapshot)) {
    for (const raft::Message& message : messages) {
      if (is_snapshot(message)) snapshot_sender_->send(message);
    }
    std::erase_if(messages, is_snapshot);
  }
  peers_->send(std::move(messages));
}

void Server::make_snapshot_sender() {
  SnapshotSenderOptions options;
  options.store = store_.get();
  options.storage_version = api::kStorageVersion;
  options.between_commits = [this](std::function<void()> task) {
    return between_commits(std::move(task));
  };
  options.run_step = [this](std::function<void()> task) { return run_snapshot(std::move(task)); };
  options.is_member = [this](raft::NodeId id) { return cluster_->member(id).has_value(); };
  options.send = [this](raft::Message message, std::unique_ptr<peer::SnapshotSource> source) {
    peers_->send_snapshot(std::move(message), std::move(source));
  };
  options.failed = [this](raft::NodeId id) { raft_->report_snapshot(id, false); };
  options.log = log_;
  snapshot_sender_ = std::make_unique<SnapshotSender>(std::move(options));
}

size_t Server::active_peers() const {
  size_t count = 0;
  for (uint64_t id : voting_members()) count += peers_->active_since(id) ? 1 : 0;
  return count;
}

bool Server::is_active_since(uint64_t id, Leadership::Clock::time_point start) const {
  auto since = peers_->active_since(id);
  return since && *since < start;
}

bool Server::is_quorum_active(Leadership::Clock::time_point start) const {
  std::vector<membership::Member> members = cluster_->members();
  auto active = std::ranges::count_if(members, [&](const membership::Member& member) {
    return member.id == cluster_->local_id() || is_active_since(member.id, start);
  });
  return static_cast<size_t>(active) >= members.size() / 2 + 1;
}

std::optional<uint64_t> Server::longest_active(const std::vector<uint64_t>& members) const {
  std::optional<uint64_t> longest;
  auto earliest = peer::Transport::Clock::time_point::max();
  for (uint64_t id : members) {
    auto since = peers_->active_since(id);
    if (!since || *since >= earliest) continue;
    longest = id;
    earliest = *since;
  }
  return longest;
}

}  // namespace mortise::server
