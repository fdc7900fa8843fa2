#include "plugins/auth_rbac/permission_tree.h"

#include <utility>

namespace mortise::auth_rbac {
namespace {

bool ends_before(const Interval& a, const Interval& b) {
  return !a.open && (b.open || a.end < b.end);
}

bool stands_before(const Interval& a, const Interval& b) {
  const int order = a.begin.compare(b.begin);
  return order < 0 || (order == 0 && ends_before(a, b));
}

}  // namespace

PermissionTree::PermissionTree() : nodes_(1) {}

void PermissionTree::add(Interval interval) {
  int parent = 0;
  int side = 0;
  for (int at = root_; at != 0; at = nodes_[at].child[side]) {
    parent = at;
    side = stands_before(interval, nodes_[at].interval) ? 0 : 1;
  }
  const int added = static_cast<int>(nodes_.size());
  nodes_.push_back({std::move(interval), parent, {0, 0}, true});
  if (parent == 0) {
    root_ = added;
  } else {
    nodes_[parent].child[side] = added;
  }
  rebalance(added);
}

// The node moves down to that side, and its child of the other side takes its place.
void PermissionTree::rotate(int node, int side) {
  const int up = nodes_[node].child[1 - side];
  const int moved = nodes_[up].child[side];
  const int parent = nodes_[node].parent;
  nodes_[node].child[1 - side] = moved;
  if (moved != 0) nodes_[moved].parent = node;
  nodes_[up].parent = parent;
  if (parent == 0) {
    root_ = up;
  } else {
    nodes_[parent].child[nodes_[parent].child[1] == node ? 1 : 0] = up;
  }
  nodes_[up].child[side] = node;
  nodes_[node].parent = up;
}

// The textbook's, which etcd's tree follows: no red node under a red one.
void PermissionTree::rebalance(int node) {
  while (nodes_[nodes_[node].parent].red) {
    int parent = nodes_[node].parent;
    const int above = nodes_[parent].parent;
    const int side = nodes_[above].child[0] == parent ? 0 : 1;
    const int uncle = nodes_[above].child[1 - side];
    nodes_[above].red = true;
    if (nodes_[uncle].red) {
      nodes_[uncle].red = false;
      nodes_[parent].red = false;
      node = above;
      continue;
    }
    if (node == nodes_[parent].child[1 - side]) {
      rotate(parent, side);
      std::swap(node, parent);
    }
    nodes_[parent].red = false;
    rotate(above, 1 - side);
  }
  nodes_[root_].red = false;
}

bool PermissionTree::permits(std::string_view key, std::string_view range_end) const {
  return finds(root_, key, range_end);
}

// An interval permits the range if the key is in it. What is to the left of the key is compared as
// if the range were none, and where it seems to be beyond the range's end, all below it is left
// out.
bool PermissionTree::finds(int node, std::string_view key, std::string_view range_end) const {
  if (node == 0) return false;
  const Node& n = nodes_[node];
  if (key < n.interval.begin) return finds(n.child[0], key, range_end);
  if (n.interval.open || key < n.interval.end) return true;
  if (n.interval.begin >= range_end) return false;
  return finds(n.child[0], key, range_end) || finds(n.child[1], key, range_end);
}

bool ReversedRanges::may_read(std::string_view key, std::string_view range_end) const {
  std::call_once(grown_, [this] { grow(); });
  return read_.permits(key, range_end);
}

bool ReversedRanges::may_write(std::string_view key, std::string_view range_end) const {
  std::call_once(grown_, [this] { grow(); });
  return write_.permits(key, range_end);
}

void ReversedRanges::grow() const {
  for (const auto& role : roles_) {
    for (const Permission& p : role->permissions) {
      const auto type = static_cast<PermissionType>(p.type);
      const bool both = type == PermissionType::kReadWrite;
      if (both || type == PermissionType::kRead) read_.add(to_interval(p.key, p.range_end));
      if (both || type == PermissionType::kWrite) write_.add(to_interval(p.key, p.range_end));
    }
  }
}

}  // namespace mortise::auth_rbac
