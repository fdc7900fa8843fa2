#include "tests/lib/cluster.h"

#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <thread>

namespace mortise::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kProbeBound{500};
constexpr milliseconds kReadBound{2000};
constexpr milliseconds kChangeBound{10'000};
constexpr milliseconds kPoll{10};
constexpr size_t kLogTailBytes = 3000;

grpc::Status linearizable_read(Client* client, int64_t* revision) {
  etcdserverpb::RangeRequest request;
  request.set_key("nothing");
  etcdserverpb::RangeResponse response;
  grpc::Status status =
      client->call(client->kv(), &etcdserverpb::KV::Stub::Range, request, &response, kReadBound);
  *revision = response.header().revision();
  return status;
}

}  // namespace

std::vector<Target> cluster_targets(const std::string& names) {
  if (names == "mixed") return cluster_targets("rocksdb,lmdb,lmdb");
  if (names == "etcd") return {etcd_target(), etcd_target(), etcd_target()};
  std::vector<Target> out;
  for (size_t at = 0; at <= names.size();) {
    size_t end = std::min(names.find(',', at), names.size());
    std::string name = names.substr(at, end - at);
    out.push_back(name.starts_with('/') ? etcd_target(name) : mortise_target(name));
    at = end + 1;
  }
  return out;
}

Cluster::Cluster(const std::vector<Target>& targets, ClusterOptions options)
    : options_(std::move(options)) {
  for (const Target& target : targets) make_node(target);
  for (auto& node : nodes_) node->options().initial_cluster = initial_cluster();
}

void Cluster::make_node(const Target& target) {
  NodeOptions options;
  options.name = "m" + std::to_string(nodes_.size());
  options.flags = options_.flags;
  options.in_memory = options_.in_memory;
  int port = free_port();
  options.peer_url = "http://127.0.0.1:" + std::to_string(port);
  options.advertised_peer_url = "http://127.0.0.1:" + std::to_string(network_.add_member(port));
  nodes_.push_back(std::make_unique<Node>(target, options));
  clients_.push_back(std::make_unique<Client>(nodes_.back()->endpoint()));
  paused_.push_back(false);
  removed_.push_back(false);
  ids_.push_back(0);
}

std::string Cluster::initial_cluster() const {
  std::string out;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (removed_[i]) continue;
    if (!out.empty()) out += ",";
    out += nodes_[i]->options().name + "=" + nodes_[i]->advertised_peer_url();
  }
  return out;
}

Status Cluster::launch(size_t member) {
  MORTISE_RETURN_IF_ERROR(nodes_[member]->launch());
  network_.set_process(member, nodes_[member]->pid());
  paused_[member] = false;
  return Status();
}

Status Cluster::start(size_t member) {
  MORTISE_RETURN_IF_ERROR(launch(member));
  return wait_serving(member);
}

Status Cluster::start() {
  for (size_t i = 0; i < size(); ++i) MORTISE_RETURN_IF_ERROR(launch(i));
  return wait_serving();
}

void Cluster::pause(size_t member) {
  nodes_[member]->signal(SIGSTOP);
  paused_[member] = true;
}

void Cluster::resume(size_t member) {
  nodes_[member]->signal(SIGCONT);
  paused_[member] = false;
}

void Cluster::wipe(size_t member) {
  MORTISE_CHECK(!nodes_[member]->running(), "a member that is wiped does not run");
  std::filesystem::remove_all(nodes_[member]->data_dir());
}

Result<size_t> Cluster::add(const Target& target, bool learner) {
  make_node(target);
  size_t added = size() - 1;
  etcdserverpb::MemberAddRequest request;
  request.add_peerurls(nodes_[added]->advertised_peer_url());
  request.set_islearner(learner);
  grpc::Status status(grpc::StatusCode::UNAVAILABLE, "no member serves");
  bool done = wait_for([&] {
    for (size_t i = 0; i < added; ++i) {
      if (removed_[i] || !runs(i)) continue;
      etcdserverpb::MemberAddResponse response;
      status = clients_[i]->call(clients_[i]->cluster(), &etcdserverpb::Cluster::Stub::MemberAdd,
                                 request, &response, kChangeBound);
      if (status.ok()) ids_[added] = response.member().id();
      // It was added by a call that was not answered.
      bool there = status.error_code() == grpc::StatusCode::FAILED_PRECONDITION &&
                   status.error_message().find("already exist") != std::string::npos;
      if (status.ok() || there) return true;
    }
    return false;
  });
  if (!done) return internal_error("member add: " + status_text(status));
  nodes_[added]->options().initial_cluster = initial_cluster();
  nodes_[added]->options().joins = true;
  MORTISE_RETURN_IF_ERROR(launch(added));
  return added;
}

Status Cluster::remove(size_t member) {
  etcdserverpb::MemberRemoveRequest request;
  request.set_id(id(member));
  grpc::Status status(grpc::StatusCode::UNAVAILABLE, "no member serves");
  bool done = wait_for([&] {
    for (size_t i = 0; i < size(); ++i) {
      if (i == member || removed_[i] || !runs(i)) continue;
      etcdserverpb::MemberRemoveResponse response;
      status = clients_[i]->call(clients_[i]->cluster(), &etcdserverpb::Cluster::Stub::MemberRemove,
                                 request, &response, kChangeBound);
      if (status.ok() || status.error_code() == grpc::StatusCode::NOT_FOUND) return true;
    }
    return false;
  });
  if (!done) return internal_error("member remove: " + status_text(status));
  removed_[member] = true;
  return Status();
}

std::optional<size_t> Cluster::leader() {
  uint64_t term = 0;
  std::optional<size_t> found;
  for (size_t i = 0; i < size(); ++i) {
    if (removed_[i] || !runs(i)) continue;
    etcdserverpb::StatusResponse response;
    if (!clients_[i]->status(&response, kProbeBound).ok()) continue;
    ids_[i] = response.header().member_id();
    if (response.raftterm() > term) {
      term = response.raftterm();
      found = std::nullopt;
    }
    if (response.raftterm() == term && response.leader() == ids_[i]) found = i;
  }
  return found;
}

Result<size_t> Cluster::wait_leader(std::optional<size_t> than) {
  std::optional<size_t> found;
  bool there = wait_for([&] {
    found = leader();
    return found.has_value() && found != than;
  });
  if (!there) return internal_error("no leader" + logs());
  return *found;
}

Status Cluster::wait_serving(size_t member) {
  auto deadline = steady_clock::now() + kClusterBound;
  for (;;) {
    int64_t revision = 0;
    grpc::Status status = linearizable_read(clients_[member].get(), &revision);
    if (status.ok() || wants_login(status)) return Status();
    if (steady_clock::now() >= deadline || !nodes_[member]->running()) {
      return internal_error("member " + std::to_string(member) +
                            " does not serve: " + status_text(status) + logs());
    }
    std::this_thread::sleep_for(kPoll);
  }
}

Status Cluster::wait_serving() {
  for (size_t i = 0; i < size(); ++i) {
    if (!removed_[i] && runs(i)) MORTISE_RETURN_IF_ERROR(wait_serving(i));
  }
  return Status();
}

Status Cluster::check_equal() {
  MORTISE_RETURN_IF_ERROR(wait_serving());
  int64_t revision = 0;
  std::string first;
  for (size_t i = 0; i < size(); ++i) {
    if (removed_[i] || !runs(i)) continue;
    // A linearizable read: the member has all that the ones before it had.
    int64_t now = 0;
    grpc::Status status;
    wait_for([&] { return (status = linearizable_read(clients_[i].get(), &now)).ok(); });
    if (revision == 0) revision = now;
    etcdserverpb::HashKVResponse hash;
    if (status.ok()) status = clients_[i]->hash_kv(revision, &hash);
    if (!status.ok()) {
      return internal_error("member " + std::to_string(i) + ": " + status_text(status) + logs());
    }
    std::string text =
        std::to_string(hash.hash()) + " compacted at " + std::to_string(hash.compact_revision());
    if (first.empty()) first = text;
    if (text != first) {
      return internal_error("HashKV at revision " + std::to_string(revision) + " is " + first +
                            ", but " + text + " on member " + std::to_string(i) + logs());
    }
  }
  return Status();
}

bool Cluster::wait_for(const std::function<bool()>& condition) {
  auto deadline = steady_clock::now() + kClusterBound;
  while (!condition()) {
    if (steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

std::string Cluster::endpoints() const {
  std::string out;
  for (const auto& node : nodes_) out += (out.empty() ? "" : ",") + node->endpoint();
  return out;
}

uint64_t Cluster::id(size_t member) {
  if (ids_[member] != 0) return ids_[member];
  etcdserverpb::StatusResponse response;
  if (clients_[member]->status(&response).ok()) ids_[member] = response.header().member_id();
  return ids_[member];
}

std::string Cluster::logs() const {
  std::string out;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    std::string text = nodes_[i]->log();
    if (text.size() > kLogTailBytes) text.erase(0, text.size() - kLogTailBytes);
    out += "\n--- end of the log of member " + std::to_string(i) + " (" + nodes_[i]->target().name +
           "):\n" + text;
  }
  return out;
}

}  // namespace mortise::testing
