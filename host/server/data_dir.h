// The data directory: its layout, its lock, and whether what is in it is ours.
//
//   <data-dir>/member/LOCK           locked while a server runs
//   <data-dir>/member/BACKEND        the name of the plugin that the store was made with
//   <data-dir>/member/store/         the backend's, from the beginning
//   <data-dir>/member/store-<index>/ the backend's, from a leader's snapshot at that index of the
//                                    log, 16 hexadecimal digits, in place of the one before
//   <data-dir>/member/snap/          the files of snapshots while they are received
//   <data-dir>/member/wal/           the log, unless --wal-dir names another place
//
// A store from a snapshot lies there, whole, before the log has the mark that lets it begin anew
// behind the snapshot; the mark decides. So at a start the store is the newest that is not newer
// than the last mark, and all others are left over from a crash.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "host/base/status.h"

namespace mortise::server {

// In the data directory: what an etcd left here that was taken over (takeover.h).
inline constexpr std::string_view kKeptEtcdPrefix = "etcd-member-";

class DataDir {
 public:
  // Makes what is missing (mode 0700) and takes the lock. kInUse: another process has it. kInvalid:
  // the directory holds something else: what is left of an etcd member, or a store of another
  // backend.
  static Result<DataDir> open(const std::string& path, const std::string& wal_path,
                              const std::string& backend);
  DataDir(DataDir&&) noexcept;
  DataDir& operator=(DataDir&&) = delete;
  ~DataDir();

  // The store to open.
  const std::string& store_path() const { return store_path_; }
  const std::string& member_path() const { return member_path_; }
  const std::string& snap_path() const { return snap_path_; }
  // Where the store of a snapshot goes.
  std::string store_path(uint64_t snapshot_index) const;
  const std::string& wal_path() const { return wal_path_; }
  // Files beside ours, for a warning; with "member/" in front if they are there.
  const std::vector<std::string>& unknown_files() const { return unknown_files_; }

  // The store has been opened: from now on it is that of `backend`.
  Status keep();
  // Removes stores and files of snapshots that a crash has left. Once the store to open and the log
  // have turned out to belong together.
  Status remove_leftovers() const;
  // Removes what open() has made, with everything in it. Nothing that was there before is touched.
  void abandon();

 private:
  DataDir() = default;
  Status make(const std::string& path);
  Status check_backend() const;
  Status choose_store();
  void find_unknown_files();

  std::string path_;
  std::string backend_;
  std::string member_path_;
  std::string store_path_;
  std::string snap_path_;
  std::string wal_path_;
  std::vector<std::string> unknown_files_;
  std::vector<std::string> made_;  // Outer ones first.
  int lock_fd_ = -1;
};

// Makes what was made, renamed or removed in the directory last.
Status sync_directory(const std::string& path);

}  // namespace mortise::server
