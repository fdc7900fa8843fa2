#include "host/lock/line.h"

#include <utility>

#include "host/base/check.h"

namespace mortise::lock {

int64_t& Line::keys_around(int64_t create_revision) {
  auto after = places_.upper_bound(Place{create_revision, std::numeric_limits<uint64_t>::max()});
  return after == places_.end() ? keys_behind_ : after->second.keys_before;
}

void Line::forget_keys() {
  for (auto& [place, waiting] : places_) waiting.keys_before = 0;
  keys_behind_ = 0;
}

Line::Place Line::enter_last(int64_t revision, uint64_t id) {
  Place place{revision, ++arrivals_};
  MORTISE_CHECK(places_.empty() || places_.rbegin()->first < place, "a new key is not the newest");
  places_.emplace_hint(places_.end(), place, Waiting{id, std::exchange(keys_behind_, 0)});
  return place;
}

bool Line::enter(int64_t revision, uint64_t id, Place* place) {
  *place = Place{revision, ++arrivals_};
  auto at = places_.emplace(*place, Waiting{id, 0}).first;
  return at != places_.begin() && std::prev(at)->first.revision == revision;
}

void Line::leave(const Place& place) {
  auto at = places_.find(place);
  MORTISE_CHECK(at != places_.end(), "left a line without having been in it");
  int64_t keys = at->second.keys_before;
  auto next = places_.erase(at);
  (next == places_.end() ? keys_behind_ : next->second.keys_before) += keys;
}

bool Line::is_first(const Place& place) const {
  return !places_.empty() && places_.begin()->first == place &&
         places_.begin()->second.keys_before == 0;
}

std::vector<uint64_t> Line::first() const {
  std::vector<uint64_t> ids;
  for (const auto& [place, waiting] : places_) {
    if (waiting.keys_before != 0) break;
    ids.push_back(waiting.id);
  }
  return ids;
}

}  // namespace mortise::lock
