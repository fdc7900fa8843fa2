#include "host/server/data_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <utility>

#include "host/wal/wal.h"

namespace mortise::server {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBackendFile = "/member/BACKEND";

// An etcd member that can be taken over has been by now.
Status check_foreign(const std::string& path) {
  std::error_code error;
  std::string snap = path + "/member/snap";
  bool ours = fs::exists(path + "/member/LOCK", error);
  if (fs::exists(snap + "/db", error)) {
    return invalid("data directory " + path +
                   " belongs to an etcd server (it has member/snap/db), and holds data of mortise "
                   "too; if an etcd was started here by mistake, remove member/snap, otherwise "
                   "move one of them away");
  }
  if (fs::exists(snap, error) && !ours) {
    return invalid("data directory " + path +
                   " belongs to an etcd server (it has member/snap) and holds no database of it "
                   "(member/snap/db) that could be taken over");
  }
  if (fs::exists(path + "/proxy", error)) {
    return invalid("data directory " + path + " belongs to an etcd proxy, which is not supported");
  }
  return Status();
}

constexpr std::string_view kFirstStore = "store";
constexpr std::string_view kStorePrefix = "store-";

// The index in the name of a snapshot's store; false if it is none, or unfinished.
bool parse_store_name(std::string_view name, uint64_t* index) {
  if (!name.starts_with(kStorePrefix)) return false;
  name.remove_prefix(kStorePrefix.size());
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), *index, 16);
  return name.size() == 16 && error == std::errc() && end == name.data() + name.size();
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

Status sync_directory(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno_status(errno, "cannot open directory " + path);
  int rc = ::fsync(fd);
  int error = errno;
  ::close(fd);
  return rc == 0 ? Status() : errno_status(error, "cannot sync directory " + path);
}

std::string DataDir::store_path(uint64_t snapshot_index) const {
  char name[17];
  std::snprintf(name, sizeof name, "%016llx", static_cast<unsigned long long>(snapshot_index));
  return member_path_ + "/" + std::string(kStorePrefix) + name;
}

Status DataDir::choose_store() {
  std::vector<uint64_t> indexes;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(member_path_, error)) {
    uint64_t index;
    if (parse_store_name(entry.path().filename().string(), &index)) indexes.push_back(index);
  }
  if (error) return errno_status(error.value(), "cannot read directory " + member_path_);
  store_path_ = member_path_ + "/" + std::string(kFirstStore);
  if (indexes.empty()) return make(store_path_);
  auto mark = wal::Wal::last_mark(wal_path_);
  if (!mark.ok()) {
    return Status(mark.status().code(),
                  "which of the stores in " + member_path_ +
                      " is the newest is in the log only: " + mark.status().message());
  }
  uint64_t newest = *mark ? (**mark).index : 0;
  std::erase_if(indexes, [&](uint64_t index) { return index > newest; });
  if (!indexes.empty()) {
    store_path_ = store_path(*std::max_element(indexes.begin(), indexes.end()));
  } else if (!fs::exists(store_path_, error)) {
    return corruption("no store in " + member_path_ + " fits the log in " + wal_path_);
  }
  return Status();
}

Status DataDir::remove_leftovers() const {
  std::vector<fs::path> leftovers{snap_path_};
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(member_path_, error)) {
    std::string name = entry.path().filename();
    bool store = name == kFirstStore || name.starts_with(kStorePrefix);
    if (store && entry.path() != store_path_) leftovers.push_back(entry.path());
  }
  for (const fs::path& path : leftovers) {
    fs::remove_all(path, error);
    if (error) return errno_status(error.value(), "cannot remove " + path.string());
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
    bool is_known = name == "member" || name == "fixtures" || name.starts_with(kKeptEtcdPrefix);
    if (!is_known) unknown_files_.push_back(name);
  }
  for (const auto& entry : fs::directory_iterator(path_ + "/member", error)) {
    std::string name = entry.path().filename();
    bool is_ours = name == "LOCK" || name == "BACKEND" || name == "wal" || name == "snap" ||
                   name.starts_with("store");
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
  dir.member_path_ = member;
  dir.snap_path_ = member + "/snap";
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
  MORTISE_RETURN_IF_ERROR(dir.choose_store());
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
      member_path_(std::move(o.member_path_)),
      store_path_(std::move(o.store_path_)),
      snap_path_(std::move(o.snap_path_)),
      wal_path_(std::move(o.wal_path_)),
      unknown_files_(std::move(o.unknown_files_)),
      made_(std::move(o.made_)),
      lock_fd_(std::exchange(o.lock_fd_, -1)) {}

DataDir::~DataDir() {
  if (lock_fd_ >= 0) ::close(lock_fd_);
}

}  // namespace mortise::server
