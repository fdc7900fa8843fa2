// What this shared object offers: a backend on RocksDB.
#include "mortise/sdk/plugin.h"

#include "mortise/sdk/backend.h"
#include "plugins/backend_rocksdb/store.h"

namespace {

constexpr mortise_backend_v1 kTable =
    mortise::sdk::backend_table<mortise::backend_rocksdb::Store>();

}  // namespace

MORTISE_DEFINE_PLUGIN("backend_rocksdb", "1.0.0", "Stores data in RocksDB",
                      MORTISE_PLUGIN_INTERFACE(MORTISE_BACKEND_ID, kTable))
