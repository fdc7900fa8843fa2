// Number of keys in blocks of the key space, so that the count of a large range costs its blocks
// and not its keys.
//
// The key space is cut into blocks of at most kBlockKeysMax keys; a block is named by its lower
// bound and reaches to the next one. The apply thread holds the bounds and counts in memory (a
// block for some hundred keys, so less than a byte a key) and writes changed ones with the batch
// that changed them to the key_counts keyspace: 'b' + lower bound -> count, 8 bytes little endian.
// Reads on other threads use those rows through their own view.
#pragma once

#include <map>
#include <set>
#include <string>

#include "host/base/arena.h"
#include "host/mvcc/view.h"

namespace mortise::mvcc {

constexpr uint64_t kBlockKeysMax = 1024;
constexpr uint64_t kBlockKeysMin = 128;

class KeyCounter : public BlockCounts {
 public:
  // Loads the blocks: one row for some hundred keys.
  Status load(const store::Reader& reader);

  void add(std::string_view key, int64_t by);
  // Cuts blocks that have grown too large, by walking them, and joins small ones; then adds the
  // rows of changed blocks to the batch. `context` sees all writes counted so far.
  Status flush(const ReadContext& context, Arena* arena, store::WriteBatch* batch);

  Status visit(std::string_view lower,
               const std::function<bool(std::string_view, uint64_t)>& visit) const override;
  uint64_t total() const { return total_; }

 private:
  using Blocks = std::map<std::string, uint64_t, std::less<>>;
  Blocks::iterator block_of(std::string_view key);
  Status split(const ReadContext& context, const std::string& lower);
  void join(const std::string& lower);
  void write_row(std::string_view lower, Arena* arena, store::WriteBatch* batch) const;

  Blocks blocks_{{std::string(), 0}};
  std::set<std::string, std::less<>> changed_;  // Bounds whose rows differ from the store's.
  uint64_t total_ = 0;
};

}  // namespace mortise::mvcc
