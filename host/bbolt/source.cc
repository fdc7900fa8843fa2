#include "host/bbolt/source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace mortise::bbolt {

Result<std::string_view> MemorySource::view(uint64_t offset, size_t bytes, std::string*) const {
  return bytes_.substr(offset, bytes);
}

Result<std::unique_ptr<FileSource>> FileSource::open(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno_status(errno, "cannot open " + path);
  struct stat info {};
  if (::fstat(fd, &info) != 0) {
    int error = errno;
    ::close(fd);
    return errno_status(error, "cannot look at " + path);
  }
  return std::unique_ptr<FileSource>(new FileSource(path, fd, static_cast<uint64_t>(info.st_size)));
}

FileSource::~FileSource() { ::close(fd_); }

Result<std::string_view> FileSource::view(uint64_t offset, size_t bytes, std::string* copy) const {
  copy->resize(bytes);
  for (size_t done = 0; done < bytes;) {
    ssize_t n = ::pread(fd_, copy->data() + done, bytes - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_status(errno, "cannot read " + path_);
    if (n == 0) return corruption(path_ + " became shorter while it was read");
    done += static_cast<size_t>(n);
  }
  return std::string_view(*copy);
}

}  // namespace mortise::bbolt
