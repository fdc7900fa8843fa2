#include "host/server/rotating_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <optional>
#include <set>
#include <vector>

namespace mortise::server {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kCompressed = ".gz";
constexpr mode_t kNewFileMode = 0600;
constexpr size_t kTimeChars = std::string_view("2026-11-21T17-03-22.123").size();

int64_t now_ms() {
  auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

std::string name_time(int64_t ms, bool local) {
  auto seconds = static_cast<time_t>(ms / 1000);
  tm parts{};
  local ? localtime_r(&seconds, &parts) : gmtime_r(&seconds, &parts);
  char text[48];
  size_t n = std::strftime(text, sizeof text, "%Y-%m-%dT%H-%M-%S", &parts);
  std::snprintf(text + n, sizeof text - n, ".%03d", static_cast<int>(ms % 1000));
  return text;
}

// The reverse, in milliseconds. Local times are read as if they were UTC, as by lumberjack: an age
// is wrong by the zone's offset then.
std::optional<int64_t> parse_name_time(std::string_view text) {
  if (text.size() != kTimeChars) return std::nullopt;
  tm parts{};
  const std::string copy(text);
  const char* rest = ::strptime(copy.c_str(), "%Y-%m-%dT%H-%M-%S", &parts);
  if (rest == nullptr || *rest != '.') return std::nullopt;
  int ms = 0;
  for (const char* c = rest + 1; *c != '\0'; ++c) {
    if (*c < '0' || *c > '9') return std::nullopt;
    ms = ms * 10 + (*c - '0');
  }
  return static_cast<int64_t>(::timegm(&parts)) * 1000 + ms;
}

struct OldFile {
  int64_t time;
  std::string name;
  bool compressed() const { return name.ends_with(kCompressed); }
  std::string plain_name() const {
    return compressed() ? name.substr(0, name.size() - kCompressed.size()) : name;
  }
};

// Files that were rotated away, newest first; others in the directory are left alone.
std::vector<OldFile> old_files(const fs::path& path) {
  std::vector<OldFile> found;
  const std::string prefix = path.stem().string() + "-";
  const std::string extension = path.extension().string();
  std::error_code error;
  for (fs::directory_iterator it(path.parent_path(), error), end; !error && it != end;
       it.increment(error)) {
    if (std::error_code ignored; it->is_directory(ignored)) continue;
    OldFile file{0, it->path().filename().string()};
    std::string_view plain = file.name;
    if (plain.ends_with(extension + std::string(kCompressed))) {
      plain.remove_suffix(kCompressed.size());
    }
    if (!plain.starts_with(prefix) || !plain.ends_with(extension)) continue;
    plain.remove_prefix(prefix.size());
    if (plain.size() < extension.size()) continue;
    plain.remove_suffix(extension.size());
    auto time = parse_name_time(plain);
    if (!time) continue;
    file.time = *time;
    found.push_back(std::move(file));
  }
  std::sort(found.begin(), found.end(), [](const OldFile& a, const OldFile& b) {
    return a.time != b.time ? a.time > b.time : a.name < b.name;
  });
  return found;
}

bool write_all(int fd, const char* data, size_t size) {
  while (size > 0) {
    ssize_t n = ::write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

bool copy_compressed(int from, gzFile to) {
  std::vector<char> buffer(64 << 10);
  for (;;) {
    ssize_t n = ::read(from, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n == 0;
    if (::gzwrite(to, buffer.data(), static_cast<unsigned>(n)) != n) return false;
  }
}

// The plain file goes once the compressed one is whole; what a crash leaves half-way is made again.
void compress_file(const fs::path& plain) {
  const std::string target = plain.string() + std::string(kCompressed);
  const int from = ::open(plain.c_str(), O_RDONLY | O_CLOEXEC);
  if (from < 0) return;
  struct stat info {};
  ::fstat(from, &info);
  const int to =
      ::open(target.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, info.st_mode & 07777);
  gzFile stream = to < 0 ? nullptr : ::gzdopen(to, "wb");
  bool whole = stream != nullptr && copy_compressed(from, stream);
  if (stream != nullptr) {
    whole = ::gzclose(stream) == Z_OK && whole;
  } else if (to >= 0) {
    ::close(to);
  }
  ::close(from);
  if (to >= 0) ::unlink(whole ? plain.c_str() : target.c_str());
}

}  // namespace

Result<std::unique_ptr<RotatingFile>> RotatingFile::open(const std::string& path,
                                                         const RotationOptions& options) {
  auto absolute = fs::absolute(path).lexically_normal().string();
  std::unique_ptr<RotatingFile> file(new RotatingFile(std::move(absolute), options));
  MORTISE_RETURN_IF_ERROR(file->open_file());
  file->tidier_ = std::thread([self = file.get()] { self->tidy_loop(); });
  return file;
}

RotatingFile::RotatingFile(std::string path, const RotationOptions& options)
    : path_(std::move(path)), options_(options) {}

RotatingFile::~RotatingFile() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (tidier_.joinable()) tidier_.join();
  if (fd_ >= 0) ::close(fd_);
}

Status RotatingFile::open_file() {
  struct stat info {};
  if (::stat(path_.c_str(), &info) != 0) return begin_file(kNewFileMode);
  if (static_cast<uint64_t>(info.st_size) >= options_.bytes_max) return rotate();
  fd_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd_ < 0) return errno_status(errno, "open " + path_);
  size_ = static_cast<uint64_t>(info.st_size);
  return Status();
}

Status RotatingFile::begin_file(mode_t mode) {
  std::error_code error;
  fs::create_directories(fs::path(path_).parent_path(), error);
  fd_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd_ < 0) return errno_status(errno, "open " + path_);
  size_ = 0;
  return Status();
}

// A name that is taken, because two files were full within a millisecond, is not used again.
std::string RotatingFile::backup_path() const {
  const fs::path path(path_);
  for (int64_t ms = now_ms();; ++ms) {
    std::string name =
        path.stem().string() + "-" + name_time(ms, options_.local_time) + path.extension().string();
    fs::path candidate = path.parent_path() / name;
    std::error_code ignored;
    if (!fs::exists(candidate, ignored) &&
        !fs::exists(candidate.string() + std::string(kCompressed), ignored)) {
      return candidate.string();
    }
  }
}

Status RotatingFile::rotate() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  mode_t mode = kNewFileMode;
  struct stat info {};
  if (::stat(path_.c_str(), &info) == 0) {
    mode = info.st_mode & 07777;
    if (::rename(path_.c_str(), backup_path().c_str()) != 0) {
      return errno_status(errno, "rename " + path_);
    }
  }
  Status begun = begin_file(mode);
  if (begun.ok() && info.st_nlink > 0) {
    // The old file's owner owns the new one, if a server may say so: only root may.
    [[maybe_unused]] int given = ::fchown(fd_, info.st_uid, info.st_gid);
  }
  std::lock_guard lock(mutex_);
  untidy_ = true;
  wake_.notify_all();
  return begun;
}

void RotatingFile::write(std::string_view line) {
  if (fd_ < 0 && !open_file().ok()) return;
  if (size_ > 0 && size_ + line.size() > options_.bytes_max && !rotate().ok()) return;
  if (write_all(fd_, line.data(), line.size())) size_ += line.size();
}

void RotatingFile::tidy_loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return untidy_ || stopping_; });
    if (!untidy_) return;
    untidy_ = false;
    lock.unlock();
    tidy();
    lock.lock();
  }
}

void RotatingFile::tidy() const {
  if (options_.backups_max == 0 && options_.days_max == 0 && !options_.compress) return;
  const fs::path directory = fs::path(path_).parent_path();
  constexpr int64_t kDayMs = int64_t{24} * 3600 * 1000;
  const int64_t oldest = options_.days_max == 0 || options_.days_max > INT64_MAX / kDayMs
                             ? INT64_MIN
                             : now_ms() - static_cast<int64_t>(options_.days_max) * kDayMs;
  std::set<std::string> kept;  // A file that is there plain and compressed counts once.
  for (const OldFile& file : old_files(path_)) {
    kept.insert(file.plain_name());
    const bool too_many = options_.backups_max > 0 && kept.size() > options_.backups_max;
    if (too_many || file.time < oldest) {
      std::error_code ignored;
      fs::remove(directory / file.name, ignored);
    } else if (options_.compress && !file.compressed()) {
      compress_file(directory / file.name);
    }
  }
}

}  // namespace mortise::server
