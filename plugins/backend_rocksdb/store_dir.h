// The directory of a store: its lock, its marker file, and the generations in it.
//
//   LOCK          held with flock() for as long as the store is open
//   STORE         the marker: format and current generation; docs/formats/backend_rocksdb.md
//   gen-<number>  one RocksDB database; the current one, or one that readers still hold
//
// A generation becomes current by publish(), which replaces STORE by rename: that is the one step
// in which the whole content of a store can change. Generations that STORE does not name are
// leftovers of a crash and are removed when the store is opened.
//
// Used by Store, from one thread at a time. Owns the lock.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "plugins/backend_rocksdb/errors.h"

namespace mortise::backend_rocksdb {

class StoreDir {
 public:
  // Locks and reads the directory. An empty one becomes a store whose generation() is 0: none yet.
  static Status open(const std::string& path, std::unique_ptr<StoreDir>& out);

  // Writes the marker of a copy made in `path`, which holds generation `generation` already.
  static Status write_marker(const std::string& path, uint64_t generation);

  ~StoreDir();
  StoreDir(const StoreDir&) = delete;
  StoreDir& operator=(const StoreDir&) = delete;

  const std::string& path() const { return path_; }
  uint64_t generation() const { return generation_; }
  static std::string generation_path(const std::string& path, uint64_t generation);
  std::string generation_path(uint64_t generation) const {
    return generation_path(path_, generation);
  }

  // Makes `generation` the current one, durably.
  Status publish(uint64_t generation);

  // Removes every generation but the current one. Leftovers that cannot be removed are harmless.
  void remove_leftovers();

 private:
  StoreDir(std::string path, int lock_fd) : path_(std::move(path)), lock_fd_(lock_fd) {}
  Status read_marker();
  Status check_foreign() const;

  const std::string path_;
  const int lock_fd_;
  uint64_t generation_ = 0;
};

}  // namespace mortise::backend_rocksdb
