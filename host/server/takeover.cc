#include "host/server/takeover.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <optional>

#include "host/etcd_dir/log.h"
#include "host/server/data_dir.h"
#include "host/wal/format.h"

namespace mortise::server {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kUnfinished = "mortise-import.part";
constexpr std::string_view kReady = "mortise-import-";

bool exists(const std::string& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

Status make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return Status();
  return errno_status(errno, "cannot create directory " + path);
}

Status move(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return Status();
  return errno_status(errno, "cannot rename " + from + " to " + to);
}

Status remove_tree(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  return error ? errno_status(error.value(), "cannot remove " + path) : Status();
}

Status sync_file(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno_status(errno, "cannot open " + path);
  int rc = ::fsync(fd);
  int error = errno;
  ::close(fd);
  return rc == 0 ? Status() : errno_status(error, "cannot sync " + path);
}

Status sync_tree(const std::string& path) {
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(path, error)) {
    MORTISE_RETURN_IF_ERROR(sync_file(entry.path()));
  }
  if (error) return errno_status(error.value(), "cannot read directory " + path);
  return sync_file(path);
}

std::string time_stamp() {
  const std::time_t now = std::time(nullptr);
  std::tm utc;
  ::gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &utc);
  return text;
}

bool is_our_segment(const std::string& path) {
  char magic[wal::kSegmentMagic.size()];
  std::ifstream file(path, std::ios::binary);
  return file.read(magic, sizeof magic) &&
         std::string_view(magic, sizeof magic) == wal::kSegmentMagic;
}

// A file, or a directory, that nobody else may lock meanwhile.
class FileLock {
 public:
  FileLock() = default;
  ~FileLock() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  // kInUse if somebody has it. Where a directory cannot be locked nothing is.
  Status take(const std::string& path, int flags) {
    fd_ = ::open(path.c_str(), flags | O_CLOEXEC);
    if (fd_ < 0) return errno_status(errno, "cannot open " + path);
    if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return Status();
    if (errno == EWOULDBLOCK) return Status(StatusCode::kInUse, path + " is locked");
    return (flags & O_DIRECTORY) != 0 ? Status() : errno_status(errno, "cannot lock " + path);
  }

 private:
  int fd_ = -1;
};

class Takeover {
 public:
  Takeover(const TakeoverOptions& options, Log* log)
      : options_(options),
        server_log_(log),
        data_dir_(options.data_dir),
        member_(data_dir_ + "/member"),
        wal_dir_(own_wal_dir()) {}
  Status run();

 private:
  std::string own_wal_dir() const;
  bool is_etcds() const;
  bool needed() const { return is_etcds() || half_done().has_value(); }
  std::optional<std::string> half_done() const;
  Status check_wal_dir() const;
  Status lock_database();
  Status remove_leftovers() const;
  Status make_import(const std::string& stamp);
  Status build(const std::string& dir, const std::string& wal) const;
  Status finish(const std::string& stamp);
  Status check_same_wal_dir(const std::string& stamp) const;
  Status exchange_logs(const std::string& stamp) const;
  std::string in_data(std::string_view name) const { return data_dir_ + "/" + std::string(name); }
  std::string in_wal(std::string_view name) const { return wal_dir_ + "/" + std::string(name); }

  const TakeoverOptions& options_;
  Log* const server_log_;
  const std::string data_dir_;
  const std::string member_;
  const std::string wal_dir_;  // Empty: member/wal.
  FileLock directory_lock_;
  FileLock database_lock_;
};

std::string Takeover::own_wal_dir() const {
  if (options_.wal_dir.empty()) return "";
  std::error_code error;
  const fs::path given = fs::weakly_canonical(options_.wal_dir, error);
  const fs::path usual = fs::weakly_canonical(options_.data_dir + "/member/wal", error);
  return given == usual ? "" : options_.wal_dir;
}

bool Takeover::is_etcds() const {
  return exists(member_ + "/snap/db") && !exists(member_ + "/BACKEND") &&
         !exists(member_ + "/store");
}

// When a takeover was cut short after it was decided.
std::optional<std::string> Takeover::half_done() const {
  if (exists(member_)) return std::nullopt;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(data_dir_, error)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kReady)) continue;
    std::string stamp = name.substr(kReady.size());
    if (exists(in_data(kKeptEtcdPrefix) + stamp)) return stamp;
  }
  return std::nullopt;
}

Status Takeover::run() {
  if (!needed()) return Status();
  Status locked = directory_lock_.take(data_dir_, O_RDONLY | O_DIRECTORY);
  if (locked.code() == StatusCode::kInUse) {
    return Status(StatusCode::kInUse, "another server is taking over data directory " + data_dir_);
  }
  MORTISE_RETURN_IF_ERROR(locked);
  if (auto stamp = half_done()) return finish(*stamp);
  if (!is_etcds()) return Status();
  MORTISE_RETURN_IF_ERROR(check_wal_dir());
  MORTISE_RETURN_IF_ERROR(lock_database());
  MORTISE_RETURN_IF_ERROR(remove_leftovers());
  server_log_->info("taking over the data directory of an etcd member",
                    {{"data-dir", data_dir_}, {"backend", options_.backend}});
  std::string stamp = time_stamp();
  while (exists(in_data(kKeptEtcdPrefix) + stamp)) stamp += "-2";
  Status made = make_import(stamp);
  if (!made.ok()) {
    if (Status removed = remove_leftovers(); !removed.ok()) {
      server_log_->warn("what was made of etcd's data could not be removed",
                        {{"error", removed.message()}});
    }
    return Status(made.code(), "cannot take over the etcd member in " + data_dir_ +
                                   ", which is left as it was: " + made.message());
  }
  return finish(stamp);
}

Status Takeover::check_wal_dir() const {
  if (wal_dir_.empty()) return Status();
  if (!exists(wal_dir_)) {
    return invalid("there is no --wal-dir " + wal_dir_ + "; the etcd member in " + data_dir_ +
                   " needs the one that it ran with, if any");
  }
  std::error_code error;
  const std::string inside = fs::weakly_canonical(member_, error).string() + "/";
  if (!fs::weakly_canonical(wal_dir_, error).string().starts_with(inside)) return Status();
  return invalid("--wal-dir " + wal_dir_ + " lies in " + member_ +
                 ", which is moved when an etcd member is taken over; move the log elsewhere");
}

Status Takeover::lock_database() {
  const std::string path = member_ + "/snap/db";
  Status status = database_lock_.take(path, O_RDWR);
  if (status.code() != StatusCode::kInUse) return status;
  return Status(StatusCode::kInUse, "data directory " + data_dir_ +
                                        " is in use: an etcd runs on it, or a tool of etcd's (" +
                                        path + " is locked); stop it first");
}

// Of attempts that were not decided.
Status Takeover::remove_leftovers() const {
  for (const std::string& dir : {data_dir_, wal_dir_}) {
    if (dir.empty()) continue;
    std::error_code error;
    std::vector<std::string> leftovers;
    for (const auto& entry : fs::directory_iterator(dir, error)) {
      const std::string name = entry.path().filename();
      if (name == kUnfinished || name.starts_with(kReady)) leftovers.push_back(entry.path());
    }
    for (const std::string& path : leftovers) MORTISE_RETURN_IF_ERROR(remove_tree(path));
  }
  return Status();
}

// Everything that decides is on disk before the last rename.
Status Takeover::make_import(const std::string& stamp) {
  const std::string dir = in_data(kUnfinished);
  const std::string ready = in_data(kReady) + stamp;
  MORTISE_RETURN_IF_ERROR(make_directory(dir));
  if (!wal_dir_.empty()) MORTISE_RETURN_IF_ERROR(make_directory(in_wal(kUnfinished)));
  MORTISE_RETURN_IF_ERROR(build(dir, wal_dir_.empty() ? dir + "/wal" : in_wal(kUnfinished)));
  options_.at("built");
  MORTISE_RETURN_IF_ERROR(sync_tree(dir));
  if (!wal_dir_.empty()) {
    MORTISE_RETURN_IF_ERROR(sync_tree(in_wal(kUnfinished)));
    MORTISE_RETURN_IF_ERROR(move(in_wal(kUnfinished), in_wal(kReady) + stamp));
    MORTISE_RETURN_IF_ERROR(sync_directory(wal_dir_));
    options_.at("log ready");
  }
  MORTISE_RETURN_IF_ERROR(move(dir, ready));
  MORTISE_RETURN_IF_ERROR(sync_directory(data_dir_));
  options_.at("ready");
  MORTISE_RETURN_IF_ERROR(move(member_, in_data(kKeptEtcdPrefix) + stamp));
  options_.at("decided");
  return Status();
}

Status Takeover::build(const std::string& dir, const std::string& wal) const {
  ImportPaths paths;
  paths.etcd_snap = member_ + "/snap";
  paths.etcd_wal = wal_dir_.empty() ? member_ + "/wal" : wal_dir_;
  paths.store = dir + "/store";
  paths.wal = wal;
  paths.temp = dir + "/sort";
  MORTISE_RETURN_IF_ERROR(make_directory(paths.temp));
  MORTISE_RETURN_IF_ERROR(import_etcd(paths, options_.import, server_log_));
  MORTISE_RETURN_IF_ERROR(remove_tree(paths.temp));
  const std::string backend = dir + "/BACKEND";
  std::ofstream file(backend, std::ios::trunc);
  file << options_.backend << "\n" << std::flush;
  return file ? Status() : errno_status(errno, "cannot write " + backend);
}

Status Takeover::finish(const std::string& stamp) {
  MORTISE_RETURN_IF_ERROR(check_same_wal_dir(stamp));
  MORTISE_RETURN_IF_ERROR(sync_directory(data_dir_));
  if (!wal_dir_.empty()) MORTISE_RETURN_IF_ERROR(exchange_logs(stamp));
  MORTISE_RETURN_IF_ERROR(move(in_data(kReady) + stamp, member_));
  MORTISE_RETURN_IF_ERROR(sync_directory(data_dir_));
  options_.at("done");
  const std::string kept = in_data(kKeptEtcdPrefix) + stamp;
  server_log_->info("took over an etcd member", {{"data-dir", data_dir_}, {"etcd-files", kept}});
  server_log_->warn(
      "etcd's files are kept as they were, and nothing is written to them any more; to go back to "
      "etcd and lose what is written from now on, stop this server, remove member and rename "
      "etcd's directory to it",
      {{"etcd-files", kept}, {"member", member_}});
  return Status();
}

// Half of it done with one log directory cannot be finished with another.
Status Takeover::check_same_wal_dir(const std::string& stamp) const {
  const bool has_log = exists(in_data(kReady) + stamp + "/wal");
  const bool begun_there = !wal_dir_.empty() && (exists(in_wal(kReady) + stamp) ||
                                                 exists(in_wal(kKeptEtcdPrefix) + stamp));
  if (wal_dir_.empty() ? has_log : begun_there) return Status();
  return invalid("an etcd member in data directory " + data_dir_ +
                 " was half taken over with another --wal-dir; start with that one");
}

// Etcd's files of the log go, ours come. Each step may have been done already.
Status Takeover::exchange_logs(const std::string& stamp) const {
  const std::string ready = in_wal(kReady) + stamp;
  const std::string kept = in_wal(kKeptEtcdPrefix) + stamp;
  if (!exists(ready)) return Status();
  MORTISE_RETURN_IF_ERROR(make_directory(kept));
  std::error_code error;
  std::vector<std::string> theirs, ours;
  for (const auto& entry : fs::directory_iterator(wal_dir_, error)) {
    const std::string name = entry.path().filename();
    const bool of_log =
        etcd_dir::is_segment_name(name) || name.ends_with(".tmp") || name.ends_with(".broken");
    if (of_log && entry.is_regular_file(error) && !is_our_segment(entry.path())) {
      theirs.push_back(name);
    }
  }
  for (const auto& entry : fs::directory_iterator(ready, error)) {
    ours.push_back(entry.path().filename());
  }
  if (error) return errno_status(error.value(), "cannot read directory " + wal_dir_);
  for (const std::string& name : theirs) {
    MORTISE_RETURN_IF_ERROR(move(in_wal(name), kept + "/" + name));
    options_.at("one of etcd's log moved");
  }
  for (const std::string& name : ours) {
    MORTISE_RETURN_IF_ERROR(move(ready + "/" + name, in_wal(name)));
    options_.at("one of our log moved");
  }
  MORTISE_RETURN_IF_ERROR(sync_directory(kept));
  MORTISE_RETURN_IF_ERROR(sync_directory(wal_dir_));
  return remove_tree(ready);
}

}  // namespace

Status take_over_etcd(const TakeoverOptions& options, Log* log) {
  return Takeover(options, log).run();
}

}  // namespace mortise::server
