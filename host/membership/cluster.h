// What this member knows of its cluster: the members, the ids that were removed, the cluster
// version, and whether a downgrade is under way. Changed by the apply thread as the log says, read
// by any.
#pragma once

#include <functional>
#include <mutex>
#include <optional>

#include "host/membership/rules.h"
#include "host/store/store.h"

namespace mortise::membership {

// Rows of the meta keyspace.
constexpr std::string_view kClusterVersionKey = "cluster-version";
// The version that a downgrade aims at; there is no row while none is under way.
constexpr std::string_view kDowngradeKey = "downgrade";
constexpr std::string_view kIdentityKey =
    "identity";  // Member and cluster id, 8 bytes each, big endian.

// Whom the transport follows. Called by the thread that changes the cluster, this member's own
// entries included; must not call back.
struct Observer {
  std::function<void(const Member&)> added;
  std::function<void(const Member&)> urls_updated;
  std::function<void(uint64_t id)> removed;
};

class Cluster {
 public:
  Cluster(uint64_t cluster_id, uint64_t local_id, int64_t learners_max = 1)
      : cluster_id_(cluster_id), local_id_(local_id), learners_max_(learners_max) {}

  // Comes before load().
  void observe(Observer observer) { observer_ = std::move(observer); }
  // Reads all anew, also after the store was replaced; observers are told what differs.
  Status load(const store::Reader& reader);

  uint64_t cluster_id() const { return cluster_id_; }
  uint64_t local_id() const { return local_id_; }
  int64_t learners_max() const { return learners_max_; }
  std::vector<Member> members() const;  // By id.
  std::optional<Member> member(uint64_t id) const;
  bool is_removed(uint64_t id) const;
  Roster roster() const;
  std::string version() const;  // "3.7.0", or empty while it is not known.
  // What etcd's database of the same state would call itself: it does not go below 3.5.
  std::string storage_version() const;

  std::string downgrade_target() const;  // "3.6.0", or empty.

  // The apply thread's; the caller writes the rows.
  void put(const Member& member);
  void remove(uint64_t id);
  void set_version(std::string version);
  void set_downgrade_target(std::string version);

 private:
  void tell(const Roster& before, const Roster& after) const;

  const uint64_t cluster_id_;
  const uint64_t local_id_;
  const int64_t learners_max_;
  Observer observer_;
  mutable std::mutex mutex_;
  Roster roster_;
  std::string version_;
  std::string downgrade_target_;
};

// Name of a member's row. Its value is the encoded member, or empty if it was removed.
std::string member_row(uint64_t id);

}  // namespace mortise::membership
