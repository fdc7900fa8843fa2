#include "plugins/watch_interval/interval_tree.h"

#include <utility>

namespace mortise::watch_interval {

IntervalTree::Node::Node(std::string_view begin, std::string_view end, bool open, uint32_t priority)
    : bytes_(std::string(begin).append(end)),
      begin_size_(static_cast<uint32_t>(begin.size())),
      priority_(priority & 0x7fffffffu),
      open_(open ? 1 : 0),
      furthest_(this) {}

int IntervalTree::compare(const Bounds& a, const Bounds& b) {
  if (const int order = a.begin.compare(b.begin); order != 0) return order;
  if (a.open != b.open) return a.open ? 1 : -1;
  return a.open ? 0 : a.end.compare(b.end);
}

bool IntervalTree::further(const Node& a, const Node& b) {
  if (b.open_) return false;
  return a.open_ || a.end() > b.end();
}

void IntervalTree::update(Node& node) {
  node.furthest_ = &node;
  for (const Node* child : {node.left_, node.right_}) {
    if (child != nullptr && further(*child->furthest_, *node.furthest_)) {
      node.furthest_ = child->furthest_;
    }
  }
}

void IntervalTree::split(Node* node, const Bounds& at, Node*& left, Node*& right) {
  if (node == nullptr) {
    left = right = nullptr;
  } else if (compare(bounds(*node), at) < 0) {
    split(node->right_, at, node->right_, right);
    left = node;
    update(*node);
  } else {
    split(node->left_, at, left, node->left_);
    right = node;
    update(*node);
  }
}

IntervalTree::Node* IntervalTree::merge(Node* left, Node* right) {
  if (left == nullptr) return right;
  if (right == nullptr) return left;
  if (left->priority_ >= right->priority_) {
    left->right_ = merge(left->right_, right);
    update(*left);
    return left;
  }
  right->left_ = merge(left, right->left_);
  update(*right);
  return right;
}

IntervalTree::Node* IntervalTree::insert(Node* node, Node& added) {
  if (node == nullptr) return &added;
  if (added.priority_ > node->priority_) {
    split(node, bounds(added), added.left_, added.right_);
    update(added);
    return &added;
  }
  Node*& child = compare(bounds(added), bounds(*node)) < 0 ? node->left_ : node->right_;
  child = insert(child, added);
  update(*node);
  return node;
}

IntervalTree::Node* IntervalTree::remove(Node* node, const Node& removed) {
  if (node == &removed) return merge(node->left_, node->right_);
  Node*& child = compare(bounds(removed), bounds(*node)) < 0 ? node->left_ : node->right_;
  child = remove(child, removed);
  update(*node);
  return node;
}

IntervalTree::Node& IntervalTree::find_or_add(std::string_view begin, std::string_view end,
                                              bool open) {
  const Bounds wanted{begin, open ? std::string_view() : end, open};
  for (Node* node = root_; node != nullptr;) {
    const int order = compare(wanted, bounds(*node));
    if (order == 0) return *node;
    node = order < 0 ? node->left_ : node->right_;
  }
  auto* added = new Node(begin, wanted.end, open, next_priority());
  root_ = insert(root_, *added);
  ++size_;
  return *added;
}

void IntervalTree::erase(Node& node) noexcept {
  root_ = remove(root_, node);
  --size_;
  delete &node;
}

void IntervalTree::destroy(Node* node) noexcept {
  if (node == nullptr) return;
  destroy(node->left_);
  destroy(node->right_);
  delete node;
}

uint32_t IntervalTree::next_priority() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return static_cast<uint32_t>(random_ >> 32);
}

}  // namespace mortise::watch_interval
