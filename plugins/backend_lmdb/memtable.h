// The newest commits in memory: one ordered, versioned map for each keyspace, in front of LMDB.
//
// Written by the one thread that commits (under the store's commit mutex), read by any number of
// threads at the same time without a lock. Once the store has frozen a memtable nobody writes it
// again; readers and the unloader keep it alive by shared_ptr.
//
// A key has one node in a skip list and a chain of versions, newest first:
//
//   node "k" -> {seq 9, deleted} -> {seq 7, "b"} -> {seq 4, "a"}
//
// A reader at sequence s sees the first version with seq <= s; a commit's versions all carry one
// sequence number, and of those the last written is the first in the chain. Nodes, keys and values
// live in an arena that only grows: spans into it stay valid as long as the memtable.
//
// Invariant: a pointer is published by a release store after all that it points to has been
// written, and is followed after an acquire load.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

#include "mortise/abi/backend.h"

namespace mortise::lmdb {

// Memory that is handed out in order and freed as a whole. One thread allocates.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();

  // Aligned to 8. Throws std::bad_alloc.
  char* allocate(size_t size);
  // Bytes mapped. Any thread.
  size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  char* new_block(size_t size);

  struct Block {
    char* data;
    size_t size;
  };
  std::vector<Block> blocks_;
  char* free_ = nullptr;
  size_t left_ = 0;
  size_t next_block_ = size_t{1} << 16;
  std::atomic<size_t> bytes_{0};
};

// One value, or the absence of one, that a key had from commit `seq` on.
struct Version {
  uint64_t seq;
  const Version* older;
  const char* data;
  uint32_t size;
  bool tombstone;

  std::string_view value() const { return std::string_view(data, size); }
};

constexpr int kMaxHeight = 12;

// A key. The links of the levels above 0 lie before the node, so that level 0 and the key share a
// cache line.
struct Node {
  std::atomic<Node*> level0;
  std::atomic<const Version*> newest;
  uint32_t key_size;

  const char* key_data() const { return reinterpret_cast<const char*>(this) + sizeof(Node); }
  std::string_view key() const { return std::string_view(key_data(), key_size); }
  std::atomic<Node*>& link(int level) { return *(&level0 - level); }
  const Node* next(int level) const { return (&level0 - level)->load(std::memory_order_acquire); }
  // What a reader at `seq` sees; null if the key is younger than that.
  const Version* visible(uint64_t seq) const {
    const Version* version = newest.load(std::memory_order_acquire);
    while (version != nullptr && version->seq > seq) version = version->older;
    return version;
  }
};

class SkipList {
 public:
  SkipList() = default;
  SkipList(const SkipList&) = delete;
  SkipList& operator=(const SkipList&) = delete;

  // The node of `key`, made if need be. [the writer]
  Node* insert(Arena& arena, std::string_view key);
  // First node with key >= `key`. [any]
  const Node* find_ge(std::string_view key) const;
  // Last node with key < `key`. [any]
  const Node* find_lt(std::string_view key) const;
  const Node* first() const { return next_of(nullptr, 0); }
  const Node* last() const;
  // [the writer, or any once frozen]
  uint64_t count() const { return count_; }

 private:
  const Node* next_of(const Node* node, int level) const {
    return node == nullptr ? head_[level].load(std::memory_order_acquire) : node->next(level);
  }
  int random_height();
  void find_splice(std::string_view key, Node** before) const;

  std::array<std::atomic<Node*>, kMaxHeight> head_{};
  std::atomic<int> height_{1};
  std::array<Node*, kMaxHeight> tail_{};  // Last node of each level: ascending keys need no search.
  uint64_t random_ = 0x9e3779b97f4a7c15;
  uint64_t count_ = 0;
};

class Memtable {
 public:
  // [the writer]
  void put(uint32_t keyspace, std::string_view key, std::string_view value, uint64_t seq);
  void remove(uint32_t keyspace, std::string_view key, uint64_t seq);
  // Ends a commit: everything up to `seq` belongs to this position.
  void set_position(uint64_t seq, uint64_t index, uint64_t term);

  // What a reader at `seq` sees of the key in this memtable, or null. [any]
  const Version* find(uint32_t keyspace, std::string_view key, uint64_t seq) const;
  const SkipList& list(uint32_t keyspace) const { return lists_[keyspace]; }
  size_t bytes() const { return arena_.bytes(); }

  // Of the newest commit in it; seq 0 if there is none. [the writer, or any once frozen]
  uint64_t seq() const { return seq_; }
  uint64_t index() const { return index_; }
  uint64_t term() const { return term_; }
  // Bytes of keys and values that a flush writes at most. [the writer, or any once frozen]
  uint64_t payload_bytes() const { return payload_; }

 private:
  void push(uint32_t keyspace, std::string_view key, const Version& version);
  const char* keep(std::string_view value);

  Arena arena_;
  std::array<SkipList, MORTISE_KEYSPACE_COUNT_MAX> lists_;
  std::string_view last_value_;  // The host often writes one value under two keys: kept once.
  uint64_t seq_ = 0;
  uint64_t index_ = 0;
  uint64_t term_ = 0;
  uint64_t payload_ = 0;
};

}  // namespace mortise::lmdb
