// Intervals of keys with their watchers, and the question which intervals hold a key.
//
// A treap ordered by (begin, end), one node for each distinct interval, in which every node knows
// the node with the greatest end below it. A search leaves out a subtree whose greatest end is not
// beyond the key, and all that begins beyond the key. Adding and removing take O(log n); a search
// O(log n) for each interval found.
//
// Used by WatchIndex, on its thread. Owns its nodes; a node lives until erase().
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "plugins/watch_interval/watcher_list.h"

namespace mortise::watch_interval {

class IntervalTree {
 public:
  class Node {
   public:
    WatcherList watchers;

   private:
    friend class IntervalTree;
    Node(std::string_view begin, std::string_view end, bool open, uint32_t priority);

    std::string_view begin() const { return {bytes_.data(), begin_size_}; }
    std::string_view end() const { return std::string_view(bytes_).substr(begin_size_); }
    // Does it reach beyond `key`?
    bool ends_after(std::string_view key) const { return open_ || key < end(); }

    const std::string bytes_;  // Begin, then end: one allocation for both.
    const uint32_t begin_size_;
    const uint32_t priority_ : 31;
    const uint32_t open_ : 1;  // Without an end.
    Node* left_ = nullptr;
    Node* right_ = nullptr;
    Node* furthest_;  // Has the greatest end in this subtree.
  };

  IntervalTree() = default;
  ~IntervalTree() { destroy(root_); }
  IntervalTree(const IntervalTree&) = delete;
  IntervalTree& operator=(const IntervalTree&) = delete;

  // The node of [begin, end), or of [begin, ...) if `open`; a new one without watchers if there was
  // none.
  Node& find_or_add(std::string_view begin, std::string_view end, bool open);
  void erase(Node& node) noexcept;
  size_t size() const { return size_; }

  // Calls visit(node) for each interval that holds `key`.
  template <class Visit>
  void stab(std::string_view key, const Visit& visit) const {
    stab(root_, key, visit);
  }

 private:
  struct Bounds {
    std::string_view begin;
    std::string_view end;
    bool open;
  };

  static Bounds bounds(const Node& n) { return {n.begin(), n.end(), n.open_ != 0}; }
  static int compare(const Bounds& a, const Bounds& b);
  static bool further(const Node& a, const Node& b);
  static void update(Node& node);
  // Nodes before `at` go left, the others right.
  static void split(Node* node, const Bounds& at, Node*& left, Node*& right);
  static Node* merge(Node* left, Node* right);
  static Node* insert(Node* node, Node& added);
  static Node* remove(Node* node, const Node& removed);
  static void destroy(Node* node) noexcept;
  uint32_t next_priority();

  template <class Visit>
  static void stab(const Node* node, std::string_view key, const Visit& visit) {
    while (node != nullptr && node->furthest_->ends_after(key)) {
      stab(node->left_, key, visit);
      if (key < node->begin()) return;
      if (node->ends_after(key)) visit(*node);
      node = node->right_;
    }
  }

  Node* root_ = nullptr;
  size_t size_ = 0;
  uint64_t random_ = 0x9e3779b97f4a7c15;
};

}  // namespace mortise::watch_interval
