// Carries what RocksDB has to say to the host: warnings and errors of its log, background failures,
// and times in which it makes writers wait. Its full log stays in the store's directory.
//
// Called by RocksDB on its own threads; the host's log may be used from any.
#pragma once

#include <rocksdb/options.h>

#include <string>

#include "mortise/sdk/host.h"
#include "plugins/backend_rocksdb/errors.h"

namespace mortise::backend_rocksdb {

// Sets the log and the listener of `options` for a database in `path`, which exists.
Status connect_host(const sdk::Host& host, const std::string& path, rocksdb::Options& options);

}  // namespace mortise::backend_rocksdb
