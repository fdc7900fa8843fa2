#include "plugins/backend_lmdb/memtable.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace mortise::lmdb {
namespace {

constexpr size_t kMaxBlockBytes = size_t{2} << 20;
constexpr size_t kSharedValueBytesMin = 64;

constexpr size_t rounded(size_t size) { return (size + 7) & ~size_t{7}; }

inline int compare(const Node* node, std::string_view key) {
  const size_t common = std::min<size_t>(node->key_size, key.size());
  const int order = std::memcmp(node->key_data(), key.data(), common);
  if (order != 0) return order;
  return node->key_size < key.size() ? -1 : node->key_size > key.size();
}

}  // namespace

Arena::~Arena() {
  for (const Block& block : blocks_) ::munmap(block.data, block.size);
}

char* Arena::new_block(size_t size) {
  size = (size + 4095) & ~size_t{4095};
  blocks_.reserve(blocks_.size() + 1);
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
  blocks_.push_back({static_cast<char*>(data), size});
  bytes_.fetch_add(size, std::memory_order_relaxed);
  return static_cast<char*>(data);
}

char* Arena::allocate(size_t size) {
  size = rounded(size);
  if (size > left_) {
    // A large piece gets its own block, so that the rest of the current one is not wasted.
    if (size > kMaxBlockBytes / 4) return new_block(size);
    const size_t block = std::max(size, next_block_);
    free_ = new_block(block);
    left_ = block;
    next_block_ = std::min(next_block_ * 2, kMaxBlockBytes);
  }
  char* out = free_;
  free_ += size;
  left_ -= size;
  return out;
}

int SkipList::random_height() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  int height = 1;
  for (uint64_t bits = random_ >> 20; height < kMaxHeight && (bits & 3) == 0; bits >>= 2) ++height;
  return height;
}

void SkipList::find_splice(std::string_view key, Node** before) const {
  const int height = height_.load(std::memory_order_relaxed);
  for (int level = height; level < kMaxHeight; ++level) before[level] = nullptr;
  const Node* at = nullptr;
  const Node* known_after = nullptr;  // Compared on the level above already.
  for (int level = height - 1; level >= 0; --level) {
    for (;;) {
      const Node* next = next_of(at, level);
      if (next == nullptr || next == known_after) break;
      if (compare(next, key) >= 0) {
        known_after = next;
        break;
      }
      at = next;
    }
    before[level] = const_cast<Node*>(at);
  }
}

Node* SkipList::insert(Arena& arena, std::string_view key) {
  Node* before[kMaxHeight];
  if (tail_[0] != nullptr && compare(tail_[0], key) < 0) {
    std::copy(tail_.begin(), tail_.end(), before);
  } else {
    find_splice(key, before);
    Node* found = before[0] == nullptr ? head_[0].load(std::memory_order_relaxed)
                                       : before[0]->level0.load(std::memory_order_relaxed);
    if (found != nullptr && compare(found, key) == 0) return found;
  }
  const int height = random_height();
  char* memory =
      arena.allocate(size_t(height - 1) * sizeof(std::atomic<Node*>) + sizeof(Node) + key.size());
  auto* links = reinterpret_cast<std::atomic<Node*>*>(memory);
  for (int i = 0; i < height - 1; ++i) new (links + i) std::atomic<Node*>(nullptr);
  Node* node = new (links + (height - 1)) Node{nullptr, nullptr, static_cast<uint32_t>(key.size())};
  std::memcpy(const_cast<char*>(node->key_data()), key.data(), key.size());

  if (height > height_.load(std::memory_order_relaxed)) {
    height_.store(height, std::memory_order_relaxed);
  }
  for (int level = 0; level < height; ++level) {
    std::atomic<Node*>& link = before[level] == nullptr ? head_[level] : before[level]->link(level);
    Node* after = link.load(std::memory_order_relaxed);
    node->link(level).store(after, std::memory_order_relaxed);
    link.store(node, std::memory_order_release);
    if (after == nullptr) tail_[level] = node;
  }
  ++count_;
  return node;
}

const Node* SkipList::find_lt(std::string_view key) const {
  Node* before[kMaxHeight];
  find_splice(key, before);
  return before[0];
}

const Node* SkipList::find_ge(std::string_view key) const {
  const Node* at = nullptr;
  const Node* after = nullptr;
  for (int level = height_.load(std::memory_order_relaxed) - 1; level >= 0; --level) {
    for (;;) {
      const Node* next = next_of(at, level);
      if (next == nullptr || next == after) break;
      const int order = compare(next, key);
      if (order == 0) return next;
      if (order > 0) {
        after = next;
        break;
      }
      at = next;
    }
  }
  return next_of(at, 0);
}

const Node* SkipList::last() const {
  const Node* at = nullptr;
  for (int level = height_.load(std::memory_order_relaxed) - 1; level >= 0; --level) {
    while (const Node* next = next_of(at, level)) at = next;
  }
  return at;
}

const char* Memtable::keep(std::string_view value) {
  const bool may_share = value.size() >= kSharedValueBytesMin;
  if (may_share && value == last_value_) return last_value_.data();
  char* copy = arena_.allocate(value.size());
  if (!value.empty()) std::memcpy(copy, value.data(), value.size());
  if (may_share) last_value_ = std::string_view(copy, value.size());
  return copy;
}

void Memtable::push(uint32_t keyspace, std::string_view key, const Version& version) {
  Node* node = lists_[keyspace].insert(arena_, key);
  auto* made = new (arena_.allocate(sizeof(Version))) Version(version);
  made->older = node->newest.load(std::memory_order_relaxed);
  node->newest.store(made, std::memory_order_release);
  payload_ += key.size() + version.size;
}

void Memtable::put(uint32_t keyspace, std::string_view key, std::string_view value, uint64_t seq) {
  const char* data = keep(value);
  push(keyspace, key, Version{seq, nullptr, data, static_cast<uint32_t>(value.size()), false});
}

void Memtable::remove(uint32_t keyspace, std::string_view key, uint64_t seq) {
  push(keyspace, key, Version{seq, nullptr, nullptr, 0, true});
}

void Memtable::set_position(uint64_t seq, uint64_t index, uint64_t term) {
  seq_ = seq;
  index_ = index;
  term_ = term;
}

const Version* Memtable::find(uint32_t keyspace, std::string_view key, uint64_t seq) const {
  const Node* node = lists_[keyspace].find_ge(key);
  if (node == nullptr || node->key() != key) return nullptr;
  return node->visible(seq);
}

}  // namespace mortise::lmdb
