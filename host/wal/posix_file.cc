#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "host/wal/file.h"

namespace mortise::wal {
namespace {

// Retries a call that returns -1 with EINTR.
template <typename Call>
auto retry_interrupted(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

class PosixFile final : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;
  ~PosixFile() override { ::close(fd_); }

  Result<size_t> read_at(uint64_t offset, char* out, size_t size) override {
    size_t done = 0;
    while (done < size) {
      const ssize_t got = retry_interrupted(
          [&] { return ::pread(fd_, out + done, size - done, static_cast<off_t>(offset + done)); });
      if (got < 0) return errno_status(errno, "cannot read " + path_);
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

  Status write_at(uint64_t offset, std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t put = retry_interrupted(
          [&] { return ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
      if (put < 0) return errno_status(errno, "cannot write " + path_);
      if (put == 0) return errno_status(EIO, "cannot write " + path_);
      offset += static_cast<uint64_t>(put);
      bytes.remove_prefix(static_cast<size_t>(put));
    }
    return Status();
  }

  Status sync_data() override {
    if (retry_interrupted([&] { return ::fdatasync(fd_); }) != 0) {
      return errno_status(errno, "cannot sync " + path_);
    }
    return Status();
  }

  Status allocate(uint64_t size) override {
    MORTISE_ASSIGN_OR_RETURN(const uint64_t now, this->size());
    if (now >= size) return Status();
    const auto length = static_cast<off_t>(size);
    if (retry_interrupted([&] { return ::fallocate(fd_, 0, 0, length); }) == 0) return Status();
    if (errno != EOPNOTSUPP && errno != ENOSYS) {
      return errno_status(errno, "cannot allocate " + path_);
    }
    // The file system cannot reserve blocks: a sparse file reads the same, and a full disk shows
    // at a later write instead of here.
    if (retry_interrupted([&] { return ::ftruncate(fd_, length); }) != 0) {
      return errno_status(errno, "cannot extend " + path_);
    }
    return Status();
  }

  Status truncate(uint64_t size) override {
    if (retry_interrupted([&] { return ::ftruncate(fd_, static_cast<off_t>(size)); }) != 0) {
      return errno_status(errno, "cannot truncate " + path_);
    }
    return Status();
  }

  Result<uint64_t> size() override {
    struct stat info;
    if (::fstat(fd_, &info) != 0) return errno_status(errno, "cannot stat " + path_);
    return static_cast<uint64_t>(info.st_size);
  }

 private:
  int fd_;
  std::string path_;
};

Status sync_directory(const std::string& path) {
  const int fd =
      retry_interrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (fd < 0) return errno_status(errno, "cannot open directory " + path);
  const int failed = retry_interrupted([&] { return ::fsync(fd); }) != 0 ? errno : 0;
  ::close(fd);
  if (failed != 0) return errno_status(failed, "cannot sync directory " + path);
  return Status();
}

std::string parent_of(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

class PosixFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> open_file(const std::string& path, OpenMode mode) override {
    int flags = O_CLOEXEC;
    if (mode == OpenMode::kRead) flags |= O_RDONLY;
    if (mode == OpenMode::kReadWrite) flags |= O_RDWR;
    if (mode == OpenMode::kCreate) flags |= O_RDWR | O_CREAT | O_TRUNC;
    const int fd = retry_interrupted([&] { return ::open(path.c_str(), flags, 0600); });
    if (fd < 0) return errno_status(errno, "cannot open " + path);
    return std::unique_ptr<File>(std::make_unique<PosixFile>(fd, path));
  }

  Status create_dir(const std::string& path) override {
    if (::mkdir(path.c_str(), 0700) == 0) return sync_directory(parent_of(path));
    const int error = errno;
    struct stat info;
    if (error == EEXIST && ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
      return Status();
    }
    return errno_status(error == EEXIST ? ENOTDIR : error, "cannot create directory " + path);
  }

  Result<std::vector<std::string>> list_dir(const std::string& path) override {
    DIR* dir = ::opendir(path.c_str());
    if (dir == nullptr) return errno_status(errno, "cannot open directory " + path);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* item = ::readdir(dir)) {
      const std::string_view name = item->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    const int error = errno;
    ::closedir(dir);
    if (error != 0) return errno_status(error, "cannot list directory " + path);
    return names;
  }

  Status rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) {
      return errno_status(errno, "cannot rename " + from + " to " + to);
    }
    return Status();
  }

  Status remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return errno_status(errno, "cannot remove " + path);
    return Status();
  }

  Status sync_dir(const std::string& path) override { return sync_directory(path); }
};

}  // namespace

FileSystem& posix_file_system() {
  static PosixFileSystem* const instance = new PosixFileSystem;
  return *instance;
}

}  // namespace mortise::wal
