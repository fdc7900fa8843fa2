#include "host/peer/transport.h"

#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <unordered_map>
#include <unordered_set>

#include "host/peer/server_session.h"
#include "host/peer/snapshot_transfer.h"

namespace mortise::peer {
namespace {

constexpr size_t kInboxMessagesMax = 64 << 10;  // That the transport's thread has not taken.
constexpr size_t kSessionsMax = 1024;           // Connections of the peer port that are no streams.
constexpr size_t kRemotesMax = 64;              // Senders that are no members.

std::vector<std::string> split_urls(std::string_view text) {
  std::vector<std::string> out;
  for (size_t comma; !text.empty(); text.remove_prefix(comma)) {
    comma = std::min(text.find(','), text.size());
    out.emplace_back(text.substr(0, comma));
    if (comma < text.size()) ++comma;
  }
  return out;
}

Result<std::vector<config::Url>> parse_peer_urls(const std::vector<std::string>& texts) {
  auto urls = config::parse_urls(texts);
  if (urls.ok() && urls.value().empty()) return invalid("a member needs a peer URL");
  return urls;
}

}  // namespace

// All but the inbox belongs to the loop's thread.
struct Transport::Impl : PeerBook {
  Impl(Options options, Hooks hooks)
      : context(std::make_shared<Context>(std::move(options), std::move(hooks))) {}

  using Urls = std::vector<config::Url>;
  void post(std::function<void()> task) { context->loop.post(std::move(task)); }

  void add_peer(NodeId id, const Urls& urls);
  void update_peer(NodeId id, const Urls& urls);
  void remove_peer(NodeId id);
  void add_remote(NodeId id, const Urls& urls);
  void take_inbox();
  void start_snapshot(raft::Message message, std::unique_ptr<SnapshotSource> source);
  void serve(int fd, std::string remote);
  void close_all();
  Peer* find(NodeId id);

  std::shared_ptr<Peer> find_peer(NodeId id) override;
  void note_remote(NodeId id, std::string_view urls) override;
  bool run_transfer(std::function<void()> task) override;

  const ContextRef context;
  std::mutex mutex;
  std::vector<raft::Message> inbox;  // Guarded by mutex.
  std::unordered_map<NodeId, std::shared_ptr<Peer>> peers;
  std::unordered_map<NodeId, std::shared_ptr<Peer>> remotes;
  std::unordered_set<std::shared_ptr<ServerSession>> sessions;
  TransferThreads transfers;
  bool started = false;
  bool stopped = false;
};

void Transport::Impl::add_peer(NodeId id, const Urls& urls) {
  if (context->stopping) return;
  if (auto it = peers.find(id); it != peers.end()) {
    if (it->second->picker()->urls() != urls) update_peer(id, urls);
    return;
  }
  if (auto it = remotes.find(id); it != remotes.end()) {
    // A member that joins has just acknowledged the entry that makes this one known to it; without
    // that, the leader would send nothing before the next heartbeat, and promote no learner.
    it->second->finish();
    remotes.erase(it);
  }
  context->counters.add(id, true);
  auto peer = std::make_shared<Peer>(context, id, urls, Peer::Kind::kPeer);
  peers.emplace(id, peer);
  peer->start();
  context->log(LogLevel::kInfo, "added remote peer",
               {{"local-member-id", context->local_text},
                {"remote-peer-id", hex_text(id)},
                {"remote-peer-urls", config::url_texts(urls)}});
}

void Transport::Impl::update_peer(NodeId id, const Urls& urls) {
  auto it = peers.find(id);
  if (it == peers.end()) return;
  it->second->picker()->update(urls);
  context->log(LogLevel::kInfo, "updated remote peer",
               {{"local-member-id", context->local_text},
                {"updated-remote-peer-id", hex_text(id)},
                {"updated-remote-peer-urls", config::url_texts(urls)}});
}

void Transport::Impl::remove_peer(NodeId id) {
  LogFields line = {{"local-member-id", context->local_text},
                    {"removed-remote-peer-id", hex_text(id)}};
  if (auto it = remotes.find(id); it != remotes.end()) {
    it->second->stop();
    remotes.erase(it);
  }
  auto it = peers.find(id);
  if (it == peers.end()) {
    return context->log(LogLevel::kWarn, "skipped removing already removed peer", line);
  }
  it->second->stop();
  peers.erase(it);
  context->counters.retire(id);
  context->log(LogLevel::kInfo, "removed remote peer", line);
}

void Transport::Impl::add_remote(NodeId id, const Urls& urls) {
  if (context->stopping || id == context->options.local_id) return;
  if (peers.contains(id) || remotes.contains(id) || remotes.size() >= kRemotesMax) return;
  if (context->hooks.is_removed && context->hooks.is_removed(id)) return;
  context->counters.add(id, false);
  remotes.emplace(id, std::make_shared<Peer>(context, id, urls, Peer::Kind::kRemote));
  context->log(LogLevel::kInfo, "added new remote peer",
               {{"local-member-id", context->local_text},
                {"remote-peer-id", hex_text(id)},
                {"remote-peer-urls", config::url_texts(urls)}});
}

std::shared_ptr<Peer> Transport::Impl::find_peer(NodeId id) {
  auto it = peers.find(id);
  return it == peers.end() ? nullptr : it->second;
}

void Transport::Impl::note_remote(NodeId id, std::string_view texts) {
  if (peers.contains(id) || remotes.contains(id)) return;
  auto urls = parse_peer_urls(split_urls(texts));
  if (urls.ok()) add_remote(id, urls.value());
}

bool Transport::Impl::run_transfer(std::function<void()> task) {
  return !context->stopping && transfers.run(std::move(task));
}

Peer* Transport::Impl::find(NodeId id) {
  if (auto it = peers.find(id); it != peers.end()) return it->second.get();
  if (auto it = remotes.find(id); it != remotes.end()) return it->second.get();
  return nullptr;
}

void Transport::Impl::take_inbox() {
  std::vector<raft::Message> messages;
  {
    std::lock_guard lock(mutex);
    messages.swap(inbox);
  }
  for (auto& message : messages) {
    if (Peer* peer = find(message.to)) peer->send(std::move(message));
  }
  for (auto& [id, peer] : peers) peer->flush();
}

void Transport::Impl::start_snapshot(raft::Message message,
                                     std::unique_ptr<SnapshotSource> source) {
  const NodeId to = message.to;
  auto peer = find_peer(to);
  if (peer && message.snapshot) {
    auto outgoing = std::make_shared<OutgoingSnapshot>();
    outgoing->context = context;
    outgoing->picker = peer->picker();
    outgoing->status = peer->status();
    outgoing->message = std::move(message);
    outgoing->source = std::move(source);
    if (run_transfer([outgoing] { peer::send_snapshot(std::move(*outgoing)); })) return;
  }
  if (context->hooks.snapshot_sent) context->hooks.snapshot_sent(to, false);
}

void Transport::Impl::serve(int fd, std::string remote) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (context->stopping || sessions.size() >= kSessionsMax ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    ::close(fd);
    return;
  }
  auto connection = std::make_shared<Connection>(&context->loop, std::move(remote));
  ErrorCode error;
  connection->socket().assign(asio::generic::stream_protocol(address.ss_family, 0), fd, error);
  if (error) {
    ::close(fd);
    return;
  }
  context->loop.watch(connection);
  auto slot = std::make_shared<std::weak_ptr<ServerSession>>();
  auto session = std::make_shared<ServerSession>(context, this, connection, [this, slot] {
    if (auto ended = slot->lock()) sessions.erase(ended);
  });
  *slot = session;
  sessions.insert(session);
  session->start();
}

void Transport::Impl::close_all() {
  for (auto& [id, peer] : peers) peer->stop();
  for (auto& [id, remote] : remotes) remote->stop();
  for (auto& session : sessions) session->close();
  peers.clear();
  remotes.clear();
  sessions.clear();
  context->loop.abort_connections();
}

Transport::Transport(Options options, Hooks hooks)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(hooks))) {}

Transport::~Transport() { stop(); }

void Transport::start() {
  impl_->started = true;
  impl_->context->loop.start();
}

void Transport::stop() {
  if (std::exchange(impl_->stopped, true)) return;
  impl_->context->stopping = true;
  if (impl_->started) {
    std::promise<void> closed;
    impl_->post([&] {
      impl_->close_all();
      closed.set_value();
    });
    closed.get_future().wait();
    impl_->transfers.join_all();
  }
  impl_->context->loop.stop();
}

void Transport::send(std::vector<raft::Message> messages) {
  std::vector<raft::Message> dropped;
  bool was_empty;
  {
    std::lock_guard lock(impl_->mutex);
    was_empty = impl_->inbox.empty();
    if (was_empty && messages.size() <= kInboxMessagesMax) {
      impl_->inbox.swap(messages);
    } else {
      for (auto& message : messages) {
        auto& to = impl_->inbox.size() < kInboxMessagesMax ? impl_->inbox : dropped;
        to.push_back(std::move(message));
      }
    }
    if (impl_->inbox.empty()) return;
  }
  for (const auto& message : dropped) impl_->context->report_unreachable(message.to);
  if (was_empty) impl_->post([impl = impl_.get()] { impl->take_inbox(); });
}

void Transport::send_snapshot(raft::Message message, std::unique_ptr<SnapshotSource> source) {
  auto task = [impl = impl_.get(), message = std::move(message),
               source = std::make_shared<std::unique_ptr<SnapshotSource>>(std::move(source))] {
    impl->start_snapshot(message, std::move(*source));
  };
  impl_->post(std::move(task));
}

Status Transport::add_peer(NodeId id, const std::vector<std::string>& texts) {
  MORTISE_ASSIGN_OR_RETURN(auto urls, parse_peer_urls(texts));
  impl_->post([impl = impl_.get(), id, urls = std::move(urls)] { impl->add_peer(id, urls); });
  return {};
}

Status Transport::update_peer(NodeId id, const std::vector<std::string>& texts) {
  MORTISE_ASSIGN_OR_RETURN(auto urls, parse_peer_urls(texts));
  impl_->post([impl = impl_.get(), id, urls = std::move(urls)] { impl->update_peer(id, urls); });
  return {};
}

void Transport::remove_peer(NodeId id) {
  impl_->post([impl = impl_.get(), id] { impl->remove_peer(id); });
}

std::optional<Transport::Clock::time_point> Transport::active_since(NodeId id) const {
  return impl_->context->counters.active_since(id);
}

std::vector<PeerCounters> Transport::counters() const { return impl_->context->counters.all(); }

void Transport::adopt(int fd, std::string remote) {
  // Closed if the task is dropped, since the transport stops.
  std::shared_ptr<int> guard(new int(fd), [](int* left) {
    if (*left >= 0) ::close(*left);
    delete left;
  });
  impl_->post([impl = impl_.get(), guard = std::move(guard), remote = std::move(remote)]() mutable {
    impl->serve(std::exchange(*guard, -1), std::move(remote));
  });
}

}  // namespace mortise::peer
