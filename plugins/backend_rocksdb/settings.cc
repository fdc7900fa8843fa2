#include "plugins/backend_rocksdb/settings.h"

#include <rocksdb/convenience.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/rate_limiter.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/table_properties_collectors.h>

#include <algorithm>
#include <array>
#include <utility>

#include "mortise/sdk/config.h"

namespace mortise::backend_rocksdb {
namespace {

// A file with this many deletions among this many neighbouring entries is compacted soon, so that a
// scan over history that was compacted away does not have to step over it for long.
constexpr size_t kDeletionWindowEntries = 8192;
constexpr size_t kDeletionTriggerEntries = 4096;

// A commit that waits for the disk makes the whole server wait, and a lookup is fast with many
// files in level 0 because each has a filter; so writers are slowed down late.
constexpr int kLevel0SlowdownFiles = 48;
constexpr int kLevel0StopFiles = 96;
constexpr int kWriteBuffersMax = 8;

// Ten bits of filter for each of 100,000 rows in a write buffer of a keyspace; a lookup of a key
// that was not written lately then does not walk the skip list.
constexpr uint64_t kMemtableFilterBytes = 128 * kKiB;
constexpr double kMemtableFilterShareMax =
    1.0 / 256;  // There is one for each of seventeen buffers.

// Every keyspace holds at least one block, used or not, and it counts against the write buffers;
// big ones would leave so little that tiny buffers are flushed all the time.
constexpr size_t kArenaBlockBytes = 64 * kKiB;

// Tables that differ by no more than this are merged together: fewer and larger merges.
constexpr unsigned int kUniversalSizeRatioPercent = 10;

// Few shards: the filter of one big file has to fit into its shard beside much else, or every
// lookup reads it anew.
constexpr int kCacheShardBits = 2;

constexpr uint64_t kManifestBytesMax = 16 * kMiB;
constexpr uint64_t kBytesPerSync = kMiB;
constexpr size_t kLogFiles = 2;

using CompressionName = std::pair<std::string_view, rocksdb::CompressionType>;
constexpr std::array<CompressionName, 4> kCompressions = {{{"none", rocksdb::kNoCompression},
                                                           {"lz4", rocksdb::kLZ4Compression},
                                                           {"snappy", rocksdb::kSnappyCompression},
                                                           {"zstd", rocksdb::kZSTD}}};

Status parse_compression(std::string_view option, const std::string& name,
                         rocksdb::CompressionType& out) {
  for (const auto& [known, type] : kCompressions) {
    if (known != name) continue;
    const auto supported = rocksdb::GetSupportedCompressions();
    if (std::find(supported.begin(), supported.end(), type) == supported.end()) {
      return failure(MORTISE_E_INVALID,
                     std::string(option) + ": the RocksDB library has no " + name + " compression");
    }
    out = type;
    return Status();
  }
  return failure(MORTISE_E_INVALID,
                 std::string(option) + ": \"" + name + "\" is none of none, lz4, snappy, zstd");
}

rocksdb::BlockBasedTableOptions table_options(const Settings& settings,
                                              const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.block_size = settings.block_size;
  // Index and filters count against the memory limit like everything else, but stay longer than
  // data.
  table.cache_index_and_filter_blocks = true;
  table.cache_index_and_filter_blocks_with_high_priority = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.format_version = 5;
  // Debian's library is built without the CRC32C instruction; this sum needs none.
  table.checksum = rocksdb::kXXH3;
  if (settings.bloom_bits > 0) {
    table.filter_policy.reset(
        rocksdb::NewBloomFilterPolicy(static_cast<double>(settings.bloom_bits)));
  }
  return table;
}

void set_database_options(const Settings& settings, rocksdb::DBOptions& options) {
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  options.max_background_jobs = static_cast<int>(settings.background_threads);
  options.max_open_files =
      settings.open_files_max == 0 ? -1 : static_cast<int>(settings.open_files_max);
  // One thread writes, and it needs neither queues nor a concurrent skip list.
  options.allow_concurrent_memtable_write = false;
  options.enable_write_thread_adaptive_yield = false;
  options.enable_pipelined_write = false;
  // The host syncs before it closes if it wants to; a close then takes no time.
  options.avoid_flush_during_shutdown = true;
  options.skip_stats_update_on_db_open = true;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.max_manifest_file_size = kManifestBytesMax;
  // Spreads the writing of big files, so that the host's log does not wait behind one long sync.
  options.bytes_per_sync = kBytesPerSync;
  options.keep_log_file_num = kLogFiles;
  options.max_log_file_size = settings.log_bytes;
  if (settings.background_bytes_per_second > 0) {
    options.rate_limiter.reset(
        rocksdb::NewGenericRateLimiter(static_cast<int64_t>(settings.background_bytes_per_second)));
  }
}

Status set_keyspace_options(const Settings& settings, const std::shared_ptr<rocksdb::Cache>& cache,
                            rocksdb::ColumnFamilyOptions& options) {
  rocksdb::CompressionType upper{};
  rocksdb::CompressionType bottom{};
  if (Status s = parse_compression("compression", settings.compression, upper); !s.ok()) return s;
  if (Status s = parse_compression("bottom_compression", settings.bottom_compression, bottom);
      !s.ok()) {
    return s;
  }
  options.compression = upper;
  options.bottommost_compression = bottom;
  options.bottommost_compression_opts.enabled = true;
  options.bottommost_compression_opts.level = 1;
  options.compaction_style = settings.compaction == "universal" ? rocksdb::kCompactionStyleUniversal
                                                                : rocksdb::kCompactionStyleLevel;
  // Rows that only ever come in key order, as a history does, are then never rewritten.
  options.compaction_options_universal.allow_trivial_move = true;
  options.compaction_options_universal.size_ratio = kUniversalSizeRatioPercent;
  // The write buffer manager decides when to flush, over all keyspaces together.
  options.write_buffer_size = settings.write_buffer_limit;
  options.arena_block_size = kArenaBlockBytes;
  options.max_write_buffer_number = kWriteBuffersMax;
  options.memtable_whole_key_filtering = true;
  options.memtable_prefix_bloom_size_ratio =
      std::min(kMemtableFilterShareMax, static_cast<double>(kMemtableFilterBytes) /
                                            static_cast<double>(settings.write_buffer_limit));
  options.level_compaction_dynamic_level_bytes =
      options.compaction_style == rocksdb::kCompactionStyleLevel;
  options.level0_file_num_compaction_trigger = static_cast<int>(settings.level0_files);
  options.level0_slowdown_writes_trigger = kLevel0SlowdownFiles;
  options.level0_stop_writes_trigger = kLevel0StopFiles;
  options.max_bytes_for_level_base = settings.level_base_bytes;
  options.target_file_size_base = settings.file_bytes;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table_options(settings, cache)));
  options.table_properties_collector_factories.push_back(
      rocksdb::NewCompactOnDeletionCollectorFactory(kDeletionWindowEntries,
                                                    kDeletionTriggerEntries));
  return Status();
}

// What makes a store a store, whatever the operator's own options say.
void set_fixed_options(const Engine& engine, rocksdb::Options& options) {
  // Without a log of its own, RocksDB loses nothing but whole commits only if all column families
  // are flushed together: the records of one flush are one group in the manifest, applied all or
  // not at all.
  options.atomic_flush = true;
  // The library keeps one hint for rows and range deletions together, and stops at the first mix.
  options.memtable_insert_with_hint_prefix_extractor = nullptr;
  options.comparator = rocksdb::BytewiseComparator();
  options.merge_operator = nullptr;
  options.compaction_filter = nullptr;
  options.compaction_filter_factory = nullptr;
  options.write_buffer_manager = engine.write_buffers;
  options.error_if_exists = false;
}

}  // namespace

Status Settings::parse(std::string_view json, Settings& out) {
  sdk::Config config;
  if (Status status = config.parse(json); !status.ok()) return status;
  Settings s;
  s.memory_limit = config.get_size("memory_limit", s.memory_limit, 16 * kMiB, 1024 * kGiB);
  s.write_buffer_limit =
      config.get_size("write_buffer_limit", s.memory_limit / 2, 4 * kMiB, 512 * kGiB);
  s.block_size = config.get_size("block_size", s.block_size, kKiB, 4 * kMiB);
  s.bloom_bits = config.get_u64("bloom_bits", s.bloom_bits, 0, 64);
  s.compression = config.get_string("compression", s.compression);
  s.bottom_compression = config.get_string("bottom_compression", s.bottom_compression);
  s.compaction = config.get_string("compaction", s.compaction);
  if (s.compaction != "universal" && s.compaction != "leveled") {
    config.fail("compaction", "is neither universal nor leveled");
  }
  s.background_threads = config.get_u64("background_threads", s.background_threads, 2, 64);
  s.background_bytes_per_second =
      config.get_size("background_bytes_per_second", s.background_bytes_per_second, 0, 1024 * kGiB);
  s.open_files_max = config.get_u64("open_files_max", s.open_files_max, 0, 10'000'000);
  s.level0_files = config.get_u64("level0_files", s.level0_files, 2, 32);
  s.level_base_bytes = config.get_size("level_base_bytes", s.level_base_bytes, kMiB, 1024 * kGiB);
  s.file_bytes = config.get_size("file_bytes", s.file_bytes, kMiB, 64 * kGiB);
  s.log_bytes = config.get_size("log_bytes", s.log_bytes, 64 * kKiB, kGiB);
  s.rocksdb_options = config.get_string("rocksdb_options", s.rocksdb_options);
  if (Status status = config.finish(); !status.ok()) return status;
  if (s.write_buffer_limit > s.memory_limit) {
    return failure(MORTISE_E_INVALID, "write_buffer_limit is greater than memory_limit");
  }
  if (s.open_files_max != 0 && s.open_files_max < 64) {
    return failure(MORTISE_E_INVALID, "open_files_max: 0 for no limit, or at least 64");
  }
  out = std::move(s);
  return Status();
}

Status make_engine(const Settings& settings, Engine& out) {
  Engine engine;
  rocksdb::LRUCacheOptions cache_options;
  cache_options.capacity = settings.memory_limit;
  cache_options.high_pri_pool_ratio = 0.5;
  cache_options.num_shard_bits = kCacheShardBits;
  engine.cache = rocksdb::NewLRUCache(cache_options);
  // Write buffers are charged to the cache: what they do not need holds blocks.
  engine.write_buffers = std::make_shared<rocksdb::WriteBufferManager>(settings.write_buffer_limit,
                                                                       engine.cache, false);
  rocksdb::Options& options = engine.options;
  set_database_options(settings, options);
  if (Status status = set_keyspace_options(settings, engine.cache, options); !status.ok()) {
    return status;
  }
  if (!settings.rocksdb_options.empty()) {
    rocksdb::ConfigOptions parser;
    parser.ignore_unknown_options = false;
    rocksdb::Options changed;
    const rocksdb::Status parsed =
        rocksdb::GetOptionsFromString(parser, options, settings.rocksdb_options, &changed);
    if (!parsed.ok()) {
      return failure(MORTISE_E_INVALID, "rocksdb_options: " + parsed.ToString());
    }
    options = changed;
  }
  set_fixed_options(engine, options);
  out = std::move(engine);
  return Status();
}

}  // namespace mortise::backend_rocksdb
