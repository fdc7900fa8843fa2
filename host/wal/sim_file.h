// A disk in memory for tests: it loses and tears what was not synced, from a seed, and fails on
// request. Sectors of 512 bytes are atomic; names change in order, and a power loss keeps a prefix
// of the changes that no directory sync covers. A failed sync forgets, as Linux does, that its
// sectors still have to be written.
//
// Threads: any. Ownership: files share their contents with the disk and die with the next power
// loss.
#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <utility>

#include "host/wal/file.h"
#include "host/wal/format.h"

namespace mortise::wal {

class SimDisk final : public FileSystem {
 public:
  explicit SimDisk(uint64_t seed) : random_(seed) {}

  // After so many more changing operations the power is gone: each operation fails, until
  // power_loss(). The operation that meets the end has taken effect, but is not durable.
  void lose_power_after(uint64_t operations) {
    with_lock([&] { operations_left_ = operations; });
  }
  bool powered() const { return powered_; }
  // The machine starts again with what was durable and a random part of the rest.
  void power_loss();

  // Writes and allocations beyond so many bytes fail with ENOSPC, writes after a part.
  void limit_space(uint64_t bytes) {
    with_lock([&] { space_left_ = bytes; });
  }
  void fail_syncs(bool fail) {
    with_lock([&] { fail_syncs_ = fail; });
  }
  void fail_removes(bool fail) {
    with_lock([&] { fail_removes_ = fail; });
  }
  // Called by each sync of a file before it does anything, with no lock held.
  void on_sync(std::function<void()> hook) {
    with_lock([&] { sync_hook_ = std::move(hook); });
  }

  // What the file reads as now; a reference for tests that damage it.
  std::string& contents(const std::string& path) { return files_.at(path)->data; }
  std::vector<std::string> paths() const;
  // Everything as if synced; after a test changed contents().
  void settle();

  Result<std::unique_ptr<File>> open_file(const std::string& path, OpenMode mode) override;
  Status create_dir(const std::string& path) override;
  Result<std::vector<std::string>> list_dir(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status sync_dir(const std::string& path) override;

 private:
  struct Inode {
    std::string data;
    std::string durable;
    std::set<uint64_t> dirty;  // Sectors that a sync has to write.
  };
  using Names = std::map<std::string, std::shared_ptr<Inode>>;
  class SimFile;

  template <typename Action>
  void with_lock(Action action) {
    std::lock_guard lock(mutex_);
    action();
  }
  static Status no_power() { return Status(StatusCode::kIo, "simulated power loss"); }
  // Counts a changing operation that just took effect.
  Status account();
  static void persist_sector(Inode& inode, uint64_t sector);

  std::mutex mutex_;
  std::mt19937_64 random_;
  std::set<std::string> dirs_;
  Names files_;
  std::vector<Names> pending_;  // The names after each change that is not durable yet.
  Names durable_files_;
  uint64_t operations_left_ = UINT64_MAX;
  std::atomic<bool> powered_ = true;
  uint64_t space_left_ = UINT64_MAX;
  bool fail_syncs_ = false;
  bool fail_removes_ = false;
  std::function<void()> sync_hook_;
};

class SimDisk::SimFile final : public File {
 public:
  SimFile(SimDisk& disk, std::shared_ptr<Inode> inode) : disk_(disk), inode_(std::move(inode)) {}

  Result<size_t> read_at(uint64_t offset, char* out, size_t size) override {
    std::lock_guard lock(disk_.mutex_);
    if (!disk_.powered_) return no_power();
    if (offset >= inode_->data.size()) return size_t{0};
    return inode_->data.copy(out, size, offset);
  }

  Status write_at(uint64_t offset, std::string_view bytes) override {
    std::lock_guard lock(disk_.mutex_);
    if (!disk_.powered_) return no_power();
    const bool full = bytes.size() > disk_.space_left_;
    if (full) bytes = bytes.substr(0, disk_.space_left_);
    if (disk_.space_left_ != UINT64_MAX) disk_.space_left_ -= bytes.size();
    if (inode_->data.size() < offset + bytes.size()) inode_->data.resize(offset + bytes.size());
    inode_->data.replace(offset, bytes.size(), bytes);
    mark_dirty(offset, offset + bytes.size());
    MORTISE_RETURN_IF_ERROR(disk_.account());
    return full ? errno_status(ENOSPC, "simulated write") : Status();
  }

  Status sync_data() override {
    std::function<void()> hook;
    disk_.with_lock([&] { hook = disk_.sync_hook_; });
    if (hook) hook();
    std::lock_guard lock(disk_.mutex_);
    if (!disk_.powered_) return no_power();
    for (const uint64_t sector : inode_->dirty) {
      if (!disk_.fail_syncs_ || disk_.random_() % 2 == 0) persist_sector(*inode_, sector);
    }
    inode_->dirty.clear();
    if (disk_.fail_syncs_) return errno_status(EIO, "simulated sync");
    inode_->durable.resize(inode_->data.size());
    return disk_.account();
  }

  Status allocate(uint64_t size) override {
    std::lock_guard lock(disk_.mutex_);
    if (!disk_.powered_) return no_power();
    if (inode_->data.size() >= size) return Status();
    if (disk_.space_left_ < size) return errno_status(ENOSPC, "simulated allocation");
    mark_dirty(inode_->data.size(), size);
    inode_->data.resize(size);
    return disk_.account();
  }

  Status truncate(uint64_t size) override {
    std::lock_guard lock(disk_.mutex_);
    if (!disk_.powered_) return no_power();
    mark_dirty(size, inode_->data.size());
    inode_->data.resize(size);
    return disk_.account();
  }

  Result<uint64_t> size() override {
    std::lock_guard lock(disk_.mutex_);
    return inode_->data.size();
  }

 private:
  void mark_dirty(uint64_t begin, uint64_t end) {
    for (uint64_t at = begin / kSectorBytes; at * kSectorBytes < end; ++at) {
      inode_->dirty.insert(at);
    }
  }

  SimDisk& disk_;
  std::shared_ptr<Inode> inode_;
};

inline Status SimDisk::account() {
  if (operations_left_ == UINT64_MAX) return Status();
  if (operations_left_ > 0) --operations_left_;
  if (operations_left_ == 0) powered_ = false;
  return powered_ ? Status() : no_power();
}

// The sector as it reads now goes to the disk; bytes beyond the present end are zeros there.
inline void SimDisk::persist_sector(Inode& inode, uint64_t sector) {
  const uint64_t begin = sector * kSectorBytes;
  std::string bytes(kSectorBytes, '\0');
  if (begin < inode.data.size()) inode.data.copy(bytes.data(), kSectorBytes, begin);
  const uint64_t end = std::min<uint64_t>(begin + kSectorBytes, inode.data.size());
  if (inode.durable.size() < end) inode.durable.resize(end);
  if (begin >= inode.durable.size()) return;
  const size_t part = std::min<size_t>(kSectorBytes, inode.durable.size() - begin);
  inode.durable.replace(begin, part, bytes, 0, part);
}

inline void SimDisk::power_loss() {
  std::lock_guard lock(mutex_);
  const size_t kept = pending_.empty() ? 0 : random_() % (pending_.size() + 1);
  if (kept > 0) durable_files_ = pending_[kept - 1];
  const uint64_t mode = random_() % 4;  // Of the unsynced sectors: none, all, or about a half.
  for (auto& [path, inode] : durable_files_) {
    for (const uint64_t sector : inode->dirty) {
      if (mode == 1 || (mode > 1 && random_() % 2 == 0)) persist_sector(*inode, sector);
    }
    if (random_() % 2 == 0) inode->durable.resize(inode->data.size());
    inode->data = inode->durable;
    inode->dirty.clear();
  }
  files_ = durable_files_;
  pending_.clear();
  operations_left_ = UINT64_MAX;
  powered_ = true;
}

inline void SimDisk::settle() {
  std::lock_guard lock(mutex_);
  for (auto& [path, inode] : files_) {
    inode->durable = inode->data;
    inode->dirty.clear();
  }
  durable_files_ = files_;
  pending_.clear();
}

inline std::vector<std::string> SimDisk::paths() const {
  std::vector<std::string> paths;
  for (const auto& [path, inode] : files_) paths.push_back(path);
  return paths;
}

inline Result<std::unique_ptr<File>> SimDisk::open_file(const std::string& path, OpenMode mode) {
  std::lock_guard lock(mutex_);
  if (!powered_) return no_power();
  auto found = files_.find(path);
  if (mode == OpenMode::kCreate) {
    // A new inode also for an existing name: an emptied file has nothing in common with the old.
    files_[path] = std::make_shared<Inode>();
    pending_.push_back(files_);
    MORTISE_RETURN_IF_ERROR(account());
    found = files_.find(path);
  } else if (found == files_.end()) {
    return errno_status(ENOENT, "simulated open of " + path);
  }
  return std::unique_ptr<File>(std::make_unique<SimFile>(*this, found->second));
}

inline Status SimDisk::create_dir(const std::string& path) {
  std::lock_guard lock(mutex_);
  if (!powered_) return no_power();
  dirs_.insert(path);
  return Status();
}

inline Result<std::vector<std::string>> SimDisk::list_dir(const std::string& path) {
  std::lock_guard lock(mutex_);
  if (!powered_) return no_power();
  if (!dirs_.contains(path)) return errno_status(ENOENT, "simulated directory " + path);
  std::vector<std::string> names;
  for (const auto& [file, inode] : files_) {
    if (file.starts_with(path + "/")) names.push_back(file.substr(path.size() + 1));
  }
  std::shuffle(names.begin(), names.end(), random_);
  return names;
}

inline Status SimDisk::rename(const std::string& from, const std::string& to) {
  std::lock_guard lock(mutex_);
  if (!powered_) return no_power();
  const auto found = files_.find(from);
  if (found == files_.end()) return errno_status(ENOENT, "simulated rename of " + from);
  files_[to] = found->second;
  files_.erase(from);
  pending_.push_back(files_);
  return account();
}

inline Status SimDisk::remove(const std::string& path) {
  std::lock_guard lock(mutex_);
  if (!powered_) return no_power();
  if (fail_removes_) return errno_status(EIO, "simulated remove of " + path);
  if (files_.erase(path) == 0) return errno_status(ENOENT, "simulated remove of " + path);
  pending_.push_back(files_);
  return account();
}

inline Status SimDisk::sync_dir(const std::string&) {
  std::lock_guard lock(mutex_);
  if (!powered_) return no_power();
  if (fail_syncs_) return errno_status(EIO, "simulated directory sync");
  durable_files_ = files_;
  pending_.clear();
  return account();
}

}  // namespace mortise::wal
