// Whether a range that ends where it begins or before is permitted.
//
// Such a range holds no keys, so either answer would be safe. But a request may do other things
// besides, and when it is applied all members have to decide alike, those of etcd too; their answer
// comes out of a walk over a red-black tree of the user's permissions, which misses some of them
// depending on where they stand. So the same tree is grown here, when it is needed for the first
// time.
//
//   grants [d, f), the point b   range [d, a)   permitted unless the walk begins at b
//
// Any thread; a tree does not change once it is there.
#pragma once

#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "plugins/auth_rbac/intervals.h"
#include "plugins/auth_rbac/records.h"

namespace mortise::auth_rbac {

class PermissionTree {
 public:
  PermissionTree();
  // In the order in which etcd adds them: that of the user's roles and of each role's permissions.
  void add(Interval interval);
  bool permits(std::string_view key, std::string_view range_end) const;

 private:
  struct Node {
    Interval interval;
    int parent = 0;
    int child[2] = {0, 0};
    bool red = false;
  };
  void rotate(int node, int side);
  void rebalance(int node);
  bool finds(int node, std::string_view key, std::string_view range_end) const;

  std::vector<Node> nodes_;  // The first stands for none.
  int root_ = 0;
};

// Those of a user, made of the records of its roles.
class ReversedRanges {
 public:
  explicit ReversedRanges(std::vector<std::shared_ptr<const RoleRecord>> roles)
      : roles_(std::move(roles)) {}

  bool may_read(std::string_view key, std::string_view range_end) const;
  bool may_write(std::string_view key, std::string_view range_end) const;

 private:
  void grow() const;

  const std::vector<std::shared_ptr<const RoleRecord>> roles_;
  mutable std::once_flag grown_;
  mutable PermissionTree read_, write_;
};

}  // namespace mortise::auth_rbac
