// A set of keys as a sorted list of half-open intervals without overlap or contact: what a user may
// read, or what they may write.
//
//   grants [a, c), [b, d), the point x          list [a, d), [x, x\0)
//   contains(b), covers(a, d), covers(c, c\0)   yes, by one binary search
//   covers(a, e)                                no: it is not within one interval
//
// Built once, then immutable; any thread. Bounds are bytes, compared without sign; an end may be
// open.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/auth_rbac/records.h"

namespace mortise::auth_rbac {

struct Interval {
  std::string begin;
  std::string end;
  bool open = false;  // No end.
};

// range_end as in requests: empty is one key, "\0" is open.
bool is_open_end(std::string_view range_end);
// Such a range has no keys in it.
bool ends_before_it_begins(std::string_view key, std::string_view range_end);
Interval to_interval(std::string_view key, std::string_view range_end);

class Intervals {
 public:
  Intervals() = default;
  // In any order, with overlaps; those without a key in them do not count.
  explicit Intervals(std::vector<Interval> list);

  bool contains(std::string_view key) const;
  // Of a range with keys in it; for others see permission_tree.h.
  bool covers(std::string_view key, std::string_view range_end) const;

  const std::vector<Interval>& list() const { return list_; }

 private:
  // The last interval that begins at the key or before it; null if there is none.
  const Interval* at(std::string_view key) const;

  std::vector<Interval> list_;
  // What all begins have in common, and the eight bytes after it as a number: most of a search
  // looks at these alone, side by side in memory.
  std::string prefix_;
  std::vector<uint64_t> heads_;
};

}  // namespace mortise::auth_rbac
