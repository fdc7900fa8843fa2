// The data directory: its layout, its lock, and whether what is in it is ours.
//
//   <data-dir>/member/LOCK    locked while a server runs
//   <data-dir>/member/store/  the backend's
//   <data-dir>/member/wal/    the log, unless --wal-dir names another place
#pragma once

#include <string>
#include <vector>

#include "host/base/status.h"

namespace mortise::server {

class DataDir {
 public:
  // Makes what is missing (mode 0700) and takes the lock. kInUse: another process has it. kInvalid:
  // the directory holds something else, an etcd member for one.
  static Result<DataDir> open(const std::string& path, const std::string& wal_path);
  DataDir(DataDir&& o) noexcept;
  DataDir& operator=(DataDir&&) = delete;
  ~DataDir();

  const std::string& store_path() const { return store_path_; }
  const std::string& wal_path() const { return wal_path_; }
  // Files beside ours, for a warning.
  const std::vector<std::string>& unknown_files() const { return unknown_files_; }

 private:
  DataDir() = default;
  std::string store_path_;
  std::string wal_path_;
  std::vector<std::string> unknown_files_;
  int lock_fd_ = -1;
};

}  // namespace mortise::server
