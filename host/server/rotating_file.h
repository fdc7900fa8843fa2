// A log file that gives way to a new one when it is full, as --log-rotation-config-json asks; names
// and rules are lumberjack's, which etcd uses:
//
//   etcd.log                              written to
//   etcd-2026-11-21T17-03-22.123.log      full since that moment
//   etcd-2026-11-20T09-10-11.456.log.gz   and compressed
//
// Made and used by the log. write() comes from one thread at a time. A thread of its own removes
// and compresses old files; the destructor waits for what it is doing. A line that cannot be
// written is lost, and the next one is tried again.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "host/base/status.h"

namespace mortise::server {

struct RotationOptions {
  uint64_t bytes_max = uint64_t{100} << 20;
  uint64_t days_max = 0;     // Of old files; 0: any age.
  uint64_t backups_max = 0;  // Old files; 0: any number.
  bool local_time = false;   // In their names, instead of UTC.
  bool compress = false;
};

class RotatingFile {
 public:
  // Goes on with the file that is there, if it has room.
  static Result<std::unique_ptr<RotatingFile>> open(const std::string& path,
                                                    const RotationOptions& options);
  ~RotatingFile();
  RotatingFile(const RotatingFile&) = delete;
  RotatingFile& operator=(const RotatingFile&) = delete;

  // One line with its end. It begins a new file if the present one has no room for it.
  void write(std::string_view line);

 private:
  RotatingFile(std::string path, const RotationOptions& options);
  Status open_file();
  Status rotate();
  Status begin_file(mode_t mode);
  std::string backup_path() const;
  void tidy_loop();
  void tidy() const;

  const std::string path_;
  const RotationOptions options_;
  int fd_ = -1;
  uint64_t size_ = 0;

  std::mutex mutex_;  // Guards what follows.
  std::condition_variable wake_;
  bool untidy_ = true;
  bool stopping_ = false;
  std::thread tidier_;
};

}  // namespace mortise::server
