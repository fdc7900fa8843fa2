// Promoting a learner, and what the peer port says of the membership.
#include <charconv>

#include "host/server/server.h"

namespace mortise::server {
namespace {

// A learner that has so much of the leader's log may vote.
constexpr double kReadyShare = 0.9;
// How long a promotion waits until what is committed is applied.
constexpr std::chrono::seconds kApplyLimit{1};
constexpr std::string_view kPromotePath = "/members/promote/";

peer::HttpResponse promotion_error(const RpcStatus& status) {
  auto is = [&](const RpcError& error) { return status.message() == error.message; };
  if (is(rpc_errors::kMemberNotFound)) {
    return peer::text_response(404, "membership: ID not found");
  }
  if (is(rpc_errors::kMemberNotLearner)) {
    return peer::text_response(412, "membership: can only promote a learner member");
  }
  if (is(rpc_errors::kLearnerNotReady)) return peer::text_response(412, status.message());
  peer::HttpResponse response =
      response_of(pages::json_page(R"({"message":"Internal Server Error"})"));
  response.status = 500;
  return response;
}

peer::HttpResponse members_response(const std::vector<membership::Member>& members) {
  return response_of(pages::json_page(membership::members_json(members)));
}

}  // namespace

// Only the leader knows how far a learner is.
RpcStatus Server::check_learner_ready(uint64_t id) {
  auto until = std::chrono::steady_clock::now() + kApplyLimit;
  while (applied_index() < raft_->committed()) {
    if (std::chrono::steady_clock::now() > until) return rpc_errors::kTimeoutWaitApplied;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  raft::Inspection state = raft_->inspect();
  if (state.basic.role != raft::Role::kLeader) return rpc_errors::kNotLeader;
  const raft::PeerInspection* learner = nullptr;
  for (const raft::PeerInspection& peer : state.peers) {
    if (peer.id == id) learner = &peer;
  }
  if (learner == nullptr && id != state.basic.id) return rpc_errors::kMemberNotFound;
  // The leader itself is no learner, which shows when the change is applied.
  double share = learner == nullptr ? 1.0
                                    : static_cast<double>(learner->match) /
                                          static_cast<double>(state.basic.durable_index);
  if (share < kReadyShare) {
    log_->warn("rejecting promote learner: learner is not ready",
               {{"learner-ready-percent", share}, {"ready-percent-threshold", kReadyShare}});
    return rpc_errors::kLearnerNotReady;
  }
  if (config_.strict_reconfig_check && !membership::can_promote(cluster_->roster())) {
    log_->warn("rejecting member promote request; not enough healthy members",
               {{"local-member-id", membership::hex_id(cluster_->local_id())},
                {"requested-member-remove-id", membership::hex_id(id)},
                {"error", rpc_errors::kNotEnoughStartedMembers.message}});
    return rpc_errors::kNotEnoughStartedMembers;
  }
  return RpcStatus();
}

void Server::promote(uint64_t id, api::MembersDone done) {
  auto shared = std::make_shared<api::MembersDone>(std::move(done));
  Status posted = inquiries_.post([this, id, shared] {
    RpcStatus status = check_learner_ready(id);
    if (status.ok()) {
      membership::ChangeContext context;
      context.member.id = id;
      context.is_promote = true;
      raft::MembershipChange change;
      change.changes = {{raft::ChangeType::kAddNode, id}};
      change.context = membership::encode_change_context(context);
      status = propose_membership_and_wait(std::move(change));
      if (status.ok()) counters_.promotions.add();
    } else if (status.message() == rpc_errors::kNotLeader.message) {
      return ask_leader_to_promote(id, *shared);
    }
    if (!status.ok()) {
      metrics_
          ->counter("etcd_server_learner_promote_failures",
                    "The total number of failed learner promotions (likely learner not ready) "
                    "while this member is leader.",
                    {{"Reason", status.message()}})
          .add(1);
    }
    (*shared)(status, cluster_->members());
  });
  if (!posted.ok()) (*shared)(rpc_errors::kTooManyRequests, {});
}

void Server::ask_leader_to_promote(uint64_t id, const api::MembersDone& done) {
  auto until = std::chrono::steady_clock::now() + request_timeout(config_);
  while (std::chrono::steady_clock::now() < until) {
    if (shutting_down_) return done(rpc_errors::kStopped, {});
    auto leader = cluster_->member(this->leader());
    if (!leader) leader.emplace();
    for (const std::string& url : leader->peer_urls) {
      auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          until - std::chrono::steady_clock::now());
      if (left.count() <= 0) break;
      auto answer = inquiry_->promote(url, id, left);
      if (answer) return done(answer->status, answer->members);
    }
    std::this_thread::sleep_for(config_.heartbeat_interval);
  }
  done(rpc_errors::kTimeout, {});
}

void Server::serve_membership() {
  auto identify = [this](peer::HttpResponse response) {
    response.headers.emplace_back("X-Etcd-Cluster-ID", membership::hex_id(cluster_->cluster_id()));
    return response;
  };
  peer_http_.add("/members", [this, identify](const auto& request, PeerHttp::Respond respond) {
    if (refuse_other_method(request, "GET", respond)) return;
    respond(identify(members_response(cluster_->members())));
  });
  peer_http_.add(
      "/downgrade/enabled", [this, identify](const auto& request, PeerHttp::Respond respond) {
        if (refuse_other_method(request, "GET", respond)) return;
        when_linearizable([this, identify, respond](const RpcStatus& status) {
          if (!status.ok()) {
            return respond(
                identify(peer::text_response(500, "failed linearized read: " + status.message())));
          }
          peer::HttpResponse response;
          response.headers.emplace_back("Content-Type", "text/plain");
          response.body = cluster_->downgrade_target().empty() ? "false" : "true";
          respond(identify(std::move(response)));
        });
      });
  peer_http_.add(
      std::string(kPromotePath), [this, identify](const auto& request, PeerHttp::Respond respond) {
        if (refuse_other_method(request, "POST", respond)) return;
        std::string text = request.path.substr(kPromotePath.size());
        uint64_t id = 0;
        auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
        if (error != std::errc() || end != text.data() + text.size()) {
          return respond(
              identify(peer::text_response(404, "member " + text + " not found in cluster")));
        }
        promote(id, [this, id, identify, respond](const RpcStatus& status, const auto& members) {
          if (status.ok()) {
            return respond(identify(members_response(members)));
          }
          log_->warn("failed to promote a member",
                     {{"member-id", membership::hex_id(id)}, {"error", status.message()}});
          respond(identify(promotion_error(status)));
        });
      });
}

}  // namespace mortise::server
