// Makes the table of "mortise.watch/1" out of a C++ class; mortise/abi/watch.h is the contract.
//
//   class Index {
//    public:
//     static Status create(Host host, std::string_view config_json, std::unique_ptr<Index>& out);
//     Status add(uint64_t watcher, std::string_view key, std::string_view range_end);
//     void remove(uint64_t watcher);
//     void match(std::span<const mortise_bytes> keys, MatchSink sink);  // sink(watcher, event)
//   };
//
// The destructor is destroy(). An exception out of remove() or match() ends the process: a match
// that is left out would be an event that a client never sees.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "mortise/abi/watch.h"
#include "mortise/sdk/bytes.h"
#include "mortise/sdk/host.h"
#include "mortise/sdk/status.h"

namespace mortise::sdk {

// Takes the matches of one match() call; not to be kept longer.
class MatchSink {
 public:
  MatchSink(mortise_match_fn fn, void* context) noexcept : fn_(fn), context_(context) {}
  void operator()(uint64_t watcher, uint32_t event) const { fn_(context_, watcher, event); }

 private:
  mortise_match_fn fn_;
  void* context_;
};

namespace detail {

template <class Index>
struct WatchTrampolines {
  static Index& self_of(mortise_watch* p) noexcept { return *reinterpret_cast<Index*>(p); }
  static mortise_status create(const mortise_host* host, mortise_bytes config_json,
                               mortise_watch** out, mortise_error* error) noexcept {
    *out = nullptr;
    return guard(error, [&] {
      std::unique_ptr<Index> made;
      Status status = Index::create(Host(host), view(config_json), made);
      if (status.ok()) *out = reinterpret_cast<mortise_watch*>(made.release());
      return status;
    });
  }
  static mortise_status add(mortise_watch* p, uint64_t watcher, mortise_bytes key,
                            mortise_bytes range_end, mortise_error* error) noexcept {
    return guard(error, [&] { return self_of(p).add(watcher, view(key), view(range_end)); });
  }
  static void remove(mortise_watch* p, uint64_t watcher) noexcept { self_of(p).remove(watcher); }
  static void match(mortise_watch* p, const mortise_bytes* keys, size_t count,
                    mortise_match_fn sink, void* context) noexcept {
    self_of(p).match(std::span<const mortise_bytes>(keys, count), MatchSink(sink, context));
  }
  static void destroy(mortise_watch* p) noexcept { delete &self_of(p); }
};

}  // namespace detail

template <class Index>
constexpr mortise_watch_v1 watch_table() {
  using T = detail::WatchTrampolines<Index>;
  mortise_watch_v1 table{};
  table.struct_size = sizeof(table);
  table.create = &T::create;
  table.add = &T::add;
  table.remove = &T::remove;
  table.match = &T::match;
  table.destroy = &T::destroy;
  return table;
}

}  // namespace mortise::sdk
