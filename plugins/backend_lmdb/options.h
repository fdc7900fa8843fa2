// The plugin's options, out of config_json. Plain value.
#pragma once

#include <cstdint>
#include <string_view>

#include "plugins/backend_lmdb/error.h"

namespace mortise::lmdb {

struct Options {
  uint64_t write_buffer_bytes = uint64_t{32} << 20;  // A memtable is frozen at this size.
  uint64_t frozen_max = 2;  // Memtables that wait for LMDB before commit() waits.
  uint64_t flush_txn_bytes = uint64_t{16} << 20;  // Dirty pages of one LMDB transaction.
  uint64_t map_size_bytes = uint64_t{1} << 40;  // Address space reserved at open; grows by itself.
  uint64_t readers_max = 4096;                  // Readers open at the same time.
  uint64_t resident_limit_bytes = uint64_t{64}
                                  << 20;  // Pages of the file mapped in; 0: as the system likes.
  bool readahead = false;                 // Let the system read ahead of page faults.

  // An option that is unknown or out of range is an error by name.
  static Status parse(std::string_view json, Options& out);
};

}  // namespace mortise::lmdb
