// The index from keys to watchers; mortise/abi/watch.h says what it promises.
//
// Watchers of one key are in a hash table by that key, watchers of ranges in an interval tree.
// Every watcher is in exactly one place, so walking the events in order gives each watcher its
// events ascending and once. A table by watcher number makes removal fast.
//
// All calls come from one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "mortise/sdk/host.h"
#include "mortise/sdk/status.h"
#include "mortise/sdk/watch.h"
#include "plugins/watch_interval/interval_tree.h"
#include "plugins/watch_interval/watcher_list.h"

namespace mortise::watch_interval {

class WatchIndex {
 public:
  static sdk::Status create(sdk::Host host, std::string_view config_json,
                            std::unique_ptr<WatchIndex>& out);

  sdk::Status add(uint64_t watcher, std::string_view key, std::string_view range_end);
  void remove(uint64_t watcher);
  void match(std::span<const mortise_bytes> keys, sdk::MatchSink sink) const;

 private:
  struct KeyHash {
    using is_transparent = void;
    size_t operator()(std::string_view key) const { return std::hash<std::string_view>()(key); }
  };
  using KeyTable = std::unordered_map<std::string, WatcherList, KeyHash, std::equal_to<>>;

  // Where a watcher is: in one of the two, at a position of the list there.
  struct Place {
    KeyTable::value_type* key = nullptr;
    IntervalTree::Node* interval = nullptr;
    uint32_t position = 0;
  };

  void add_key(std::string_view key, uint64_t watcher, Place& place);
  void add_interval(std::string_view begin, std::string_view end, bool open, uint64_t watcher,
                    Place& place);

  KeyTable keys_;
  IntervalTree intervals_;
  std::unordered_map<uint64_t, Place> places_;
};

}  // namespace mortise::watch_interval
