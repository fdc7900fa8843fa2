#include "host/membership/versions.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace mortise::membership {
namespace {

// Digits without a leading zero.
bool take_number(std::string_view* text, int64_t* number) {
  auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text->empty() || !is_digit((*text)[0])) return false;
  if ((*text)[0] == '0' && text->size() > 1 && is_digit((*text)[1])) return false;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), *number);
  if (error != std::errc()) return false;
  text->remove_prefix(static_cast<size_t>(end - text->data()));
  return true;
}

Version one_below(Version version) { return {version.major, version.minor - 1}; }

// The lowest; nothing if one is missing.
std::optional<Version> minimum(const std::vector<std::optional<Version>>& servers) {
  std::optional<Version> lowest;
  for (const auto& server : servers) {
    if (!server) return std::nullopt;
    if (!lowest || *server < *lowest) lowest = server;
  }
  return lowest;
}

}  // namespace

std::optional<Version> parse_version(std::string_view text) {
  Version version;
  int64_t patch = 0;
  if (!take_number(&text, &version.major) || !text.starts_with('.')) return std::nullopt;
  text.remove_prefix(1);
  if (!take_number(&text, &version.minor)) return std::nullopt;
  if (text.empty()) return version;
  if (!text.starts_with('.')) return std::nullopt;
  text.remove_prefix(1);
  if (!take_number(&text, &patch)) return std::nullopt;
  bool has_label = text.size() > 1 && (text[0] == '-' || text[0] == '+');
  if (!text.empty() && !has_label) return std::nullopt;
  return version;
}

std::string shown_version(const std::string& text) {
  const auto version = parse_version(text);
  return version ? version->short_text() : text;
}

std::optional<Version> next_cluster_version(std::optional<Version> cluster,
                                            std::optional<Version> downgrade_target,
                                            const std::vector<std::optional<Version>>& servers) {
  std::optional<Version> lowest = minimum(servers);
  if (!cluster) return lowest ? *lowest : kOldestVersion;
  if (!lowest) return std::nullopt;
  if (downgrade_target) {
    bool fits = *downgrade_target == one_below(*cluster) && *downgrade_target == one_below(*lowest);
    return fits ? downgrade_target : std::nullopt;
  }
  bool rises = cluster->major == lowest->major && *cluster < *lowest;
  return rises ? lowest : std::nullopt;
}

bool has_reached(Version target, const std::vector<std::optional<Version>>& servers) {
  return std::all_of(servers.begin(), servers.end(),
                     [&](const auto& server) { return server == target; });
}

bool may_join(const std::vector<Version>& cluster_versions, bool downgrade_enabled) {
  Version highest = kOwnVersion;
  Version lowest = kOldestVersion;
  if (downgrade_enabled) {
    ++highest.minor;
    lowest = highest;
  }
  return !cluster_versions.empty() &&
         std::all_of(cluster_versions.begin(), cluster_versions.end(),
                     [&](Version version) { return version >= lowest && version <= highest; });
}

}  // namespace mortise::membership
