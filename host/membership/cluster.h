// What this member knows of its cluster: the members, the cluster version, and whether
// a downgrade is under way. Changed by the apply
// thread as the log says, read by any.
#pragma once

#include <map>
#include <mutex>
#include <optional>

#include "host/membership/member.h"
#include "host/store/store.h"

namespace mortise::membership {

// Rows of the meta keyspace.
constexpr std::string_view kClusterVersionKey = "cluster-version";
// The version that a downgrade aims at; there is no row while none is under way.
constexpr std::string_view kDowngradeKey = "downgrade";
constexpr std::string_view kIdentityKey =
    "identity";  // Member and cluster id, 8 bytes each, big endian.

class Cluster {
 public:
  Cluster(uint64_t cluster_id, uint64_t local_id) : cluster_id_(cluster_id), local_id_(local_id) {}

  Status load(const store::Reader& reader);

  uint64_t cluster_id() const { return cluster_id_; }
  uint64_t local_id() const { return local_id_; }
  std::vector<Member> members() const;  // By id.
  std::optional<Member> member(uint64_t id) const;
  std::string version() const;  // "3.7.0", or empty while it is not known.

  std::string downgrade_target() const;  // "3.6.0", or empty.

  // The apply thread's; the caller writes the rows.
  void put(const Member& member);
  void remove(uint64_t id);
  void set_version(std::string version);
  void set_downgrade_target(std::string version);

 private:
  const uint64_t cluster_id_;
  const uint64_t local_id_;
  mutable std::mutex mutex_;
  std::map<uint64_t, Member> members_;
  std::string version_;
  std::string downgrade_target_;
};

// Name of a member's row.
std::string member_row(uint64_t id);

}  // namespace mortise::membership
