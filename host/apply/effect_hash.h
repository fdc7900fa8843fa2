// A running hash of what applied entries did, so that members can be compared at any entry that
// both have applied, while it costs next to nothing.
//
// Each entry has a digest: of its index and term, the store's revision after it, and the rows of
// user data, users and roles that it wrote. The digests are added up from where this member began,
// so the difference of two sums is the hash of the entries in between, whatever was before, and two
// members that applied them compare it wherever each of them began. How entries were gathered to
// batches does not matter.
//
//   a member since entry 0      sum(5) = d1+..+d5   sum(9) = d1+..+d9
//   another one since entry 3   sum(5) = d4+d5      sum(9) = d4+..+d9     sum(9) - sum(5) is equal
//
// Not hashed is what members may rightly differ in: counts of keys, times of leases, rows that a
// compaction removes.
//
// add() and show() are the apply thread's; start() too, or before it runs. All others are for any
// thread.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "mortise/abi/backend.h"

namespace mortise::apply {

// Members of different versions cannot be compared.
constexpr uint32_t kEffectHashVersion = 2;

// What an entry did. `rows` are those that it wrote, `revision` is the store's after it.
uint64_t effect_digest(uint64_t index, uint64_t term, int64_t revision,
                       std::span<const mortise_write_op> rows);

class EffectHash {
 public:
  // Sums are kept of the newest entries, and of every so many-th one for longer: enough to find a
  // common one with a member that is some seconds behind.
  static constexpr uint64_t kNewestMax = 16384;
  static constexpr uint64_t kMarkEvery = 1024;
  static constexpr uint64_t kMarksMax = 4096;

  // Everything up to `index` came in another way.
  void start(uint64_t index);
  void add(uint64_t digest) {
    last_ += digest;
    unseen_.push_back(last_);
  }
  // What was added is committed.
  void show();

  struct Span {
    uint64_t first = 0;   // Sums begin behind this entry.
    uint64_t newest = 0;  // The last one that is committed.
  };
  Span span() const;
  // Of the entries behind the first up to `index`; nothing if it is not known (any more).
  std::optional<uint64_t> sum(uint64_t index) const;

 private:
  std::vector<uint64_t> unseen_;
  uint64_t last_ = 0;

  mutable std::mutex mutex_;  // Guards what follows.
  Span span_;
  std::array<uint64_t, kNewestMax> newest_{};
  std::array<uint64_t, kMarksMax> marks_{};
};

}  // namespace mortise::apply
