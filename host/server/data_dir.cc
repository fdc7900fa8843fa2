#include "host/server/data_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <utility>

namespace mortise::server {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBackendFile = "/member/BACKEND";

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

Status DataDir::make(const std::string& path) {
  std::error_code error;
  fs::path parent = fs::path(path).parent_path();
  if (!parent.empty() && !fs::exists(parent, error)) MORTISE_RETURN_IF_ERROR(make(parent));
  if (::mkdir(path.c_str(), 0700) == 0) {
    made_.push_back(path);
  } else if (errno != EEXIST) {
    return errno_status(errno, "cannot create directory " + path);
  }
  if (!fs::is_directory(path, error)) return invalid(path + " is not a directory");
  if (::access(path.c_str(), R_OK | W_OK | X_OK) != 0) {
    return errno_status(errno, "cannot use directory " + path);
  }
  return Status();
}

// Directories from before this file was written have none.
Status DataDir::check_backend() const {
  std::ifstream file(path_ + kBackendFile);
  std::string name;
  if (!std::getline(file, name) || name.empty() || name == backend_) return Status();
  return invalid("data directory " + path_ + " was made with backend " + name + " and not with " +
                 backend_);
}

void DataDir::find_unknown_files() {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path_, error)) {
    std::string name = entry.path().filename();
    if (name != "member" && name != "fixtures") unknown_files_.push_back(name);
  }
  for (const auto& entry : fs::directory_iterator(path_ + "/member", error)) {
    std::string name = entry.path().filename();
    bool is_ours =
        name == "LOCK" || name == "BACKEND" || name == "wal" || name.starts_with("store");
    if (!is_ours) unknown_files_.push_back("member/" + name);
  }
}

Result<DataDir> DataDir::open(const std::string& path, const std::string& wal_path,
                              const std::string& backend) {
  MORTISE_RETURN_IF_ERROR(check_foreign(path));
  DataDir dir;
  dir.path_ = path;
  dir.backend_ = backend;
  std::string member = path + "/member";
  dir.store_path_ = member + "/store";
  dir.wal_path_ = wal_path.empty() ? member + "/wal" : wal_path;
  MORTISE_RETURN_IF_ERROR(dir.check_backend());
  MORTISE_RETURN_IF_ERROR(dir.make(path));
  MORTISE_RETURN_IF_ERROR(dir.make(member));
  std::string lock = member + "/LOCK";
  dir.lock_fd_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (dir.lock_fd_ < 0) return errno_status(errno, "cannot open " + lock);
  if (::flock(dir.lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return errno_status(errno, "cannot lock " + lock);
    return Status(StatusCode::kInUse, "data directory " + path + " is in use by another process (" +
                                          lock + " is locked)");
  }
  MORTISE_RETURN_IF_ERROR(dir.make(dir.store_path_));
  if (!wal_path.empty()) MORTISE_RETURN_IF_ERROR(dir.make(wal_path));
  dir.find_unknown_files();
  return dir;
}

Status DataDir::keep() {
  made_.clear();
  std::string path = path_ + kBackendFile;
  std::error_code error;
  if (fs::exists(path, error) && fs::file_size(path, error) > 0) return Status();
  std::ofstream file(path, std::ios::trunc);
  file << backend_ << "\n" << std::flush;
  return file ? Status() : errno_status(errno, "cannot write " + path);
}

void DataDir::abandon() {
  std::error_code error;
  for (auto it = made_.rbegin(); it != made_.rend(); ++it) fs::remove_all(*it, error);
  made_.clear();
}

DataDir::DataDir(DataDir&& o) noexcept
    : path_(std::move(o.path_)),
      backend_(std::move(o.backend_)),
      store_path_(std::move(o.store_path_)),
      wal_path_(std::move(o.wal_path_)),
      unknown_files_(std::move(o.unknown_files_)),
      made_(std::move(o.made_)),
      lock_fd_(std::exchange(o.lock_fd_, -1)) {}

DataDir::~DataDir() {
  if (lock_fd_ >= 0) ::close(lock_fd_);
}

}  // namespace mortise::server
