// How a member is compared with the others, and what it does when it is the one that differs.
#include "host/mvcc/hash.h"
#include "host/server/server.h"

namespace mortise::server {
namespace {

using integrity::KvHash;

class NobodyWaits : public apply::Waiter {
 public:
  void complete(apply::ApplyResult) override {}
};

Fields fields_of(integrity::LogFields fields) {
  Fields out;
  for (auto& [name, value] : fields) {
    if (auto* number = std::get_if<int64_t>(&value)) {
      out.emplace_back(name, *number);
    } else {
      out.emplace_back(name, std::get<std::string>(value));
    }
  }
  return out;
}

KvHash kv_hash(const mvcc::PastHash& past, int64_t revision) {
  return {past.hash, past.compact_revision, past.revision, revision};
}

}  // namespace

// As HashKV answers it; reads all of the history, unless a compaction has left the hash.
Result<integrity::LocalHash> Server::hash_at(int64_t revision) {
  integrity::LocalHash out;
  auto past = past_hash(revision);
  if (revision != 0 && past) {
    out.hash = kv_hash(*past, this->revision());
    return out;
  }
  MORTISE_ASSIGN_OR_RETURN(auto view, mvcc::View::open(*store_));
  mvcc::HashKvResult result;
  const auto start = std::chrono::steady_clock::now();
  MORTISE_RETURN_IF_ERROR(mvcc::hash_kv(view, revision, &result));
  call_metrics_->revision_hashes.observe(std::chrono::steady_clock::now() - start);
  out.rpc = result.rpc;
  out.hash = {result.hash, result.compact_revision, result.hash_revision, view.state().revision};
  return out;
}

std::vector<integrity::Peer> Server::other_members() const {
  std::vector<integrity::Peer> peers;
  for (const membership::Member& member : cluster_->members()) {
    if (member.id != cluster_->local_id()) peers.push_back({member.id, member.peer_urls});
  }
  return peers;
}

void Server::raise_corrupt(uint64_t member_id) {
  std::string alarm;
  wire::append_varint_field(&alarm, 1, 1);  // ACTIVATE
  wire::append_varint_field(&alarm, 2, member_id);
  wire::append_varint_field(&alarm, 3, apply::kAlarmCorrupt);
  propose(wire::kRaftAlarm, alarm, {}, std::make_unique<NobodyWaits>());
}

void Server::make_integrity() {
  integrity::MonitorOptions options;
  options.local_id = cluster_->local_id();
  options.cluster_id = cluster_->cluster_id();
  options.request_timeout = request_timeout(config_);
  options.apply_hash_interval = config_.apply_hash_check_time;
  options.newest_interval = config_.corrupt_check_time;
  if (config_.feature_gates.at("CompactHashCheck")) {
    options.compactions_interval = config_.compact_hash_check_time;
  }
  options.client = peer_client_.get();
  options.effects = &applier_->effects();
  options.peers = [this] { return other_members(); };
  options.leader = [this] { return leader(); };
  options.hash_at = [this](int64_t revision) { return hash_at(revision); };
  options.past_hashes = [this] {
    std::vector<KvHash> hashes;
    for (const mvcc::PastHash& past : compaction_->hashes().all()) {
      hashes.push_back(kv_hash(past, revision()));
    }
    return hashes;
  };
  options.when_linearizable = [this](std::function<void(const RpcStatus&)> done) {
    when_linearizable(std::move(done));
  };
  options.is_raised = [this](uint64_t id) { return alarms_.is_raised({id, apply::kAlarmCorrupt}); };
  options.raise = [this](uint64_t id) { raise_corrupt(id); };
  options.log = [this](std::string_view level, std::string_view message,
                       integrity::LogFields fields) {
    Level at = level == "error" ? Level::kError : level == "warn" ? Level::kWarn : Level::kInfo;
    log_->write_from("etcdserver/corrupt.go:0", at, message, fields_of(std::move(fields)));
  };
  integrity_ = std::make_unique<integrity::Monitor>(std::move(options));
}

void Server::serve_peer_hashes() {
  using Respond = PeerHttp::Respond;
  peer_http_.add(std::string(integrity::kHashKvPath), [this](const peer::HttpRequest& request,
                                                             Respond respond) {
    auto answer = [this, request, respond] {
      respond(integrity::answer_hash_kv(request, cluster_->cluster_id(),
                                        [this](int64_t revision) { return hash_at(revision); }));
    };
    RpcStatus posted = run_long(std::move(answer));
    if (!posted.ok()) respond(peer::text_response(503, posted.message()));
  });
  peer_http_.add(std::string(integrity::kApplyHashPath), [this](const peer::HttpRequest& request,
                                                                Respond respond) {
    respond(integrity::answer_apply_hash(request, cluster_->cluster_id(), applier_->effects()));
  });
}

// Of a member that has been here before; a new one has nothing that could differ.
Status Server::check_integrity_at_start() {
  if (!config_.feature_gates.at("InitialCorruptCheck")) return Status();
  if (applied_index() == 0 || other_members().empty()) return Status();
  return integrity_->check_at_start();
}

// The alarm stops writes everywhere, as in etcd. The member that differs answers no reads either,
// ends the streams that it has, and lets others lead.
void Server::stand_back_if_corrupt() {
  if (!alarms_.local_is_corrupt()) {
    standing_back_ = false;
    return;
  }
  if (!std::exchange(standing_back_, true)) {
    log_->write(
        Level::kError,
        "this member's data differs from that of the others; it serves no clients any more, and is "
        "to be replaced: remove it from the cluster, empty its data directory and add it again",
        {{"local-member-id", membership::hex_id(cluster_->local_id())}});
    hub_->end_streams(rpc_errors::kCorrupt);
  }
  if (!raft_->is_leader()) return;
  if (auto to = longest_active(voting_members())) raft_->transfer_leadership(*to);
}

}  // namespace mortise::server
