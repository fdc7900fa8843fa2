// What this shared object offers: a watch index of hash table and interval tree.
#include "mortise/sdk/plugin.h"

#include "mortise/sdk/watch.h"
#include "plugins/watch_interval/watch_index.h"

namespace {

constexpr mortise_watch_v1 kTable =
    mortise::sdk::watch_table<mortise::watch_interval::WatchIndex>();

}  // namespace

MORTISE_DEFINE_PLUGIN("watch_interval", "1.0.0", "Matches events to watchers by an interval tree",
                      MORTISE_PLUGIN_INTERFACE(MORTISE_WATCH_ID, kTable))
