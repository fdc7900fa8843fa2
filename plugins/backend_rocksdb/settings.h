// The settings of a store, from the JSON object of the configuration, and what they mean to
// RocksDB.
//
// Read once, when a store is opened; docs/backends.md lists the names for operators.
#pragma once

#include <rocksdb/cache.h>
#include <rocksdb/options.h>
#include <rocksdb/write_buffer_manager.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "plugins/backend_rocksdb/errors.h"

namespace mortise::backend_rocksdb {

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
constexpr uint64_t kGiB = 1024 * kMiB;

struct Settings {
  uint64_t memory_limit = 64 * kMiB;
  uint64_t write_buffer_limit = 0;  // 0: half of memory_limit.
  uint64_t block_size = 8 * kKiB;
  uint64_t bloom_bits = 10;
  std::string compression = "lz4";
  std::string bottom_compression = "lz4";
  std::string compaction = "universal";
  uint64_t background_threads = 3;
  uint64_t background_bytes_per_second = 0;  // 0: no limit.
  uint64_t open_files_max = 0;               // 0: no limit.
  uint64_t level0_files = 6;
  uint64_t level_base_bytes = 256 * kMiB;
  uint64_t file_bytes = 64 * kMiB;
  uint64_t log_bytes = kMiB;
  std::string rocksdb_options;

  static Status parse(std::string_view json, Settings& out);
};

// What the databases of one store share, so that a memory limit holds for all of them.
struct Engine {
  rocksdb::Options options;
  std::shared_ptr<rocksdb::Cache> cache;
  std::shared_ptr<rocksdb::WriteBufferManager> write_buffers;
};

Status make_engine(const Settings& settings, Engine& out);

}  // namespace mortise::backend_rocksdb
