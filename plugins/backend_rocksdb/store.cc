#include "plugins/backend_rocksdb/store.h"

#include <rocksdb/perf_level.h>
#include <rocksdb/utilities/checkpoint.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "plugins/backend_rocksdb/batch_builder.h"
#include "plugins/backend_rocksdb/bulk_load.h"
#include "plugins/backend_rocksdb/host_bridge.h"

namespace mortise::backend_rocksdb {
namespace {

// A commit's buffer is kept for the next one up to this size.
constexpr size_t kKeptBatchBytesMax = 4 * kMiB;

// A keyspace is worth compacting in reclaim() when it has this share of garbage, or any deletion.
constexpr uint64_t kGarbagePercentMin = 5;

uint64_t property(const Generation& generation, rocksdb::ColumnFamilyHandle* family,
                  const std::string& name) {
  uint64_t value = 0;
  return generation.db().GetIntProperty(family, name, &value) ? value : 0;
}

}  // namespace

Status Store::open(sdk::Host host, const std::string& path, std::string_view config_json,
                   std::unique_ptr<Store>& out) {
  Settings settings;
  if (Status status = Settings::parse(config_json, settings); !status.ok()) return status;
  Engine engine;
  if (Status status = make_engine(settings, engine); !status.ok()) return status;
  std::unique_ptr<StoreDir> dir;
  if (Status status = StoreDir::open(path, dir); !status.ok()) return status;
  dir->remove_leftovers();
  std::unique_ptr<Store> store(new Store(host, std::move(dir), std::move(engine)));
  if (store->dir_->generation() == 0) {
    if (Status status = store->create(); !status.ok()) return status;
  } else {
    const Status status =
        store->open_generation(store->dir_->generation(), false, store->generation_);
    if (!status.ok()) return status;
  }
  if (Status status = store->generation_->read_position(store->position_); !status.ok()) {
    return status;
  }
  out = std::move(store);
  return Status();
}

Status Store::open_generation(uint64_t number, bool create,
                              std::shared_ptr<Generation>& out) const {
  const std::string path = dir_->generation_path(number);
  if (create && ::mkdir(path.c_str(), 0700) != 0) {
    return system_failure(errno, "cannot create", path);
  }
  rocksdb::Options options(engine_.options);
  if (Status status = connect_host(host_, path, options); !status.ok()) return status;
  return Generation::open(path, options, create, out);
}

Status Store::create() {
  std::shared_ptr<Generation> generation;
  if (Status status = open_generation(1, true, generation); !status.ok()) return status;
  if (Status status = dir_->publish(1); !status.ok()) return status;
  generation_ = std::move(generation);
  return Status();
}

std::shared_ptr<Generation> Store::current() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return generation_;
}

Status Store::commit(const mortise_commit_request& request) {
  // Only this thread changes generation_ and position_, so it may read them without the mutex.
  if (request.applied_index < position_.index) {
    return failure(MORTISE_E_INVALID, "the applied index of a commit goes back from " +
                                          std::to_string(position_.index) + " to " +
                                          std::to_string(request.applied_index));
  }
  if (Status status = check_ops(request.ops, request.op_count); !status.ok()) return status;
  if (batch_.GetDataSize() > kKeptBatchBytesMax) {
    batch_ = rocksdb::WriteBatch();
  } else {
    batch_.Clear();
  }
  const Position position{request.applied_index, request.applied_term};
  if (Status s = add_ops(*generation_, request.ops, request.op_count, batch_); !s.ok()) return s;
  rocksdb::Status written = generation_->put_position(batch_, position);
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  // Nobody reads RocksDB's counters of this thread, which would count every comparison of keys.
  rocksdb::SetPerfLevel(rocksdb::PerfLevel::kDisable);
  if (written.ok()) written = generation_->db().Write(options, &batch_);
  if (!written.ok()) return from_rocksdb(written, "cannot commit to", generation_->path());
  // The old view is let go outside the mutex: that takes RocksDB's lock.
  std::shared_ptr<const View> old_view;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    position_ = position;
    old_view.swap(view_);
  }
  old_view.reset();
  return request.sync != 0 ? generation_->flush() : Status();
}

Status Store::sync(uint64_t& index) {
  std::shared_ptr<Generation> generation;
  Position position;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    generation = generation_;
    position = position_;
  }
  if (Status status = generation->flush(); !status.ok()) return status;
  index = position.index;
  return Status();
}

Status Store::applied(uint64_t& index, uint64_t& term) {
  const std::lock_guard<std::mutex> lock(mutex_);
  index = position_.index;
  term = position_.term;
  return Status();
}

Status Store::reader_open(std::unique_ptr<Reader>& out) {
  std::shared_ptr<const View> view;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (view_ == nullptr) view_ = std::make_shared<const View>(generation_);
    view = view_;
  }
  out = std::make_unique<Reader>(std::move(view));
  return Status();
}

Status Store::size(mortise_store_size& out) {
  const std::shared_ptr<Generation> generation = current();
  uint64_t allocated = 0;
  uint64_t live = 0;
  for (rocksdb::ColumnFamilyHandle* family : generation->families()) {
    const uint64_t files =
        property(*generation, family, rocksdb::DB::Properties::kTotalSstFilesSize);
    allocated += files;
    live += std::min(files,
                     property(*generation, family, rocksdb::DB::Properties::kEstimateLiveDataSize));
  }
  out.allocated_bytes = allocated;
  out.in_use_bytes = live;
  // The cache is charged for the write buffers too.
  out.memory_bytes = engine_.cache->GetUsage();
  return Status();
}

Status Store::reclaim_keyspace(const Generation& generation, uint32_t keyspace) {
  rocksdb::ColumnFamilyHandle* family = generation.keyspace(keyspace);
  rocksdb::ColumnFamilyMetaData files;
  generation.db().GetColumnFamilyMetaData(family, &files);
  if (files.size == 0) return Status();
  uint64_t deletions = 0;
  for (const rocksdb::LevelMetaData& level : files.levels) {
    for (const rocksdb::SstFileMetaData& file : level.files) deletions += file.num_deletions;
  }
  const uint64_t live = std::min(
      files.size, property(generation, family, rocksdb::DB::Properties::kEstimateLiveDataSize));
  if (deletions == 0 && (files.size - live) * 100 < files.size * kGarbagePercentMin) {
    return Status();
  }
  rocksdb::CompactRangeOptions options;
  options.exclusive_manual_compaction = false;
  options.allow_write_stall = false;
  options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
  const rocksdb::Status status = generation.db().CompactRange(options, family, nullptr, nullptr);
  return from_rocksdb(status, "cannot compact", generation.path());
}

Status Store::reclaim() {
  const std::shared_ptr<Generation> generation = current();
  // Deletions still in memory belong to the garbage.
  if (Status status = generation->flush(); !status.ok()) return status;
  for (uint32_t i = 0; i < MORTISE_KEYSPACE_COUNT_MAX; ++i) {
    if (Status status = reclaim_keyspace(*generation, i); !status.ok()) return status;
  }
  return Status();
}

Status Store::checkpoint(const std::string& path) {
  const std::shared_ptr<Generation> generation = current();
  if (::mkdir(path.c_str(), 0700) != 0) {
    std::error_code ec;
    if (errno != EEXIST) return system_failure(errno, "cannot create", path);
    if (!std::filesystem::is_empty(path, ec)) {
      return failure(MORTISE_E_INVALID, "the directory of a copy is not empty: " + path, EEXIST);
    }
  }
  // The copy links the files of the newest flush.
  if (Status status = generation->flush(); !status.ok()) return status;
  rocksdb::Checkpoint* raw = nullptr;
  rocksdb::Status made = rocksdb::Checkpoint::Create(&generation->db(), &raw);
  const std::unique_ptr<rocksdb::Checkpoint> copier(raw);
  if (made.ok()) made = copier->CreateCheckpoint(StoreDir::generation_path(path, 1));
  if (!made.ok()) return from_rocksdb(made, "cannot copy the store to", path);
  return StoreDir::write_marker(path, 1);
}

Status Store::replace(uint64_t index, uint64_t term, mortise_source_fn source, void* context) {
  const Position position{index, term};
  // Superseded generations that readers still hold have numbers too.
  uint64_t number = dir_->generation() + 1;
  std::error_code ec;
  while (std::filesystem::exists(dir_->generation_path(number), ec)) ++number;
  std::shared_ptr<Generation> next;
  if (Status status = open_generation(number, true, next); !status.ok()) return status;
  Status status = bulk_load(*next, engine_.options, source, context);
  if (status.ok()) {
    rocksdb::WriteBatch batch;
    rocksdb::WriteOptions options;
    options.disableWAL = true;
    rocksdb::Status written = next->put_position(batch, position);
    if (written.ok()) written = next->db().Write(options, &batch);
    status = from_rocksdb(written, "cannot write", next->path());
  }
  if (status.ok()) status = next->flush();
  if (status.ok()) status = dir_->publish(number);
  if (!status.ok()) {
    next->doom();
    return status;
  }
  std::shared_ptr<const View> old_view;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    generation_.swap(next);
    old_view.swap(view_);
    position_ = position;
  }
  next->doom();
  return Status();
}

}  // namespace mortise::backend_rocksdb
