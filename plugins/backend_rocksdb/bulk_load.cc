#include "plugins/backend_rocksdb/bulk_load.h"

#include <rocksdb/sst_file_writer.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mortise/sdk/bytes.h"

namespace mortise::backend_rocksdb {
namespace {

constexpr std::string_view kLoading = "cannot load";

rocksdb::Slice slice(mortise_bytes b) {
  return rocksdb::Slice(reinterpret_cast<const char*>(b.data), b.size);
}

// The table files of one keyspace at a time.
class Loader {
 public:
  Loader(const Generation& generation, const rocksdb::Options& options)
      : generation_(generation), options_(options) {}

  Status add(uint32_t keyspace, mortise_bytes key, mortise_bytes value) {
    if (keyspace >= MORTISE_KEYSPACE_COUNT_MAX || key.size == 0 ||
        key.size > MORTISE_KEY_BYTES_MAX || value.size > MORTISE_VALUE_BYTES_MAX) {
      return failure(MORTISE_E_INVALID, "the source gave a pair that no store can hold");
    }
    if (started_ && keyspace < keyspace_) return unordered();
    if (started_ && keyspace != keyspace_) {
      if (Status status = finish_keyspace(); !status.ok()) return status;
    }
    if (started_ && keyspace == keyspace_ && sdk::view(key) <= last_key_) return unordered();
    keyspace_ = keyspace;
    started_ = true;
    last_key_.assign(sdk::view(key));
    if (Status status = make_room(); !status.ok()) return status;
    return from_rocksdb(writer_->Put(slice(key), slice(value)), kLoading, generation_.path());
  }

  Status finish_keyspace() {
    if (Status status = finish_file(); !status.ok()) return status;
    if (files_.empty()) return Status();
    rocksdb::IngestExternalFileOptions ingest;
    ingest.move_files = true;
    ingest.write_global_seqno = false;
    const rocksdb::Status added =
        generation_.db().IngestExternalFile(generation_.keyspace(keyspace_), files_, ingest);
    files_.clear();
    return from_rocksdb(added, kLoading, generation_.path());
  }

 private:
  static Status unordered() { return failure(MORTISE_E_INVALID, "the source does not ascend"); }

  // A file to write to that is not full yet.
  Status make_room() {
    if (writer_ != nullptr && writer_->FileSize() >= options_.target_file_size_base) {
      if (Status status = finish_file(); !status.ok()) return status;
    }
    if (writer_ != nullptr) return Status();
    files_.push_back(generation_.path() + "/load-" + std::to_string(++file_count_) + ".sst");
    writer_ = std::make_unique<rocksdb::SstFileWriter>(rocksdb::EnvOptions(options_), options_,
                                                       generation_.keyspace(keyspace_));
    return from_rocksdb(writer_->Open(files_.back()), kLoading, generation_.path());
  }

  Status finish_file() {
    if (writer_ == nullptr) return Status();
    const rocksdb::Status finished = writer_->Finish();
    writer_.reset();
    return from_rocksdb(finished, kLoading, generation_.path());
  }

  const Generation& generation_;
  const rocksdb::Options& options_;
  std::unique_ptr<rocksdb::SstFileWriter> writer_;
  std::vector<std::string> files_;
  uint64_t file_count_ = 0;
  uint32_t keyspace_ = 0;
  std::string last_key_;
  bool started_ = false;
};

}  // namespace

Status bulk_load(const Generation& generation, const rocksdb::Options& options,
                 mortise_source_fn source, void* context) {
  Loader loader(generation, options);
  for (;;) {
    uint32_t keyspace = 0;
    mortise_bytes key{};
    mortise_bytes value{};
    const mortise_status status = source(context, &keyspace, &key, &value);
    if (status == MORTISE_E_NOT_FOUND) return loader.finish_keyspace();
    if (status != MORTISE_OK) return failure(status, "the source of a replace failed");
    if (Status added = loader.add(keyspace, key, value); !added.ok()) return added;
  }
}

}  // namespace mortise::backend_rocksdb
