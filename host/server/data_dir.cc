#include "host/server/data_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

namespace mortise::server {
namespace {

namespace fs = std::filesystem;

Status make_dir(const std::string& path) {
  std::error_code error;
  fs::path parent = fs::path(path).parent_path();
  if (!parent.empty() && !fs::exists(parent, error)) MORTISE_RETURN_IF_ERROR(make_dir(parent));
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return errno_status(errno, "cannot create directory " + path);
  }
  if (!fs::is_directory(path, error)) return invalid(path + " is not a directory");
  if (::access(path.c_str(), R_OK | W_OK | X_OK) != 0) {
    return errno_status(errno, "cannot use directory " + path);
  }
  return Status();
}

Status check_foreign(const std::string& path) {
  std::error_code error;
  if (fs::exists(path + "/member/snap", error)) {
    return invalid(
        "data directory " + path +
        " belongs to an etcd server (it has member/snap); mortise keeps its data in a format of "
        "its own and does not touch it");
  }
  if (fs::exists(path + "/proxy", error)) {
    return invalid("data directory " + path + " belongs to an etcd proxy, which is not supported");
  }
  return Status();
}

}  // namespace

Result<DataDir> DataDir::open(const std::string& path, const std::string& wal_path) {
  MORTISE_RETURN_IF_ERROR(check_foreign(path));
  DataDir dir;
  std::string member = path + "/member";
  dir.store_path_ = member + "/store";
  dir.wal_path_ = wal_path.empty() ? member + "/wal" : wal_path;
  MORTISE_RETURN_IF_ERROR(make_dir(path));
  MORTISE_RETURN_IF_ERROR(make_dir(member));
  std::string lock = member + "/LOCK";
  dir.lock_fd_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (dir.lock_fd_ < 0) return errno_status(errno, "cannot open " + lock);
  if (::flock(dir.lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return errno_status(errno, "cannot lock " + lock);
    return Status(StatusCode::kInUse, "data directory " + path + " is in use by another process (" +
                                          lock + " is locked)");
  }
  MORTISE_RETURN_IF_ERROR(make_dir(dir.store_path_));
  if (!wal_path.empty()) MORTISE_RETURN_IF_ERROR(make_dir(wal_path));
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    std::string name = entry.path().filename();
    if (name != "member" && name != "fixtures") dir.unknown_files_.push_back(name);
  }
  return dir;
}

DataDir::DataDir(DataDir&& o) noexcept
    : store_path_(std::move(o.store_path_)),
      wal_path_(std::move(o.wal_path_)),
      unknown_files_(std::move(o.unknown_files_)),
      lock_fd_(std::exchange(o.lock_fd_, -1)) {}

DataDir::~DataDir() {
  if (lock_fd_ >= 0) ::close(lock_fd_);
}

}  // namespace mortise::server
