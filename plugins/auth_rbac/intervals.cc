#include "plugins/auth_rbac/intervals.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace mortise::auth_rbac {
namespace {

// Does `a` end where `b` ends, or later?
bool reaches(const Interval& a, const Interval& b) { return a.open || (!b.open && a.end >= b.end); }

// The first bytes as a number that is ordered as they are; shorter texts end in zeros.
uint64_t head_of(std::string_view text) {
  unsigned char bytes[sizeof(uint64_t)] = {};
  if (!text.empty()) std::memcpy(bytes, text.data(), std::min(text.size(), sizeof(bytes)));
  uint64_t head = 0;
  for (const unsigned char b : bytes) head = head << 8 | b;
  return head;
}

size_t common_bytes(std::string_view a, std::string_view b) {
  const size_t most = std::min(a.size(), b.size());
  return static_cast<size_t>(std::mismatch(a.begin(), a.begin() + most, b.begin()).first -
                             a.begin());
}

}  // namespace

bool is_open_end(std::string_view range_end) { return range_end == std::string_view("\0", 1); }

bool ends_before_it_begins(std::string_view key, std::string_view range_end) {
  return !range_end.empty() && !is_open_end(range_end) && range_end <= key;
}

Interval to_interval(std::string_view key, std::string_view range_end) {
  Interval made;
  made.begin = key;
  made.open = is_open_end(range_end);
  if (range_end.empty()) {
    made.end.assign(key).push_back('\0');
  } else if (!made.open) {
    made.end = range_end;
  }
  return made;
}

Intervals::Intervals(std::vector<Interval> list) {
  std::erase_if(list, [](const Interval& i) { return !i.open && i.begin >= i.end; });
  std::sort(list.begin(), list.end(),
            [](const Interval& a, const Interval& b) { return a.begin < b.begin; });
  for (Interval& next : list) {
    if (list_.empty() || (!list_.back().open && list_.back().end < next.begin)) {
      list_.push_back(std::move(next));
    } else if (!reaches(list_.back(), next)) {
      list_.back().end = std::move(next.end);
      list_.back().open = next.open;
    }
  }
  list_.shrink_to_fit();
  if (list_.empty()) return;
  // They are sorted, so what the first and the last share is shared by all.
  const size_t common = common_bytes(list_.front().begin, list_.back().begin);
  prefix_ = list_.front().begin.substr(0, common);
  for (const Interval& i : list_)
    heads_.push_back(head_of(std::string_view(i.begin).substr(common)));
}

const Interval* Intervals::at(std::string_view key) const {
  if (list_.empty()) return nullptr;
  const int order = key.substr(0, prefix_.size()).compare(prefix_);
  if (order < 0) return nullptr;
  if (order > 0) return &list_.back();
  const auto heads =
      std::equal_range(heads_.begin(), heads_.end(), head_of(key.substr(prefix_.size())));
  const auto first = list_.begin() + (heads.first - heads_.begin());
  const auto last = list_.begin() + (heads.second - heads_.begin());
  const auto above = std::upper_bound(
      first, last, key, [](std::string_view k, const Interval& i) { return k < i.begin; });
  return above == list_.begin() ? nullptr : &*std::prev(above);
}

bool Intervals::contains(std::string_view key) const {
  const Interval* i = at(key);
  return i != nullptr && (i->open || key < i->end);
}

bool Intervals::covers(std::string_view key, std::string_view range_end) const {
  if (range_end.empty()) return contains(key);
  const Interval* i = at(key);
  if (i == nullptr) return false;
  if (i->open) return true;
  return !is_open_end(range_end) && key < i->end && range_end <= i->end;
}

}  // namespace mortise::auth_rbac
