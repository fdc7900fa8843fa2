#include "plugins/backend_rocksdb/store_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace mortise::backend_rocksdb {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kFormat = 1;
constexpr std::string_view kMagic = "mortise-backend-rocksdb";
constexpr std::string_view kGenerationPrefix = "gen-";
constexpr size_t kMarkerBytesMax = 256;

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

bool parse_number(std::string_view text, uint64_t& out) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, out);
  return error == std::errc() && stop == end;
}

// Takes a line "<name> <number>\n" off the front of `text`.
bool take_field(std::string_view& text, std::string_view name, uint64_t& out) {
  if (text.substr(0, name.size()) != name || text.size() <= name.size()) return false;
  if (text[name.size()] != ' ') return false;
  text.remove_prefix(name.size() + 1);
  const size_t end = text.find('\n');
  if (end == std::string_view::npos || !parse_number(text.substr(0, end), out)) return false;
  text.remove_prefix(end + 1);
  return true;
}

Status write_file(const std::string& path, std::string_view text) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (fd.get() < 0) return system_failure(errno, "cannot create", path);
  while (!text.empty()) {
    const ssize_t n = ::write(fd.get(), text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_failure(errno, "cannot write", path);
    text.remove_prefix(static_cast<size_t>(n));
  }
  if (::fsync(fd.get()) != 0) return system_failure(errno, "cannot sync", path);
  return Status();
}

Status sync_directory(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return system_failure(errno, "cannot open directory", path);
  if (::fsync(fd.get()) != 0) return system_failure(errno, "cannot sync directory", path);
  return Status();
}

}  // namespace

std::string StoreDir::generation_path(const std::string& path, uint64_t generation) {
  std::string digits = std::to_string(generation);
  if (digits.size() < 6) digits.insert(0, 6 - digits.size(), '0');
  return path + "/" + std::string(kGenerationPrefix) + digits;
}

Status StoreDir::open(const std::string& path, std::unique_ptr<StoreDir>& out) {
  std::error_code ec;
  if (!fs::is_directory(path, ec)) {
    if (ec) return system_failure(ec.value(), "cannot open store directory", path);
    return failure(MORTISE_E_INVALID, "not a directory: " + path, ENOTDIR);
  }
  const std::string lock_path = path + "/LOCK";
  // Nothing may be made in somebody else's directory, not even the lock.
  if (!fs::exists(path + "/STORE", ec)) {
    const StoreDir probe(path, -1);
    if (Status status = probe.check_foreign(); !status.ok()) return status;
  }
  const int fd = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return system_failure(errno, "cannot open", lock_path);
  std::unique_ptr<StoreDir> dir(new StoreDir(path, fd));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return system_failure(errno, "cannot lock", lock_path);
    return failure(MORTISE_E_IN_USE, "store " + path + " is in use by another process", errno);
  }
  if (Status status = dir->read_marker(); !status.ok()) return status;
  out = std::move(dir);
  return Status();
}

StoreDir::~StoreDir() {
  if (lock_fd_ >= 0) ::close(lock_fd_);
}

Status StoreDir::check_foreign() const {
  std::error_code ec;
  fs::directory_iterator entries(path_, ec);
  if (ec) return system_failure(ec.value(), "cannot read directory", path_);
  for (const fs::directory_entry& entry : entries) {
    const std::string name = entry.path().filename().string();
    // The root of a mounted file system has lost+found; the others are left by a crash before the
    // marker.
    if (name == "LOCK" || name == "STORE.tmp" || name == "lost+found") continue;
    return failure(MORTISE_E_INVALID,
                   path_ + " is not a rocksdb store and not empty: it holds " + name);
  }
  return Status();
}

Status StoreDir::read_marker() {
  const std::string marker = path_ + "/STORE";
  const Fd fd(::open(marker.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) {
    if (errno != ENOENT) return system_failure(errno, "cannot open", marker);
    if (Status status = check_foreign(); !status.ok()) return status;
    return publish(0);
  }
  char buffer[kMarkerBytesMax];
  const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
  if (n < 0) return system_failure(errno, "cannot read", marker);
  std::string_view text(buffer, static_cast<size_t>(n));
  if (text.substr(0, kMagic.size()) != kMagic || text.substr(kMagic.size(), 1) != "\n") {
    return failure(MORTISE_E_INVALID, marker + " was not written by a rocksdb store");
  }
  text.remove_prefix(kMagic.size() + 1);
  uint64_t format = 0;
  if (!take_field(text, "format", format)) {
    return failure(MORTISE_E_CORRUPTION, marker + " is damaged: no format");
  }
  if (format > kFormat) {
    return failure(MORTISE_E_NEWER_FORMAT, "store " + path_ + " has format " +
                                               std::to_string(format) + ", newer than " +
                                               std::to_string(kFormat) + ", the newest one known");
  }
  if (format != kFormat || !take_field(text, "generation", generation_) || !text.empty()) {
    return failure(MORTISE_E_CORRUPTION, marker + " is damaged");
  }
  std::error_code ec;
  if (generation_ != 0 && !fs::is_directory(generation_path(generation_), ec)) {
    return failure(MORTISE_E_CORRUPTION,
                   marker + " names " + generation_path(generation_) + ", which is missing");
  }
  return Status();
}

Status StoreDir::write_marker(const std::string& path, uint64_t generation) {
  std::string text(kMagic);
  text +=
      "\nformat " + std::to_string(kFormat) + "\ngeneration " + std::to_string(generation) + "\n";
  const std::string temporary = path + "/STORE.tmp";
  const std::string marker = path + "/STORE";
  if (Status status = write_file(temporary, text); !status.ok()) return status;
  // The directory entry of the generation has to be on disk before the marker that names it.
  if (Status status = sync_directory(path); !status.ok()) return status;
  if (::rename(temporary.c_str(), marker.c_str()) != 0) {
    return system_failure(errno, "cannot rename to", marker);
  }
  return sync_directory(path);
}

Status StoreDir::publish(uint64_t generation) {
  if (Status status = write_marker(path_, generation); !status.ok()) return status;
  generation_ = generation;
  return Status();
}

void StoreDir::remove_leftovers() {
  std::error_code ec;
  const std::string current =
      generation_ == 0 ? "" : fs::path(generation_path(generation_)).filename().string();
  std::vector<fs::path> leftovers;
  for (fs::directory_iterator it(path_, ec), end; !ec && it != end; it.increment(ec)) {
    const std::string name = it->path().filename().string();
    if (name.rfind(kGenerationPrefix, 0) == 0 && name != current) leftovers.push_back(it->path());
  }
  for (const fs::path& leftover : leftovers) fs::remove_all(leftover, ec);
}

}  // namespace mortise::backend_rocksdb
