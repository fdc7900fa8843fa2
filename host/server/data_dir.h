// The data directory: its layout, its lock, and whether what is in it is ours.
//
//   <data-dir>/member/LOCK    locked while a server runs
//   <data-dir>/member/BACKEND the name of the plugin that the store was made with
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
  // the directory holds something else: an etcd member, or a store of another backend.
  static Result<DataDir> open(const std::string& path, const std::string& wal_path,
                              const std::string& backend);
  DataDir(DataDir&&) noexcept;
  DataDir& operator=(DataDir&&) = delete;
  ~DataDir();

  const std::string& store_path() const { return store_path_; }
  const std::string& wal_path() const { return wal_path_; }
  // Files beside ours, for a warning; with "member/" in front if they are there.
  const std::vector<std::string>& unknown_files() const { return unknown_files_; }

  // The store has been opened: from now on it is that of `backend`.
  Status keep();
  // Removes what open() has made, with everything in it. Nothing that was there before is touched.
  void abandon();

 private:
  DataDir() = default;
  Status make(const std::string& path);
  Status check_backend() const;
  void find_unknown_files();

  std::string path_;
  std::string backend_;
  std::string store_path_;
  std::string wal_path_;
  std::vector<std::string> unknown_files_;
  std::vector<std::string> made_;  // Outer ones first.
  int lock_fd_ = -1;
};

}  // namespace mortise::server
