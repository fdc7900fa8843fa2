#include "host/apply/effect_hash.h"

#include <bit>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "host/store/keyspaces.h"

namespace mortise::apply {
namespace {

constexpr uint64_t kFactor = 0x9e3779b97f4a7c15;

uint64_t join(uint64_t hash, uint64_t next) { return (std::rotl(hash, 29) ^ next) * kFactor; }

uint64_t hash_of(mortise_bytes bytes) { return XXH3_64bits(bytes.data, bytes.size); }

}  // namespace

uint64_t effect_digest(uint64_t index, uint64_t term, int64_t revision,
                       std::span<const mortise_write_op> rows) {
  uint64_t hash = join(join(join(kFactor, index), term), static_cast<uint64_t>(revision));
  for (const mortise_write_op& row : rows) {
    // The other rows of a key hold what its revision holds. A lease's row has the granted time,
    // which depends on the member's election timeout.
    bool whole = row.keyspace == store::kRevisions || row.keyspace == store::kAuth;
    if (!whole && row.keyspace != store::kLeases && row.keyspace != store::kLeaseKeys) continue;
    hash = join(hash, row.keyspace << 8 | static_cast<uint32_t>(row.kind));
    hash = join(hash, hash_of(row.key));
    if (whole) hash = join(hash, hash_of(row.value));
  }
  // Sums of digests must differ wherever one digest does.
  hash ^= hash >> 32;
  hash *= kFactor;
  return hash ^ hash >> 29;
}

void EffectHash::start(uint64_t index) {
  unseen_.clear();
  last_ = 0;
  std::lock_guard lock(mutex_);
  span_ = {index, index};
}

void EffectHash::show() {
  std::lock_guard lock(mutex_);
  for (uint64_t sum : unseen_) {
    uint64_t index = ++span_.newest;
    newest_[index % kNewestMax] = sum;
    if (index % kMarkEvery == 0) marks_[index / kMarkEvery % kMarksMax] = sum;
  }
  unseen_.clear();
}

EffectHash::Span EffectHash::span() const {
  std::lock_guard lock(mutex_);
  return span_;
}

std::optional<uint64_t> EffectHash::sum(uint64_t index) const {
  std::lock_guard lock(mutex_);
  if (index < span_.first || index > span_.newest) return std::nullopt;
  if (index == span_.first) return 0;
  if (span_.newest - index < kNewestMax) return newest_[index % kNewestMax];
  uint64_t mark = index / kMarkEvery;
  if (index % kMarkEvery != 0 || span_.newest / kMarkEvery - mark >= kMarksMax) return std::nullopt;
  return marks_[mark % kMarksMax];
}

}  // namespace mortise::apply
