#include "plugins/watch_interval/watch_index.h"

#include <utility>

#include "mortise/sdk/config.h"

namespace mortise::watch_interval {
namespace {

constexpr std::string_view kOpenEnd("\0", 1);

// Is `end` what follows `key` immediately, so that the range holds that one key?
bool is_successor(std::string_view key, std::string_view end) {
  return end.size() == key.size() + 1 && end.back() == '\0' && end.substr(0, key.size()) == key;
}

}  // namespace

sdk::Status WatchIndex::create(sdk::Host, std::string_view config_json,
                               std::unique_ptr<WatchIndex>& out) {
  sdk::Config config;
  MORTISE_SDK_RETURN_IF_ERROR(config.parse(config_json));
  MORTISE_SDK_RETURN_IF_ERROR(config.finish());
  out = std::make_unique<WatchIndex>();
  return sdk::Status();
}

sdk::Status WatchIndex::add(uint64_t watcher, std::string_view key, std::string_view range_end) {
  const bool open = range_end == kOpenEnd;
  const bool single = range_end.empty() || (!key.empty() && is_successor(key, range_end));
  if (single && key.empty()) return sdk::invalid("a watcher of one key needs a key");
  if (!single && !open && key >= range_end) return sdk::invalid("the range of a watcher is empty");
  const auto [entry, added] = places_.try_emplace(watcher);
  if (!added) {
    return sdk::invalid("watcher " + std::to_string(watcher) + " is in the index already");
  }
  try {
    if (single) {
      add_key(key, watcher, entry->second);
    } else {
      add_interval(key, range_end, open, watcher, entry->second);
    }
  } catch (...) {
    places_.erase(entry);
    throw;
  }
  return sdk::Status();
}

void WatchIndex::add_key(std::string_view key, uint64_t watcher, Place& place) {
  auto found = keys_.find(key);
  if (found == keys_.end()) found = keys_.try_emplace(std::string(key)).first;
  // Growing the list may fail only if it is not new, so an empty one is never left behind.
  place.position = found->second.add(watcher);
  place.key = &*found;
}

void WatchIndex::add_interval(std::string_view begin, std::string_view end, bool open,
                              uint64_t watcher, Place& place) {
  IntervalTree::Node& node = intervals_.find_or_add(begin, end, open);
  place.position = node.watchers.add(watcher);
  place.interval = &node;
}

void WatchIndex::remove(uint64_t watcher) {
  const auto entry = places_.find(watcher);
  if (entry == places_.end()) return;
  const Place place = entry->second;
  places_.erase(entry);
  WatcherList& list = place.key != nullptr ? place.key->second : place.interval->watchers;
  uint64_t moved = 0;
  if (list.remove(place.position, moved)) places_.find(moved)->second.position = place.position;
  if (!list.empty()) return;
  if (place.key != nullptr) {
    keys_.erase(keys_.find(place.key->first));
  } else {
    intervals_.erase(*place.interval);
  }
}

void WatchIndex::match(std::span<const mortise_bytes> keys, sdk::MatchSink sink) const {
  for (size_t i = 0; i < keys.size(); ++i) {
    const std::string_view key = sdk::view(keys[i]);
    const auto event = static_cast<uint32_t>(i);
    const auto report = [&](const WatcherList& watchers) {
      for (const uint64_t watcher : watchers) sink(watcher, event);
    };
    if (const auto found = keys_.find(key); found != keys_.end()) report(found->second);
    intervals_.stab(key, [&](const IntervalTree::Node& node) { report(node.watchers); });
  }
}

}  // namespace mortise::watch_interval
