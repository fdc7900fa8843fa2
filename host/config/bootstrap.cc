#include <algorithm>
#include <map>
#include <set>

#include "host/config/config.h"
#include "host/config/go_syntax.h"

namespace mortise::config {
namespace {

using Members = std::map<std::string, std::vector<Url>>;

Result<Members> parse_members(const std::string& text) {
  std::map<std::string, std::vector<std::string>> urls;
  for (const std::string& member : split(text, ',')) {
    if (member.empty()) continue;
    const size_t equals = member.find('=');
    urls[member.substr(0, equals)].push_back(
        equals == std::string::npos ? "" : member.substr(equals + 1));
  }
  Members members;
  for (const auto& [name, texts] : urls) {
    auto parsed = parse_urls(texts);
    if (!parsed.ok()) {
      return invalid("error setting up initial cluster: " + parsed.status().message());
    }
    members[name] = std::move(*parsed);
  }
  return members;
}

// Texts of `urls` that are not among `others`.
std::vector<std::string> missing_from(const std::vector<Url>& urls,
                                      const std::vector<Url>& others) {
  std::vector<std::string> missing;
  for (const Url& url : urls) {
    if (std::find(others.begin(), others.end(), url) == others.end()) missing.push_back(url.text);
  }
  return missing;
}

std::string members_text(const Members& members) {
  std::vector<std::string> pairs;
  for (const auto& [name, urls] : members) {
    for (const Url& url : urls) pairs.push_back(name + "=" + url.text);
  }
  std::sort(pairs.begin(), pairs.end());
  return join(pairs, ",");
}

Status check_advertised(const Config& config, const std::vector<Url>& own,
                        const ResolveHost& resolve) {
  const auto& advertised = config.initial_advertise_peer_urls;
  const Status match = match_urls(advertised, own, resolve);
  if (match.ok()) return match;
  const std::string advertised_text = join(url_texts(advertised), ",");
  std::vector<std::string> missing = missing_from(own, advertised);
  for (std::string& url : missing) url.insert(0, config.name + "=");
  if (!missing.empty()) {
    return invalid("--initial-cluster has " + join(missing, ",") +
                   " but missing from --initial-advertise-peer-urls=" + advertised_text + " (" +
                   match.message() + ")");
  }
  missing = missing_from(advertised, own);
  // As etcd does it, the text names what is advertised as the cluster's.
  const std::string cluster = members_text({{config.name, advertised}});
  if (!missing.empty()) {
    return invalid("--initial-advertise-peer-urls has " + join(missing, ",") +
                   " but missing from --initial-cluster=" + cluster);
  }
  return invalid("failed to resolve " + advertised_text + " to match --initial-cluster=" + cluster +
                 " (" + match.message() + ")");
}

Status check_own_name(const Config& config, const Members& members) {
  if (members.contains(config.name)) return Status();
  return invalid("couldn't find local name " + quote(config.name) +
                 " in the initial cluster configuration");
}

std::vector<InitialMember> as_list(Members members) {
  std::vector<InitialMember> list;
  for (auto& [name, urls] : members) list.push_back({name, std::move(urls)});
  return list;
}

Status check_duplicates(const Members& members) {
  if (!has_duplicate_url(as_list(members))) return Status();
  return invalid("initial cluster " + members_text(members) + " has duplicate url");
}

}  // namespace

Result<std::vector<InitialMember>> initial_members(const std::string& initial_cluster) {
  MORTISE_ASSIGN_OR_RETURN(Members members, parse_members(initial_cluster));
  return as_list(std::move(members));
}

bool has_duplicate_url(const std::vector<InitialMember>& members) {
  std::set<std::string> seen;
  for (const InitialMember& member : members) {
    for (const Url& url : member.urls) {
      if (!seen.insert(url.text).second) return true;
    }
  }
  return false;
}

std::string initial_cluster_text(const std::vector<InitialMember>& members) {
  Members by_name;
  for (const InitialMember& member : members) by_name[member.name] = member.urls;
  return members_text(by_name);
}

Result<std::vector<InitialMember>> founding_members(const Config& config,
                                                    const ResolveHost& resolve) {
  MORTISE_ASSIGN_OR_RETURN(Members members, parse_members(config.initial_cluster));
  MORTISE_RETURN_IF_ERROR(check_own_name(config, members));
  MORTISE_RETURN_IF_ERROR(check_advertised(config, members[config.name], resolve));
  MORTISE_RETURN_IF_ERROR(check_duplicates(members));
  return as_list(std::move(members));
}

Result<std::vector<InitialMember>> members_to_join(const Config& config) {
  MORTISE_ASSIGN_OR_RETURN(Members members, parse_members(config.initial_cluster));
  MORTISE_RETURN_IF_ERROR(check_own_name(config, members));
  MORTISE_RETURN_IF_ERROR(check_duplicates(members));
  return as_list(std::move(members));
}

}  // namespace mortise::config
