// What a member does with its part in consensus: proposals, linearizable reads, leadership.
#include <future>

#include "host/server/server.h"

namespace mortise::server {
namespace {

// How far the apply loop may be behind before proposals are refused, as in etcd.
constexpr uint64_t kUnappliedEntriesMax = 5000;
// With the feature gate PriorityRequest: for the ends of leases.
constexpr uint64_t kUnappliedEntriesUrgentMax = 2 * kUnappliedEntriesMax;

void fail_with(std::unique_ptr<apply::Waiter> waiter, const RpcStatus& status) {
  if (waiter == nullptr) return;
  apply::ApplyResult result;
  result.rpc = status;
  waiter->complete(std::move(result));
}

}  // namespace

std::chrono::milliseconds request_timeout(const config::Config& config) {
  return std::chrono::seconds(5) + 2 * config.election_timeout;
}

// A proposal that was not taken, or not applied in time.
void Server::proposal_failed(std::unique_ptr<apply::Waiter> waiter, const RpcStatus& status) {
  if (waiter == nullptr) return;
  counters_.proposals_failed.add();
  counters_.failed_requests[apply::op_of(waiter->field())].observe(apply::WaitList::Clock::now() -
                                                                   waiter->proposed_at());
  fail_with(std::move(waiter), status);
}

void Server::propose(uint32_t field, std::string_view request, const wire::Author& author,
                     std::unique_ptr<apply::Waiter> waiter) {
  const auto now = apply::WaitList::Clock::now();
  waiter->note_proposal(field, now);
  const bool urgent =
      field == wire::kRaftLeaseRevoke && config_.feature_gates.at("PriorityRequest");
  if (raft_->committed() >
      applied_index() + (urgent ? kUnappliedEntriesUrgentMax : kUnappliedEntriesMax)) {
    return fail_with(std::move(waiter), rpc_errors::kTooManyRequests);
  }
  uint64_t id = next_request_id();
  std::string data = wire::encode_raft_request(id, field, request, author);
  if (data.size() > config_.max_request_bytes) {
    return fail_with(std::move(waiter), rpc_errors::kRequestTooLarge);
  }
  auto deadline = now + request_timeout(config_);
  waiters_.add(id, std::move(waiter), deadline);
  if (raft_->propose(id, std::move(data), deadline)) return;
  proposal_failed(waiters_.take(id), rpc_errors::kTooManyRequests);
}

void Server::propose_membership(raft::MembershipChange change,
                                std::unique_ptr<apply::Waiter> waiter) {
  change.id = next_request_id();
  const auto now = apply::WaitList::Clock::now();
  waiter->note_proposal(0, now);
  auto deadline = now + request_timeout(config_);
  waiters_.add(change.id, std::move(waiter), deadline);
  if (raft_->propose_membership(change.id, change, deadline)) return;
  proposal_failed(waiters_.take(change.id), rpc_errors::kTooManyRequests);
}

void Server::proposals_dropped(const std::vector<uint64_t>& ids) {
  for (uint64_t id : ids) proposal_failed(waiters_.take(id), rpc_errors::kProposalDropped);
}

void Server::expire_proposals() {
  for (auto& expired : waiters_.take_expired(apply::WaitList::Clock::now())) {
    proposal_failed(std::move(expired.waiter),
                    timeout_reason(expired.deadline - request_timeout(config_)));
  }
}

// Why a request that began at `start` has had no answer in time, as etcd tells it.
RpcStatus Server::timeout_reason(Leadership::Clock::time_point start) const {
  auto elected = leadership_.elected_at();
  if (start > elected - 2 * config_.election_timeout && start < elected) {
    return rpc_errors::kTimeoutLeaderFail;
  }
  uint64_t leads = leader();
  if (leads == raft::kNoNode) return rpc_errors::kTimeout;
  bool connected =
      leads == cluster_->local_id() ? is_quorum_active(start) : is_active_since(leads, start);
  return connected ? rpc_errors::kTimeout : rpc_errors::kTimeoutConnectionLost;
}

// Alone, a member answers nothing before it is applied here. All others ask the leader.
bool Server::is_linearizable() const { return applied_index() >= raft_->local_reads_from(); }

void Server::when_linearizable(std::function<void(const RpcStatus&)> done) {
  if (is_linearizable()) return done(RpcStatus());
  read_rounds_->wait(std::move(done));
}

void Server::make_read_rounds() {
  ReadRoundsOptions options;
  options.time_limit = request_timeout(config_);
  options.ask = [this](raft::ReadToken token) { raft_->read_index(token); };
  options.new_token = [this] { return next_request_id(); };
  options.applied_index = [this] { return applied_index(); };
  options.run = [this](std::function<void()> task) {
    return confirmed_reads_.post(std::move(task));
  };
  options.retrying = [this](raft::ReadToken token) {
    log_->warn("waiting for ReadIndex response took too long, retrying",
               {{"sent-request-id", token}, {"retry-timeout", duration_text(kReadIndexRetry)}});
  };
  options.timed_out = [this] {
    log_->warn("timed out waiting for read index response (local node might have slow network)",
               {{"timeout", duration_text(request_timeout(config_))}});
  };
  read_rounds_ = std::make_unique<ReadRounds>(std::move(options));
}

void Server::role_changed(const raft::SoftState& state, uint64_t term) {
  bool leads = state.role == raft::Role::kLeader;
  log_role(shown_state_, state, term);
  shown_state_ = state;
  {
    std::lock_guard lock(heartbeats_mutex_);
    heartbeats_sent_.clear();
  }
  if (leads) {
    version_monitor_->poke();
    lessor_->promote(config_.election_timeout);
  } else {
    lessor_->demote();
  }
  if (!leadership_.note(state.leader, Leadership::Clock::now())) return;
  counters_.leader_changes.add();
  read_rounds_->leader_changed();
}

void Server::disk_stalled(uint64_t asked) {
  log_->warn(
      "the log's disk has finished nothing for an election timeout; "
      "leadership is handed over",
      {{"local-member-id", membership::hex_id(cluster_->local_id())},
       {"transferee-member-id", membership::hex_id(asked)}});
}

void Server::on_tick() {
  auto now = Leadership::Clock::now();
  last_tick_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
  read_rounds_->check_time(now);
  catch_up_->check_time(now);
  leadership_.check_time(now);
  skip_first_ticks(now);
}

// A member that joins others which run need not wait for a whole election timeout: when most of it
// has passed without a word from a leader, there is none. As etcd, it waits for connections before.
void Server::skip_first_ticks(Leadership::Clock::time_point now) {
  constexpr std::chrono::seconds kConnectionsWait{5};
  if (first_ticks_skipped_ || !config_.initial_election_tick_advance) return;
  if (first_tick_at_ == Leadership::Clock::time_point()) first_tick_at_ = now;
  bool connected = active_peers() > 1;
  if (!connected && now - first_tick_at_ < kConnectionsWait) return;
  first_ticks_skipped_ = true;
  if (!connected || raft_->leader() != raft::kNoNode) return;
  auto ticks = static_cast<uint32_t>(std::max<int64_t>(config_.election_ticks - 2, 0));
  log_->info("initialized peer connections; fast-forwarding election ticks",
             {{"local-member-id", membership::hex_id(cluster_->local_id())},
              {"forward-ticks", static_cast<int64_t>(ticks)},
              {"forward-duration", duration_text(ticks * config_.heartbeat_interval)},
              {"election-ticks", static_cast<int64_t>(config_.election_ticks)},
              {"election-timeout", duration_text(config_.election_timeout)}});
  raft_->advance_ticks(ticks);
}

void Server::move_leader(uint64_t to, std::function<void(const RpcStatus&)> done) {
  auto member = cluster_->member(to);
  if (!member || member->is_learner) return done(rpc_errors::kBadLeaderTransferee);
  auto started = Leadership::Clock::now();
  std::string local = membership::hex_id(cluster_->local_id());
  std::string from = membership::hex_id(leader());
  log_->info("leadership transfer starting", {{"local-member-id", local},
                                              {"current-leader-member-id", from},
                                              {"transferee-member-id", membership::hex_id(to)}});
  auto answer = [this, to, started, local, from, done](const RpcStatus& status) {
    if (status.ok()) {
      log_->info("leadership transfer finished",
                 {{"local-member-id", local},
                  {"old-leader-member-id", from},
                  {"new-leader-member-id", membership::hex_id(to)},
                  {"took", duration_text(Leadership::Clock::now() - started)}});
    }
    done(status);
  };
  raft_->transfer_leadership(to);
  leadership_.await(to, started + request_timeout(config_), std::move(answer));
}

// Before a stop, so that the others need not wait for an election timeout.
void Server::try_transfer_leadership() {
  Fields fields{{"local-member-id", membership::hex_id(cluster_->local_id())},
                {"current-leader-member-id", membership::hex_id(leader())}};
  if (!raft_->is_leader()) {
    log_->info("skipped leadership transfer; local server is not leader", fields);
    return;
  }
  std::vector<uint64_t> voters = voting_members();
  if (voters.size() <= 1) {
    log_->info("skipped leadership transfer for single voting member cluster", fields);
    return;
  }
  auto to = longest_active(voters);
  RpcStatus status = rpc_errors::kUnhealthy;
  if (to) {
    std::promise<RpcStatus> moved;
    auto result = moved.get_future();
    move_leader(*to, [&moved](const RpcStatus& s) { moved.set_value(s); });
    status = result.get();
  }
  if (!status.ok()) {
    log_->warn("leadership transfer failed",
               {{"local-member-id", membership::hex_id(cluster_->local_id())},
                {"error", status.message()}});
  }
}

std::vector<uint64_t> Server::voting_members() const {
  std::vector<uint64_t> voters;
  for (const membership::Member& member : cluster_->members()) {
    if (!member.is_learner) voters.push_back(member.id);
  }
  return voters;
}

}  // namespace mortise::server
