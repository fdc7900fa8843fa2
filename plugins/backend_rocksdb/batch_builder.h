// Turns the operations of one commit into a RocksDB write batch.
//
// RocksDB deletes a range by a marker that every later read of the keyspace has to consider until a
// compaction removes it. A short range is therefore deleted key by key, and only a long one by a
// marker.
//
// Rows go into the batch in key order, so that the search for a row's place in the write buffer
// passes over memory that the one before it has touched. A commit that deletes a range keeps the
// order of its operations, as the range covers what came before it.
//
// Used by Store::commit(), on its thread.
#pragma once

#include <rocksdb/write_batch.h>

#include <cstddef>

#include "mortise/abi/backend.h"
#include "plugins/backend_rocksdb/errors.h"
#include "plugins/backend_rocksdb/generation.h"

namespace mortise::backend_rocksdb {

// OK, or MORTISE_E_INVALID with the first operation that breaks the contract.
Status check_ops(const mortise_write_op* ops, size_t count);

// Adds checked operations to `batch`, whose effects follow those committed to `generation`.
Status add_ops(const Generation& generation, const mortise_write_op* ops, size_t count,
               rocksdb::WriteBatch& batch);

}  // namespace mortise::backend_rocksdb
