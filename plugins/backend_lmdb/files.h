// The files of a store's directory other than LMDB's own: what may be there, the lock, CURRENT, and
// the small calls that make a change of the directory durable. The layout is in
// docs/formats/backend_lmdb.md.
//
// Used by the store, at open and when the generation changes. No thread rules: the caller sees to
// it that one thread at a time changes CURRENT.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/backend_lmdb/error.h"

namespace mortise::lmdb {

constexpr uint32_t kFormatVersion = 1;

// An open file descriptor.
class File {
 public:
  File() = default;
  explicit File(int fd) : fd_(fd) {}
  File(File&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  File& operator=(File&& other) noexcept;
  ~File() { close(); }

  // flags and mode as in open(2); O_CLOEXEC is added.
  static Status open(const std::string& path, int flags, File& out);
  Status write(std::string_view bytes, const std::string& path);
  // Reads up to `size` bytes; fewer only at the end of the file.
  Status read(char* to, size_t size, size_t& got, const std::string& path);
  Status sync(const std::string& path);
  void close();
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

// Held by one store at a time, in this process or another; released with the descriptor.
Status lock_directory(const std::string& directory, File& out);

// What CURRENT says. `ready` is false between the creation of a store and its first complete
// generation.
struct Current {
  uint64_t generation = 0;
  bool ready = false;
};

// What a directory holds, by our names.
struct DirectoryContent {
  bool has_current = false;
  std::vector<uint64_t> generations;   // gen-N
  std::vector<uint64_t> runs;          // run-N, ascending
  std::vector<std::string> leftovers;  // Unfinished pieces: tmp-N, *.tmp
};

// E_INVALID if the directory is none, or holds anything that is not a store's.
Status scan_directory(const std::string& directory, DirectoryContent& out);

Status read_current(const std::string& directory, Current& out);
// Replaces CURRENT in one durable step.
Status write_current(const std::string& directory, const Current& current);

std::string generation_path(const std::string& directory, uint64_t generation);
std::string unfinished_path(const std::string& directory, uint64_t generation);
std::string run_path(const std::string& directory, uint64_t run);

Status make_directory(const std::string& path);
Status rename_path(const std::string& from, const std::string& to);
// Makes creations, renames and removals in the directory durable.
Status sync_directory(const std::string& path);
// A file, or a directory of plain files. Missing is fine.
Status remove_path(const std::string& path);
uint64_t file_bytes(const std::string& path);

}  // namespace mortise::lmdb
