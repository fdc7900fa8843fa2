#include "host/server/bootstrap.h"

#include <algorithm>
#include <map>

#include "host/membership/rules.h"
#include "host/raft/membership_codec.h"

namespace mortise::server {
namespace {

constexpr std::chrono::milliseconds kBootstrappedLimit{1000};
constexpr std::chrono::milliseconds kClusterLimit{10000};
constexpr std::chrono::milliseconds kJoinedLimit{1000};

// Peer URLs of all but one.
std::vector<std::string> urls_of_others(const std::vector<membership::Member>& members,
                                        uint64_t self) {
  std::vector<std::string> urls;
  for (const membership::Member& member : members) {
    if (member.id == self) continue;
    urls.insert(urls.end(), member.peer_urls.begin(), member.peer_urls.end());
  }
  std::sort(urls.begin(), urls.end());
  return urls;
}

std::string list_text(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) out += (out.size() > 1 ? " " : "") + text;
  return out + "]";
}

// As etcd prints a cluster.
std::string cluster_text(const FoundCluster& found) {
  std::vector<std::string> members;
  for (const membership::Member& member : found.members) {
    members.push_back("&{ID:" + membership::hex_id(member.id) +
                      " RaftAttributes:{PeerURLs:" + list_text(member.peer_urls) + " IsLearner:" +
                      (member.is_learner ? "true" : "false") + "} Attributes:{Name:" + member.name +
                      " ClientURLs:" + list_text(member.client_urls) + "}}");
  }
  return "{ClusterID:" + membership::hex_id(found.id) + " Members:" + list_text(members) +
         " RemovedMemberIDs:[]}";
}

void sort_by_id(std::vector<membership::Member>* members) {
  std::sort(members->begin(), members->end(),
            [](const auto& a, const auto& b) { return a.id < b.id; });
}

std::vector<membership::Member> as_members(const std::vector<config::InitialMember>& initial,
                                           const std::string& cluster_token) {
  std::vector<membership::Member> members;
  for (const config::InitialMember& one : initial) {
    membership::Member member;
    member.name = one.name;
    member.peer_urls = config::url_texts(one.urls);
    member.id = membership::bootstrap_member_id(member.peer_urls, cluster_token);
    members.push_back(std::move(member));
  }
  sort_by_id(&members);
  return members;
}

const membership::Member* find_name(const std::vector<membership::Member>& members,
                                    const std::string& name) {
  for (const membership::Member& member : members) {
    if (member.name == name) return &member;
  }
  return nullptr;
}

std::vector<membership::Member> all_but(uint64_t self,
                                        const std::vector<membership::Member>& members) {
  std::vector<membership::Member> others;
  for (const membership::Member& member : members) {
    if (member.id != self) others.push_back(member);
  }
  return others;
}

}  // namespace

Result<Beginning> found_cluster(const config::Config& config, const config::ResolveHost& resolve) {
  MORTISE_ASSIGN_OR_RETURN(auto initial, config::founding_members(config, resolve));
  Beginning beginning;
  beginning.is_new = true;
  beginning.founders = as_members(initial, config.initial_cluster_token);
  beginning.member_id = find_name(beginning.founders, config.name)->id;
  std::vector<uint64_t> ids;
  for (const membership::Member& member : beginning.founders) ids.push_back(member.id);
  beginning.cluster_id = membership::bootstrap_cluster_id(std::move(ids));
  return beginning;
}

Status check_not_bootstrapped(const Beginning& beginning, Inquiry* inquiry) {
  auto urls = urls_of_others(beginning.founders, beginning.member_id);
  auto found = inquiry->cluster(urls, kBootstrappedLimit, /*quietly=*/true);
  if (!found.ok()) return Status();
  for (const membership::Member& member : found->members) {
    if (member.id == beginning.member_id && !member.client_urls.empty()) {
      return invalid("member " + membership::hex_id(member.id) + " has already been bootstrapped");
    }
  }
  return Status();
}

Result<std::vector<membership::Member>> match_members(
    const std::vector<config::InitialMember>& initial, const FoundCluster& found,
    const std::string& cluster_token, const config::ResolveHost& resolve) {
  auto members = as_members(initial, cluster_token);
  if (members.size() != found.members.size()) return invalid("member count is unequal");
  for (const membership::Member& existing : found.members) {
    Status difference;
    bool matched = false;
    MORTISE_ASSIGN_OR_RETURN(auto theirs, config::parse_urls(existing.peer_urls));
    for (membership::Member& member : members) {
      MORTISE_ASSIGN_OR_RETURN(auto ours, config::parse_urls(member.peer_urls));
      difference = config::match_urls(theirs, ours, resolve);
      if (!difference.ok()) continue;
      member.id = existing.id;
      matched = true;
      break;
    }
    if (!matched) {
      return invalid("PeerURLs: no match found for existing member (" +
                     membership::hex_id(existing.id) + ", " + list_text(existing.peer_urls) +
                     "), last resolver error (" + difference.message() + ")");
    }
  }
  sort_by_id(&members);
  return members;
}

Result<Beginning> join_cluster(const config::Config& config, const config::ResolveHost& resolve,
                               Inquiry* inquiry, std::chrono::milliseconds limit, Log* log) {
  MORTISE_ASSIGN_OR_RETURN(auto initial, config::members_to_join(config));
  auto named = as_members(initial, config.initial_cluster_token);
  auto urls = urls_of_others(named, find_name(named, config.name)->id);
  auto found = inquiry->cluster(urls, kClusterLimit, /*quietly=*/false);
  if (!found.ok()) {
    return invalid("cannot fetch cluster info from peer urls: " + found.status().message());
  }
  sort_by_id(&found->members);
  auto matched = match_members(initial, *found, config.initial_cluster_token, resolve);
  if (!matched.ok()) {
    return invalid("error validating peerURLs " + cluster_text(*found) + ": " +
                   matched.status().message());
  }
  Beginning beginning;
  beginning.is_new = true;
  beginning.cluster_id = found->id;
  beginning.member_id = find_name(*matched, config.name)->id;
  beginning.remotes = all_but(beginning.member_id, found->members);
  std::map<uint64_t, membership::Member> existing;
  for (const membership::Member& member : found->members) existing[member.id] = member;
  if (!is_compatible_with(inquiry, beginning.remotes, limit, log)) {
    return invalid("incompatible with current running cluster");
  }
  if (membership::too_many_learners(existing, config.max_learners)) {
    return invalid("membership: too many learner members in cluster");
  }
  return beginning;
}

std::vector<membership::Member> others_of_joined(const config::Config& config,
                                                 const Beginning& beginning, Inquiry* inquiry) {
  auto initial = config::members_to_join(config);
  if (!initial.ok()) return {};
  auto named = as_members(*initial, config.initial_cluster_token);
  auto urls = urls_of_others(named, find_name(named, config.name)->id);
  auto found = inquiry->cluster(urls, kJoinedLimit, /*quietly=*/true);
  if (!found.ok() || found->id != beginning.cluster_id) return {};
  return all_but(beginning.member_id, found->members);
}

Status write_founding_entries(wal::Wal* wal, const std::vector<membership::Member>& founders) {
  wal::BatchBuffer batch;
  uint64_t index = 0;
  for (const membership::Member& member : founders) {
    raft::MembershipChange change;
    change.changes = {{raft::ChangeType::kAddNode, member.id}};
    change.context = membership::encode_change_context({member, /*is_promote=*/false});
    const std::string data = raft::encode_membership(change);
    batch.add_entry({1, ++index, static_cast<uint8_t>(raft::EntryType::kConfChange), data});
  }
  batch.set_hard_state({1, 0, index});
  return wal->append(batch);
}

}  // namespace mortise::server
