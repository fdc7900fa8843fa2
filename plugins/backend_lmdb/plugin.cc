#include "mortise/sdk/plugin.h"

#include "mortise/sdk/backend.h"
#include "plugins/backend_lmdb/store.h"

namespace {

constexpr mortise_backend_v1 kBackend = mortise::sdk::backend_table<mortise::lmdb::Store>();

}  // namespace

MORTISE_DEFINE_PLUGIN("backend_lmdb", "1.0.0", "Keys and values in LMDB, behind a table in memory",
                      MORTISE_PLUGIN_INTERFACE(MORTISE_BACKEND_ID, kBackend))
