#include "plugins/backend_lmdb/error.h"

#include <lmdb.h>

#include <string>

namespace mortise::lmdb {

Status mdb_error(int rc, std::string_view what) {
  if (rc > 0) return sdk::io_error(rc, what);
  std::string text = std::string(what) + ": " + ::mdb_strerror(rc);
  switch (rc) {
    case MDB_READERS_FULL: return sdk::internal_error(text + " (option readers_max)");
    case MDB_MAP_FULL:
    case MDB_DBS_FULL:
    case MDB_TXN_FULL:
    case MDB_BAD_TXN:
    case MDB_BAD_RSLOT:
    case MDB_BAD_DBI:
    case MDB_CURSOR_FULL:
    case MDB_MAP_RESIZED: return sdk::internal_error(std::move(text));
    default: return sdk::corruption(std::move(text));
  }
}

}  // namespace mortise::lmdb
