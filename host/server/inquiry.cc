#include "host/server/inquiry.h"

#include <nlohmann/json.hpp>

#include "host/peer/http.h"

namespace mortise::server {
namespace {

std::string text_field(const nlohmann::json& json, const char* name) {
  auto it = json.find(name);
  return it != json.end() && it->is_string() ? it->get<std::string>() : "";
}

Result<FoundCluster> read_cluster(const peer::HttpResponse& response) {
  FoundCluster found;
  MORTISE_ASSIGN_OR_RETURN(found.members, membership::parse_members_json(response.body));
  if (!peer::parse_hex(peer::header_value(response.headers, "X-Etcd-Cluster-ID"), &found.id)) {
    return invalid("the answer has no cluster id");
  }
  return found;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

void Inquiry::stop() {
  std::lock_guard lock(mutex_);
  stopping_ = true;
  wake_.notify_all();
}

Result<peer::HttpResponse> Inquiry::answer_to(peer::HttpCall call) {
  auto answer = std::make_shared<std::optional<Result<peer::HttpResponse>>>();
  client_.call(std::move(call), [this, answer](Result<peer::HttpResponse> result) {
    std::lock_guard lock(mutex_);
    *answer = std::move(result);
    wake_.notify_all();
  });
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [&] { return stopping_ || answer->has_value(); });
  if (!answer->has_value()) return Status(StatusCode::kStopped, "server stopped");
  return std::move(**answer);
}

Result<FoundCluster> Inquiry::cluster(const std::vector<std::string>& urls, Milliseconds limit,
                                      bool quietly) {
  for (const std::string& url : urls) {
    auto response = answer_to({.url = url, .path = "/members", .time_limit = limit});
    Result<FoundCluster> found = response.ok() ? read_cluster(*response) : response.status();
    if (found.ok() && found->members.empty()) {
      return invalid("failed to get raft cluster member(s) from the given URLs");
    }
    if (found.ok()) return found;
    if (quietly) continue;
    log_->warn("failed to get cluster response",
               {{"address", url + "/members"}, {"error", found.status().message()}});
  }
  return invalid("could not retrieve cluster information from the given URLs");
}

bool Inquiry::ask(const membership::Member& member, const std::string& path, Milliseconds limit,
                  const std::function<bool(const peer::HttpResponse&)>& take) {
  for (const std::string& url : member.peer_urls) {
    auto response = answer_to({.url = url, .path = path, .time_limit = limit});
    if (response.ok() && response->status == 200 && take(*response)) return true;
    log_->warn(response.ok() ? "failed to unmarshal response" : "failed to reach the peer URL",
               {{"address", url + path},
                {"remote-member-id", membership::hex_id(member.id)},
                {"error", response.ok() ? "status " + std::to_string(response->status)
                                        : response.status().message()}});
  }
  return false;
}

std::optional<MemberVersions> Inquiry::versions(const membership::Member& member,
                                                Milliseconds limit) {
  MemberVersions versions;
  bool answered = ask(member, "/version", limit, [&](const peer::HttpResponse& response) {
    auto json = nlohmann::json::parse(response.body, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) return false;
    versions = {text_field(json, "etcdserver"), text_field(json, "etcdcluster")};
    return true;
  });
  if (answered) return versions;
  log_->warn("failed to get version", {{"remote-member-id", membership::hex_id(member.id)}});
  return std::nullopt;
}

bool Inquiry::downgrade_enabled(const std::vector<membership::Member>& members,
                                Milliseconds limit) {
  for (const membership::Member& member : members) {
    bool enabled = false;
    auto take = [&](const peer::HttpResponse& response) {
      enabled = response.body == "true";
      return enabled || response.body == "false";
    };
    if (ask(member, "/downgrade/enabled", limit, take)) return enabled;
  }
  return false;
}

std::optional<Inquiry::Promotion> Inquiry::promote(const std::string& url, uint64_t id,
                                                   Milliseconds limit) {
  auto response = answer_to({.url = url,
                             .path = "/members/promote/" + std::to_string(id),
                             .method = "POST",
                             .time_limit = limit});
  if (!response.ok()) return std::nullopt;
  if (response->status == 404) return Promotion{rpc_errors::kMemberNotFound, {}};
  if (response->status == 412) {
    if (contains(response->body, rpc_errors::kLearnerNotReady.message)) {
      return Promotion{rpc_errors::kLearnerNotReady, {}};
    }
    if (contains(response->body, "can only promote a learner member")) {
      return Promotion{rpc_errors::kMemberNotLearner, {}};
    }
  }
  if (response->status != 200) return std::nullopt;
  auto members = membership::parse_members_json(response->body);
  if (!members.ok()) return std::nullopt;
  return Promotion{RpcStatus(), std::move(*members)};
}

bool is_compatible_with(Inquiry* inquiry, const std::vector<membership::Member>& members,
                        Inquiry::Milliseconds limit, Log* log) {
  std::vector<membership::Version> known;
  for (const membership::Member& member : members) {
    auto versions = inquiry->versions(member, limit);
    if (!versions) continue;
    if (auto version = membership::parse_version(versions->cluster)) {
      known.push_back(*version);
      continue;
    }
    log->warn("failed to parse cluster version of remote member",
              {{"remote-member-id", membership::hex_id(member.id)},
               {"remote-member-cluster-version", versions->cluster}});
  }
  return may_join(known, inquiry->downgrade_enabled(members, limit));
}

}  // namespace mortise::server
