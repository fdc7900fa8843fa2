#include "plugins/backend_lmdb/options.h"

#include "mortise/sdk/config.h"

namespace mortise::lmdb {

Status Options::parse(std::string_view json, Options& out) {
  constexpr uint64_t kKiB = uint64_t{1} << 10;
  constexpr uint64_t kMiB = uint64_t{1} << 20;
  constexpr uint64_t kTiB = uint64_t{1} << 40;
  sdk::Config config;
  MORTISE_SDK_RETURN_IF_ERROR(config.parse(json));
  Options o;
  o.write_buffer_bytes = config.get_size("write_buffer", o.write_buffer_bytes, 64 * kKiB, kTiB);
  o.frozen_max = config.get_u64("frozen_max", o.frozen_max, 1, 64);
  o.flush_txn_bytes = config.get_size("flush_txn", o.flush_txn_bytes, 64 * kKiB, 256 * kMiB);
  o.map_size_bytes = config.get_size("map_size", o.map_size_bytes, kMiB, 64 * kTiB);
  o.readers_max = config.get_u64("readers_max", o.readers_max, 16, 1 << 20);
  o.resident_limit_bytes = config.get_size("resident_limit", o.resident_limit_bytes);
  o.readahead = config.get_bool("readahead", o.readahead);
  MORTISE_SDK_RETURN_IF_ERROR(config.finish());
  out = o;
  return Status();
}

}  // namespace mortise::lmdb
