// The file operations that the write-ahead log needs, as an interface, so that tests and the
// simulator can put a disk of their own in the place of the real one (sim_file.h is one).
//
// Who calls: Wal, and nothing else. Threads: an object is used by one thread at a time. Ownership:
// open_file gives the file to the caller; the FileSystem outlives its files. Errors: a Status that
// names the path; kNoSpace when the disk is full.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/status.h"

namespace mortise::wal {

class File {
 public:
  virtual ~File() = default;
  // Reads up to `size` bytes; fewer only at the end of the file. Returns how many.
  virtual Result<size_t> read_at(uint64_t offset, char* out, size_t size) = 0;
  // Writes all of `bytes` or fails; after a failure any part of it may have been written.
  virtual Status write_at(uint64_t offset, std::string_view bytes) = 0;
  // On return the file's data and size survive a power loss.
  virtual Status sync_data() = 0;
  // Makes the file at least `size` bytes long, with disk blocks reserved where the file system can
  // do that. New bytes read as zeros.
  virtual Status allocate(uint64_t size) = 0;
  // Cuts the file at `size`.
  virtual Status truncate(uint64_t size) = 0;
  virtual Result<uint64_t> size() = 0;
};

enum class OpenMode : uint8_t {
  kRead,
  kReadWrite,
  kCreate,  // Read and write; made with mode 0600 if missing, emptied if present.
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual Result<std::unique_ptr<File>> open_file(const std::string& path, OpenMode mode) = 0;
  // Makes the last component with mode 0700 and makes that durable. Fine if it is there already.
  virtual Status create_dir(const std::string& path) = 0;
  // Names in the directory without "." and "..", in no order. kNotFound if there is no directory.
  virtual Result<std::vector<std::string>> list_dir(const std::string& path) = 0;
  // Replaces `to` if it exists, atomically.
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  virtual Status remove(const std::string& path) = 0;
  // On return, files made, renamed and removed in the directory stay so after a power loss.
  virtual Status sync_dir(const std::string& path) = 0;
};

// The operating system's files. Lives for ever; any thread.
FileSystem& posix_file_system();

}  // namespace mortise::wal
