// What a member does for leases: those of its clients, those that other members ask about, and the
// ones that ran out.
#include <cinttypes>
#include <cstdio>

#include "host/server/server.h"

namespace mortise::server {
namespace {

// As in etcd: so many revocations are proposed at a time, and again if one is not done by then.
constexpr size_t kRevocationsMax = 500;

// Checkpoints of leases in one entry of the log, and such entries at a time: fewer than etcd's
// 500,000 leases a second, so that writes in between do not wait for them.
constexpr size_t kCheckpointsMax = 1000;
constexpr int kCheckpointEntriesMax = 10;

// A member whose clock has stood still for longer may have been replaced as the leader.
constexpr int kTicksMissedMax = 3;

class NobodyWaits : public apply::Waiter {
 public:
  void complete(apply::ApplyResult) override {}
};

class ExpiryWaiter : public apply::Waiter {
 public:
  ExpiryWaiter(int64_t id, Log* log) : id_(id), log_(log) {}
  void complete(apply::ApplyResult result) override {
    if (result.rpc.ok()) return;
    char id[17];
    std::snprintf(id, sizeof id, "%016" PRIx64, static_cast<uint64_t>(id_));
    log_->warn("failed to revoke lease",
               {{"lease-id", std::string(id)}, {"error", std::string(result.rpc.message())}});
  }

 private:
  int64_t id_;
  Log* log_;
};

}  // namespace

void Server::make_lease_work() {
  CatchUp::Options catch_up;
  catch_up.committed = [this] { return committed_index(); };
  catch_up.applied = [this] { return applied_index(); };
  catch_up.run = [this](std::function<void()> task) {
    return confirmed_reads_.post(std::move(task));
  };
  catch_up_ = std::make_unique<CatchUp>(std::move(catch_up));

  peer_client_ = std::make_unique<peer::HttpClient>(peer_dialer_);
  LeaseForwarderOptions forwarder;
  forwarder.local_id = cluster_->local_id();
  forwarder.time_limit = request_timeout(config_);
  forwarder.attempt_limit =
      std::max<std::chrono::milliseconds>(std::chrono::seconds(2), 2 * config_.election_timeout);
  forwarder.leader = [this] { return leader(); };
  forwarder.peer_urls = [this](uint64_t id) {
    auto member = cluster_->member(id);
    return member ? member->peer_urls : std::vector<std::string>();
  };
  forwarder.call = [this](peer::HttpCall call, peer::HttpClient::Done done) {
    peer_client_->call(std::move(call), std::move(done));
  };
  forwarder.renew_here = [this](int64_t lease, api::RenewalDone done) {
    api::renew_here(*context_, lease, std::move(done));
  };
  forwarder.time_to_live_here = [this](int64_t lease, bool with_keys, std::string* body) {
    return api::time_to_live_here(*context_, lease, with_keys, body);
  };
  lease_forwarder_ = std::make_unique<LeaseForwarder>(std::move(forwarder));
}

void Server::serve_peer_leases() {
  peer_http_.add(std::string(api::kLeasesPath),
                 [this](const peer::HttpRequest& request, PeerHttp::Respond respond) {
                   api::answer_leases(*context_, request, std::move(respond));
                 });
  peer_http_.add(std::string(api::kLeasesInternalPath),
                 [this](const peer::HttpRequest& request, PeerHttp::Respond respond) {
                   api::answer_leases_internal(*context_, request, std::move(respond));
                 });
}

void Server::when_caught_up(std::function<void(const RpcStatus&)> done) {
  catch_up_->wait(std::move(done));
}

bool Server::keeps_time() const {
  auto last = Leadership::Clock::time_point(
      Leadership::Clock::duration(last_tick_.load(std::memory_order_relaxed)));
  return Leadership::Clock::now() - last < kTicksMissedMax * config_.heartbeat_interval;
}

void Server::renew_at_leader(int64_t lease, api::RenewalDone done) {
  lease_forwarder_->renew(lease, std::move(done));
}

void Server::time_to_live_at_leader(
    int64_t lease, bool with_keys,
    std::function<void(const RpcStatus&, const std::string& body)> done) {
  lease_forwarder_->time_to_live(lease, with_keys, std::move(done));
}

// A leader that has just been asleep may not be one any more: it looks again when it has heard of
// the others.
void Server::expire_leases() {
  if (!raft_->is_leader() || !keeps_time()) return;
  for (int64_t id : lessor_->expired(kRevocationsMax, request_timeout(config_))) {
    std::string request;
    wire::append_varint_field(&request, 1, static_cast<uint64_t>(id));
    counters_.leases_expired.add();
    propose(wire::kRaftLeaseRevoke, request, root_author(),
            std::make_unique<ExpiryWaiter>(id, log_));
  }
}

void Server::checkpoint_leases() {
  if (!raft_->is_leader()) return;
  for (int i = 0; i < kCheckpointEntriesMax; ++i) {
    auto due = lessor_->due_checkpoints(kCheckpointsMax);
    if (due.empty()) return;
    propose(wire::kRaftLeaseCheckpoint, lease::encode_checkpoints(due), {},
            std::make_unique<NobodyWaits>());
  }
}

}  // namespace mortise::server
