#include "host/server/snapshot_receiver.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cinttypes>
#include <filesystem>
#include <map>

#include "host/membership/member.h"
#include "host/snapshot/loader.h"

namespace mortise::server {
namespace {

constexpr uint64_t kWriteBackBytes = 4 << 20;

namespace fs = std::filesystem;

Status make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return Status();
  return errno_status(errno, "cannot create directory " + path);
}

// A file or a directory that goes unless it is kept.
class TempPath {
 public:
  explicit TempPath(std::string path) : path_(std::move(path)) {}
  ~TempPath() {
    std::error_code ignored;  // What stays is removed at the next start.
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  TempPath(const TempPath&) = delete;
  TempPath& operator=(const TempPath&) = delete;
  const std::string& get() const { return path_; }
  void keep() { path_.clear(); }

 private:
  std::string path_;
};

}  // namespace

// The stores that wait for raft's decision, and those that it went against.
class SnapshotReceiver::Stores {
 public:
  // The same snapshot with the store hanging on it.
  static raft::SnapshotRef attach(const std::shared_ptr<Stores>& stores,
                                  const raft::Snapshot& snapshot,
                                  std::unique_ptr<store::Store> store) {
    raft::SnapshotRef ref(new raft::Snapshot(snapshot), [stores](const raft::Snapshot* dropped) {
      stores->discard(dropped);
      delete dropped;
    });
    std::lock_guard lock(stores->mutex_);
    stores->prepared_[ref.get()] = std::move(store);
    return ref;
  }
  std::unique_ptr<store::Store> take(const raft::Snapshot* snapshot) {
    std::lock_guard lock(mutex_);
    auto at = prepared_.find(snapshot);
    if (at == prepared_.end()) return nullptr;
    auto store = std::move(at->second);
    prepared_.erase(at);
    return store;
  }
  std::vector<std::unique_ptr<store::Store>> take_discarded() {
    std::lock_guard lock(mutex_);
    return std::exchange(discarded_, {});
  }
  bool begin() {
    std::lock_guard lock(mutex_);
    if (stopped_ || receiving_ == kSnapshotsReceivedMax) return false;
    ++receiving_;
    return true;
  }
  void end() {
    std::lock_guard lock(mutex_);
    --receiving_;
  }
  void stop() {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  void close() {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    prepared_.clear();
    discarded_.clear();
  }
  bool stopped() {
    std::lock_guard lock(mutex_);
    return stopped_;
  }
  uint64_t next_number() { return next_number_.fetch_add(1); }

 private:
  void discard(const raft::Snapshot* snapshot) {
    std::lock_guard lock(mutex_);
    auto at = prepared_.find(snapshot);
    if (at == prepared_.end()) return;
    discarded_.push_back(std::move(at->second));
    prepared_.erase(at);
  }
  std::mutex mutex_;
  std::map<const raft::Snapshot*, std::unique_ptr<store::Store>> prepared_;
  std::vector<std::unique_ptr<store::Store>> discarded_;
  int receiving_ = 0;
  bool stopped_ = false;
  std::atomic<uint64_t> next_number_{1};
};

class SnapshotReceiver::Sink : public peer::SnapshotSink {
 public:
  Sink(const SnapshotReceiverOptions& options, std::shared_ptr<Stores> stores,
       raft::Message message, uint64_t bytes)
      : options_(options),
        stores_(std::move(stores)),
        message_(std::move(message)),
        bytes_wanted_(bytes),
        path_(file_path()) {}
  ~Sink() override {
    if (fd_ >= 0) ::close(fd_);
    stores_->end();
  }

  Status open() {
    MORTISE_RETURN_IF_ERROR(make_directory(options_.dir->snap_path()));
    fd_ = ::open(path_.get().c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd_ < 0) return errno_status(errno, "cannot create " + path_.get());
    return Status();
  }
  // Raft has it all, so it answers without looking at the file.
  void ignore_file() { ignored_ = true; }

  Status write(std::string_view bytes) override {
    bytes_ += bytes.size();
    while (!ignored_ && !bytes.empty()) {
      ssize_t n = ::write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno_status(errno, "cannot write " + path_.get());
      bytes.remove_prefix(static_cast<size_t>(n));
      write_back(static_cast<uint64_t>(n));
    }
    return stores_->stopped() ? stopped() : Status();
  }
  Status finish() override;

 private:
  // Brings the file to the disk piece by piece, and waits for the piece before: were the system to
  // do it at once, the log's writes would wait behind it. A failure shows when the file is read.
  void write_back(uint64_t written) {
    written_ += written;
    if (written_ - flushing_ < kWriteBackBytes) return;
    if (flushing_ > flushed_) {
      ::sync_file_range(
          fd_, static_cast<off_t>(flushed_), static_cast<off_t>(flushing_ - flushed_),
          SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    }
    ::sync_file_range(fd_, static_cast<off_t>(flushing_), static_cast<off_t>(written_ - flushing_),
                      SYNC_FILE_RANGE_WRITE);
    flushed_ = flushing_;
    flushing_ = written_;
  }
  static Status stopped() { return Status(StatusCode::kStopped, "the server stops"); }
  std::string file_path() const {
    char name[64];
    std::snprintf(name, sizeof name, "/%016" PRIx64 ".snap.db.tmp%" PRIu64,
                  message_.snapshot->index, stores_->next_number());
    return options_.dir->snap_path() + name;
  }
  Result<std::unique_ptr<store::Store>> make_store(const std::string& file);
  Result<snapshot::Loaded> load(const bbolt::Source& source, const std::string& store_path);
  void log_loaded(const snapshot::Loaded& loaded, std::chrono::nanoseconds took) const;

  const SnapshotReceiverOptions& options_;
  const std::shared_ptr<Stores> stores_;
  raft::Message message_;
  const uint64_t bytes_wanted_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  uint64_t written_ = 0;   // Of the file; up to here it
  uint64_t flushing_ = 0;  // is on its way to the disk,
  uint64_t flushed_ = 0;   // and is there.
  TempPath path_;
  int fd_ = -1;
  bool ignored_ = false;
  uint64_t bytes_ = 0;
};

Status SnapshotReceiver::Sink::finish() {
  if (ignored_) return options_.step(std::move(message_));
  ::close(std::exchange(fd_, -1));
  if (bytes_wanted_ != 0 && bytes_ != bytes_wanted_) {
    return corruption("the snapshot's file has " + std::to_string(bytes_) + " bytes of the " +
                      std::to_string(bytes_wanted_) + " that it should have");
  }
  const std::string whole = path_.get().substr(0, path_.get().rfind(".tmp"));
  if (::rename(path_.get().c_str(), whole.c_str()) != 0) {
    return errno_status(errno, "cannot rename " + path_.get());
  }
  TempPath file(whole);
  if (options_.saved) options_.saved(std::chrono::steady_clock::now() - start_);
  MORTISE_ASSIGN_OR_RETURN(auto store, make_store(whole));
  if (stores_->stopped()) return stopped();
  message_.snapshot = Stores::attach(stores_, *message_.snapshot, std::move(store));
  return options_.step(std::move(message_));
}

Result<std::unique_ptr<store::Store>> SnapshotReceiver::Sink::make_store(const std::string& file) {
  const auto started = std::chrono::steady_clock::now();
  const std::string path = options_.dir->store_path(message_.snapshot->index);
  std::error_code error;
  if (fs::exists(path, error)) {
    return Status(StatusCode::kInUse, "the same snapshot is still there in " + path);
  }
  TempPath unfinished(path + ".tmp" + std::to_string(stores_->next_number()));
  MORTISE_ASSIGN_OR_RETURN(auto source, bbolt::FileSource::open(file));
  MORTISE_ASSIGN_OR_RETURN(auto loaded, load(*source, unfinished.get()));
  if (::rename(unfinished.get().c_str(), path.c_str()) != 0) {
    return errno_status(errno, "cannot rename " + unfinished.get());
  }
  unfinished.keep();
  TempPath finished(path);
  MORTISE_RETURN_IF_ERROR(sync_directory(options_.dir->member_path()));
  MORTISE_ASSIGN_OR_RETURN(auto store, options_.open_store(path));
  finished.keep();
  log_loaded(loaded, std::chrono::steady_clock::now() - started);
  return store;
}

Result<snapshot::Loaded> SnapshotReceiver::Sink::load(const bbolt::Source& source,
                                                      const std::string& store_path) {
  MORTISE_ASSIGN_OR_RETURN(bool auth, snapshot::has_auth_enabled(source));
  if (auth && !options_.enforces_auth) {
    return invalid(
        "the cluster has authentication enabled, which this member cannot enforce "
        "(--auth-plugin=none): it must not serve the data");
  }
  MORTISE_RETURN_IF_ERROR(make_directory(store_path));
  MORTISE_ASSIGN_OR_RETURN(auto store, options_.open_store(store_path));
  snapshot::LoadOptions load;
  load.temp_dir = options_.dir->snap_path();
  load.position = snapshot::Position{message_.snapshot->index, message_.snapshot->term};
  load.conf_state = message_.snapshot->conf_state;
  load.cluster_id = options_.cluster_id;
  load.member_id = options_.member_id;
  load.keep_going = [this] { return !stores_->stopped(); };
  return snapshot::load(source, load, store.get());
}

void SnapshotReceiver::Sink::log_loaded(const snapshot::Loaded& loaded,
                                        std::chrono::nanoseconds took) const {
  options_.log->info("received and loaded database snapshot",
                     {{"snapshot-index", message_.snapshot->index},
                      {"from", membership::hex_id(message_.from)},
                      {"bytes", bytes_},
                      {"size", bytes_text(bytes_)},
                      {"revision", loaded.state.revision},
                      {"keys", loaded.keys},
                      {"load-took", duration_text(took)}});
}

SnapshotReceiver::SnapshotReceiver(SnapshotReceiverOptions options)
    : stores_(std::make_shared<Stores>()), options_(std::move(options)) {}

SnapshotReceiver::~SnapshotReceiver() { close(); }

Result<std::unique_ptr<peer::SnapshotSink>> SnapshotReceiver::receive(raft::Message message,
                                                                      uint64_t bytes) {
  if (message.type != raft::MessageType::kSnap || !message.snapshot) {
    return invalid("a message with a snapshot's file is none of a snapshot");
  }
  if (!stores_->begin()) {
    return Status(StatusCode::kDropped, "too many snapshots are being received");
  }
  const uint64_t index = message.snapshot->index;
  auto sink = std::make_unique<Sink>(options_, stores_, std::move(message), bytes);
  if (index <= options_.applied_index()) {
    sink->ignore_file();
  } else {
    MORTISE_RETURN_IF_ERROR(sink->open());
  }
  return std::unique_ptr<peer::SnapshotSink>(std::move(sink));
}

std::unique_ptr<store::Store> SnapshotReceiver::take(const raft::SnapshotRef& snapshot) {
  return stores_->take(snapshot.get());
}

void SnapshotReceiver::remove_discarded() {
  for (auto& store : stores_->take_discarded()) {
    std::string path = store->path();
    store.reset();
    std::error_code error;
    fs::remove_all(path, error);
    options_.log->info("removed a snapshot that was not needed any more", {{"path", path}});
  }
}

void SnapshotReceiver::stop() { stores_->stop(); }
void SnapshotReceiver::close() { stores_->close(); }

}  // namespace mortise::server
