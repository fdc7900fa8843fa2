// Versions of etcd, and what follows from those of all members: the cluster's version, and whether
// a member may join. Pure functions; only major and minor versions count.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mortise::membership {

struct Version {
  int64_t major = 0;
  int64_t minor = 0;
  friend auto operator<=>(const Version&, const Version&) = default;
  std::string short_text() const { return std::to_string(major) + "." + std::to_string(minor); }
  std::string text() const { return short_text() + ".0"; }
};

// The version of etcd that this server stands for, and the oldest that it gets along with.
constexpr Version kOwnVersion{3, 7};
constexpr Version kOldestVersion{3, 0};

// "3.6", "3.6.1", "3.6.1-rc.0"; nothing if it is none.
std::optional<Version> parse_version(std::string_view text);
// "3.7" for "3.7.0", as logs show a cluster's version; what is no version stays as it is.
std::string shown_version(const std::string& text);

// What the leader makes the cluster's version; nothing if it stays. `servers` has an entry for each
// member, without a value if that one could not be asked. While a member is not known, a new
// cluster begins with the oldest version. It is raised once all members can, and lowered while a
// downgrade is under way.
std::optional<Version> next_cluster_version(std::optional<Version> cluster,
                                            std::optional<Version> downgrade_target,
                                            const std::vector<std::optional<Version>>& servers);

// Do all members run the version that a downgrade aims at?
bool has_reached(Version target, const std::vector<std::optional<Version>>& servers);

// May this server join a cluster of which others say that it has these versions? At least one must
// say it. While a downgrade is under way only a cluster of the next version may be joined.
bool may_join(const std::vector<Version>& cluster_versions, bool downgrade_enabled);

}  // namespace mortise::membership
