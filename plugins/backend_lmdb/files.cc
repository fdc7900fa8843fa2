#include "plugins/backend_lmdb/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <memory>

#include "plugins/backend_lmdb/crc32c.h"

namespace mortise::lmdb {
namespace {

constexpr std::string_view kMagicWord = "mortise-lmdb ";

// "gen-12" with prefix "gen-" is 12.
bool numbered(std::string_view name, std::string_view prefix, uint64_t& number) {
  if (!name.starts_with(prefix)) return false;
  name.remove_prefix(prefix.size());
  const char* end = name.data() + name.size();
  const auto [rest, ec] = std::from_chars(name.data(), end, number);
  return ec == std::errc() && rest == end && !name.empty();
}

Status list_names(const std::string& directory, std::vector<std::string>& out) {
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()), &::closedir);
  if (dir == nullptr) {
    if (errno == ENOTDIR || errno == ENOENT) return sdk::invalid(directory + " is not a directory");
    return sdk::io_error(errno, "reading directory " + directory);
  }
  errno = 0;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") out.emplace_back(name);
    errno = 0;
  }
  if (errno != 0) return sdk::io_error(errno, "reading directory " + directory);
  return Status();
}

bool take_line(std::string_view& text, std::string_view& line) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) return false;
  line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return true;
}

std::string current_body(const Current& current) {
  return std::string(kMagicWord) + std::to_string(kFormatVersion) + "\ngeneration " +
         std::to_string(current.generation) + "\nstate " + (current.ready ? "ready" : "new") + "\n";
}

std::string crc_line(std::string_view body) {
  char text[32];
  std::snprintf(text, sizeof(text), "crc32c %08x\n", crc32c(0, body.data(), body.size()));
  return text;
}

}  // namespace

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = other.fd_;
    other.fd_ = -1;
  }
  return *this;
}

void File::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Status File::open(const std::string& path, int flags, File& out) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
  if (fd < 0) return sdk::io_error(errno, "opening " + path);
  out = File(fd);
  return Status();
}

Status File::write(std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sdk::io_error(errno, "writing " + path);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return Status();
}

Status File::read(char* to, size_t size, size_t& got, const std::string& path) {
  got = 0;
  while (got < size) {
    const ssize_t n = ::read(fd_, to + got, size - got);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sdk::io_error(errno, "reading " + path);
    if (n == 0) break;
    got += static_cast<size_t>(n);
  }
  return Status();
}

Status File::sync(const std::string& path) {
  if (::fdatasync(fd_) != 0) return sdk::io_error(errno, "syncing " + path);
  return Status();
}

Status lock_directory(const std::string& directory, File& out) {
  const std::string path = directory + "/LOCK";
  File file;
  MORTISE_SDK_RETURN_IF_ERROR(File::open(path, O_RDWR | O_CREAT, file));
  if (::flock(file.fd(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return sdk::in_use("the store in " + directory + " is in use");
    return sdk::io_error(errno, "locking " + path);
  }
  out = std::move(file);
  return Status();
}

Status scan_directory(const std::string& directory, DirectoryContent& out) {
  std::vector<std::string> names;
  MORTISE_SDK_RETURN_IF_ERROR(list_names(directory, names));
  out = DirectoryContent();
  for (const std::string& name : names) {
    uint64_t number = 0;
    const bool is_unfinished =
        numbered(name, "tmp-", number) || name == "CURRENT.tmp" ||
        (name.ends_with(".tmp") && numbered(name.substr(0, name.size() - 4), "run-", number));
    if (name == "CURRENT") {
      out.has_current = true;
    } else if (is_unfinished) {
      out.leftovers.push_back(name);
    } else if (numbered(name, "gen-", number)) {
      out.generations.push_back(number);
    } else if (numbered(name, "run-", number)) {
      out.runs.push_back(number);
    } else if (name != "LOCK" && name != "lost+found") {
      return sdk::invalid(directory + " holds \"" + name +
                          "\", which is not of an LMDB store of mortise");
    }
  }
  std::sort(out.runs.begin(), out.runs.end());
  return Status();
}

Status read_current(const std::string& directory, Current& out) {
  const std::string path = directory + "/CURRENT";
  File file;
  MORTISE_SDK_RETURN_IF_ERROR(File::open(path, O_RDONLY, file));
  char buffer[512];
  size_t got = 0;
  MORTISE_SDK_RETURN_IF_ERROR(file.read(buffer, sizeof(buffer), got, path));
  std::string_view text(buffer, got);
  std::string_view line;
  uint64_t version = 0;
  std::string_view rest = text;
  if (!take_line(rest, line) || !numbered(line, kMagicWord, version)) {
    return sdk::invalid(path + " is not of an LMDB store of mortise");
  }
  if (version > kFormatVersion) {
    return sdk::newer_format(path + " is of format " + std::to_string(version) + ", newer than " +
                             std::to_string(kFormatVersion));
  }
  std::string_view state;
  const bool shaped = take_line(rest, line) && numbered(line, "generation ", out.generation) &&
                      take_line(rest, state) && (state == "state ready" || state == "state new");
  const std::string_view body = text.substr(0, text.size() - rest.size());
  if (!shaped || rest != crc_line(body)) return sdk::corruption(path + " is damaged");
  out.ready = state == "state ready";
  return Status();
}

Status write_current(const std::string& directory, const Current& current) {
  const std::string path = directory + "/CURRENT";
  const std::string unfinished = path + ".tmp";
  const std::string body = current_body(current);
  File file;
  MORTISE_SDK_RETURN_IF_ERROR(File::open(unfinished, O_WRONLY | O_CREAT | O_TRUNC, file));
  MORTISE_SDK_RETURN_IF_ERROR(file.write(body + crc_line(body), unfinished));
  MORTISE_SDK_RETURN_IF_ERROR(file.sync(unfinished));
  MORTISE_SDK_RETURN_IF_ERROR(rename_path(unfinished, path));
  return sync_directory(directory);
}

std::string generation_path(const std::string& directory, uint64_t generation) {
  return directory + "/gen-" + std::to_string(generation);
}
std::string unfinished_path(const std::string& directory, uint64_t generation) {
  return directory + "/tmp-" + std::to_string(generation);
}
std::string run_path(const std::string& directory, uint64_t run) {
  return directory + "/run-" + std::to_string(run);
}

Status make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0) return sdk::io_error(errno, "making directory " + path);
  return Status();
}

Status rename_path(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return sdk::io_error(errno, "renaming " + from);
  return Status();
}

Status sync_directory(const std::string& path) {
  File dir;
  MORTISE_SDK_RETURN_IF_ERROR(File::open(path, O_RDONLY | O_DIRECTORY, dir));
  if (::fsync(dir.fd()) != 0) return sdk::io_error(errno, "syncing " + path);
  return Status();
}

Status remove_path(const std::string& path) {
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return Status();
  if (errno != EISDIR && errno != EPERM) return sdk::io_error(errno, "removing " + path);
  std::vector<std::string> names;
  MORTISE_SDK_RETURN_IF_ERROR(list_names(path, names));
  for (const std::string& name : names) ::unlink((path + "/" + name).c_str());
  if (::rmdir(path.c_str()) != 0) return sdk::io_error(errno, "removing " + path);
  return Status();
}

uint64_t file_bytes(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

}  // namespace mortise::lmdb
