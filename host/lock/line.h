// Those who wait until all older keys of one prefix are gone, in the order in which their own keys
// were created.
//
// Nobody's older keys are listed: each place counts the keys that are older than its own and not
// older than that of the place before, so a deletion costs one search, and memory is for those who
// wait and not for the keys that there are.
//
//   keys created at 5, 7, 8 and 9; places for 7 and 9:   [7: 1 key]  [9: 2 keys]  behind: 1
//   the key of 5 is deleted:                             [7: 0]      [9: 2]       behind: 1
//   7 has its turn and leaves, its key stays:                        [9: 2]       behind: 1
//
// Of a contest, on the keeper's thread.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>
#include <map>
#include <vector>

namespace mortise::lock {

class Line {
 public:
  struct Place {
    int64_t revision = 0;  // At which the key was created.
    uint64_t arrival = 0;  // Several may wait with one key.
    auto operator<=>(const Place&) const = default;
  };

  void add_key(int64_t create_revision) { ++keys_around(create_revision); }
  void remove_key(int64_t create_revision) { --keys_around(create_revision); }
  void forget_keys();

  // With a key that is newer than all there are, before it is added.
  Place enter_last(int64_t revision, uint64_t id);
  // With a key that has been there for a while. False: the keys must be counted anew.
  bool enter(int64_t revision, uint64_t id, Place* place);
  void leave(const Place& place);

  // Is nobody and no key before this place?
  bool is_first(const Place& place) const;
  // The ids of those that have no older key, in order.
  std::vector<uint64_t> first() const;
  bool empty() const { return places_.empty(); }

 private:
  struct Waiting {
    uint64_t id = 0;
    int64_t keys_before = 0;  // May be below zero while keys are counted.
  };
  using Places = std::map<Place, Waiting>;
  int64_t& keys_around(int64_t create_revision);

  Places places_;
  int64_t keys_behind_ = 0;  // Not older than the last place.
  uint64_t arrivals_ = 0;
};

}  // namespace mortise::lock
