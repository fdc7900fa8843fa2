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
    MORTISE_ASSIGN_OR_RETURN(members[name], parse_urls(texts));
  }
  return members;
}

// Two names of one address compare equal: the loopback interface's are the only ones known without
// a resolver.
std::string comparable(const Url& url) {
  const bool loopback = url.host == "localhost" || url.host == "127.0.0.1" || url.host == "::1";
  return loopback ? url.scheme + "://loopback:" + url.port : url.text;
}

// Texts of `urls` that `others` has no equal of.
std::vector<std::string> missing_from(const std::vector<Url>& urls,
                                      const std::vector<Url>& others) {
  std::vector<std::string> missing;
  for (const Url& url : urls) {
    const bool found = std::any_of(others.begin(), others.end(),
                                   [&](const Url& o) { return comparable(o) == comparable(url); });
    if (!found) missing.push_back(url.text);
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

Status check_advertised(const Config& config, const std::vector<Url>& own) {
  const auto& advertised = config.initial_advertise_peer_urls;
  std::vector<std::string> missing = missing_from(own, advertised);
  for (std::string& url : missing) url.insert(0, config.name + "=");
  if (!missing.empty()) {
    return invalid(
        "--initial-cluster has " + join(missing, ",") +
        " but missing from --initial-advertise-peer-urls=" + join(url_texts(advertised), ","));
  }
  missing = missing_from(advertised, own);
  if (!missing.empty()) {
    return invalid("--initial-advertise-peer-urls has " + join(missing, ",") +
                   " but missing from --initial-cluster=" + members_text({{config.name, own}}));
  }
  return {};
}

}  // namespace

Status verify_bootstrap(const Config& config) {
  auto parsed = parse_members(config.initial_cluster);
  if (!parsed.ok())
    return invalid("error setting up initial cluster: " + parsed.status().message());
  const Members& members = parsed.value();
  const auto self = members.find(config.name);
  if (self == members.end()) {
    return invalid("couldn't find local name " + quote(config.name) +
                   " in the initial cluster configuration");
  }
  MORTISE_RETURN_IF_ERROR(check_advertised(config, self->second));
  std::set<std::string> seen;
  for (const auto& [name, urls] : members) {
    for (const Url& url : urls) {
      if (!seen.insert(url.text).second) {
        return invalid("initial cluster " + members_text(members) + " has duplicate url");
      }
    }
  }
  return {};
}

}  // namespace mortise::config
