#include "plugins/backend_rocksdb/generation.h"

#include <filesystem>
#include <system_error>
#include <utility>

namespace mortise::backend_rocksdb {
namespace {

constexpr std::string_view kPositionKey = "applied";
constexpr size_t kPositionBytes = 16;

std::string keyspace_name(uint32_t number) {
  return number < 10 ? "ks0" + std::to_string(number) : "ks" + std::to_string(number);
}

void put_u64(char* out, uint64_t value) {
  for (int i = 0; i < 8; ++i) out[i] = static_cast<char>(value >> (8 * i));
}

uint64_t get_u64(const char* in) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = value << 8 | static_cast<uint8_t>(in[i]);
  return value;
}

}  // namespace

Status Generation::open(const std::string& path, const rocksdb::Options& options, bool create,
                        std::shared_ptr<Generation>& out) {
  std::shared_ptr<Generation> generation(new Generation(path));
  rocksdb::Options adjusted(options);
  adjusted.create_if_missing = create;
  // A lost keyspace of an old store is damage, not something to make up for by an empty one.
  adjusted.create_missing_column_families = create;
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  families.emplace_back(rocksdb::kDefaultColumnFamilyName, adjusted);
  for (uint32_t i = 0; i < MORTISE_KEYSPACE_COUNT_MAX; ++i) {
    families.emplace_back(keyspace_name(i), adjusted);
  }
  rocksdb::DB* db = nullptr;
  const rocksdb::Status opened =
      rocksdb::DB::Open(adjusted, path, families, &generation->handles_, &db);
  generation->db_.reset(db);
  if (!opened.ok()) {
    // Anything that RocksDB cannot make sense of in a directory that our marker names is damage.
    if (opened.IsInvalidArgument() || opened.IsNotFound()) {
      return failure(MORTISE_E_CORRUPTION, "cannot open " + path + ": " + opened.ToString());
    }
    return from_rocksdb(opened, "cannot open", path);
  }
  for (uint32_t i = 0; i < MORTISE_KEYSPACE_COUNT_MAX; ++i) {
    generation->keyspaces_[i] = generation->handles_[i + 1];
  }
  out = std::move(generation);
  return Status();
}

Generation::~Generation() {
  if (db_ != nullptr) {
    for (rocksdb::ColumnFamilyHandle* handle : handles_) {
      (void)db_->DestroyColumnFamilyHandle(handle);
    }
    (void)db_->Close();
    db_.reset();
  }
  if (doomed_.load(std::memory_order_relaxed)) {
    std::error_code ignored;  // A leftover is removed when the store is opened again.
    std::filesystem::remove_all(path_, ignored);
  }
}

rocksdb::Status Generation::put_position(rocksdb::WriteBatch& batch, Position position) const {
  char value[kPositionBytes];
  put_u64(value, position.index);
  put_u64(value + 8, position.term);
  return batch.Put(handles_[0], rocksdb::Slice(kPositionKey.data(), kPositionKey.size()),
                   rocksdb::Slice(value, sizeof value));
}

Status Generation::read_position(Position& out) const {
  std::string value;
  const rocksdb::Status got =
      db_->Get(rocksdb::ReadOptions(), handles_[0],
               rocksdb::Slice(kPositionKey.data(), kPositionKey.size()), &value);
  if (got.IsNotFound()) {
    out = Position();
    return Status();
  }
  if (!got.ok()) return from_rocksdb(got, "cannot read the applied position of", path_);
  if (value.size() != kPositionBytes) {
    return failure(MORTISE_E_CORRUPTION, "the applied position in " + path_ + " is damaged");
  }
  out.index = get_u64(value.data());
  out.term = get_u64(value.data() + 8);
  return Status();
}

Status Generation::flush() const {
  rocksdb::FlushOptions options;
  options.wait = true;
  // Waits for room rather than making commits wait.
  options.allow_write_stall = false;
  return from_rocksdb(db_->Flush(options, handles_), "cannot sync", path_);
}

}  // namespace mortise::backend_rocksdb
