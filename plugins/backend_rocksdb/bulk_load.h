// Fills a new, empty database from a sorted source, by writing table files and adding them: each
// pair is written once, into the bottom level, whatever the amount.
//
// Used by Store::replace(), on its thread. On failure the database is of no use and is removed.
#pragma once

#include <rocksdb/options.h>

#include "mortise/abi/backend.h"
#include "plugins/backend_rocksdb/errors.h"
#include "plugins/backend_rocksdb/generation.h"

namespace mortise::backend_rocksdb {

Status bulk_load(const Generation& generation, const rocksdb::Options& options,
                 mortise_source_fn source, void* context);

}  // namespace mortise::backend_rocksdb
