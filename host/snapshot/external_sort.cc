#include "host/snapshot/external_sort.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace mortise::snapshot {
namespace {

constexpr size_t kBufferBytes = 256 << 10;  // For each file.
constexpr size_t kHeadBytes = 8;            // Sizes of key and value, 4 bytes each.

// A file that is gone when it is closed.
Result<int> unnamed_file(const std::string& directory) {
  int fd = ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) return fd;
  std::string name = directory + "/sort-XXXXXX";
  fd = ::mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0) return errno_status(errno, "cannot create a file in " + directory);
  ::unlink(name.c_str());
  return fd;
}

}  // namespace

// Rows in order in one file: written once, then read as often as one likes.
class SortedRun {
 public:
  static Result<std::unique_ptr<SortedRun>> create(const std::string& directory) {
    MORTISE_ASSIGN_OR_RETURN(int fd, unnamed_file(directory));
    return std::unique_ptr<SortedRun>(new SortedRun(fd));
  }
  ~SortedRun() { ::close(fd_); }

  Status append(std::string_view key, std::string_view value) {
    char head[kHeadBytes];
    auto key_size = static_cast<uint32_t>(key.size());
    auto value_size = static_cast<uint32_t>(value.size());
    std::memcpy(head, &key_size, 4);
    std::memcpy(head + 4, &value_size, 4);
    buffer_.append(head, kHeadBytes).append(key).append(value);
    return buffer_.size() < kBufferBytes ? Status() : flush();
  }
  Status flush() {
    for (size_t done = 0; done < buffer_.size();) {
      ssize_t n =
          ::pwrite(fd_, buffer_.data() + done, buffer_.size() - done, static_cast<off_t>(end_));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno_status(errno, "cannot write a file to sort with");
      done += static_cast<size_t>(n);
      end_ += static_cast<uint64_t>(n);
    }
    buffer_.clear();
    return Status();
  }

  void rewind() {
    buffer_.clear();
    at_ = 0;
    read_ = 0;
    size_ = 0;
  }
  // *more is false at the end.
  Status step(bool* more) {
    at_ += size_;
    size_ = 0;
    *more = at_ < buffer_.size() || read_ < end_;
    if (!*more) return Status();
    MORTISE_RETURN_IF_ERROR(fill(kHeadBytes));
    uint32_t key_size, value_size;
    std::memcpy(&key_size, buffer_.data() + at_, 4);
    std::memcpy(&value_size, buffer_.data() + at_ + 4, 4);
    size_ = kHeadBytes + key_size + value_size;
    MORTISE_RETURN_IF_ERROR(fill(size_));
    key_ = std::string_view(buffer_).substr(at_ + kHeadBytes, key_size);
    value_ = std::string_view(buffer_).substr(at_ + kHeadBytes + key_size, value_size);
    return Status();
  }
  std::string_view key() const { return key_; }
  std::string_view value() const { return value_; }

 private:
  explicit SortedRun(int fd) : fd_(fd) {}

  // At least so many bytes from at_ on.
  Status fill(size_t bytes) {
    if (buffer_.size() - at_ >= bytes) return Status();
    buffer_.erase(0, at_);
    at_ = 0;
    size_t filled = buffer_.size();
    buffer_.resize(std::max(bytes, kBufferBytes));
    while (filled < bytes) {
      ssize_t n =
          ::pread(fd_, buffer_.data() + filled, buffer_.size() - filled, static_cast<off_t>(read_));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno_status(errno, "cannot read a file to sort with");
      if (n == 0) return Status(StatusCode::kIo, "a file to sort with has lost its end");
      filled += static_cast<size_t>(n);
      read_ += static_cast<uint64_t>(n);
    }
    buffer_.resize(filled);
    return Status();
  }

  const int fd_;
  std::string buffer_;
  uint64_t end_ = 0;   // Of the file.
  uint64_t read_ = 0;  // The file up to here is in the buffer or has been.
  size_t at_ = 0;      // The present row in the buffer.
  size_t size_ = 0;
  std::string_view key_, value_;
};

namespace {

bool is_later(const SortedRun* a, const SortedRun* b) { return a->key() > b->key(); }

}  // namespace

ExternalSort::ExternalSort(std::string directory, size_t memory_bytes)
    : directory_(std::move(directory)), memory_bytes_(memory_bytes) {}
ExternalSort::~ExternalSort() = default;

Status ExternalSort::add(std::string_view key, std::string_view value) {
  char* bytes = arena_.allocate(key.size() + value.size());
  if (!key.empty()) std::memcpy(bytes, key.data(), key.size());
  if (!value.empty()) std::memcpy(bytes + key.size(), value.data(), value.size());
  rows_.push_back({bytes, static_cast<uint32_t>(key.size()), static_cast<uint32_t>(value.size())});
  if (arena_.bytes_used() + rows_.size() * sizeof(Row) < memory_bytes_) return Status();
  return spill();
}

void ExternalSort::sort_memory() {
  std::sort(rows_.begin(), rows_.end(),
            [](const Row& a, const Row& b) { return a.key() < b.key(); });
}

Status ExternalSort::spill() {
  sort_memory();
  MORTISE_ASSIGN_OR_RETURN(auto run, SortedRun::create(directory_));
  for (const Row& row : rows_) {
    MORTISE_RETURN_IF_ERROR(run->append(row.key(), {row.bytes + row.key_size, row.value_size}));
  }
  MORTISE_RETURN_IF_ERROR(run->flush());
  runs_.push_back(std::move(run));
  rows_.clear();
  arena_ = Arena();
  return Status();
}

Status ExternalSort::rewind() {
  if (!complete_) {
    complete_ = true;
    if (runs_.empty()) {
      sort_memory();
    } else if (!rows_.empty()) {
      MORTISE_RETURN_IF_ERROR(spill());
    }
  }
  at_ = 0;
  step_due_ = false;
  heap_.clear();
  for (const auto& run : runs_) {
    run->rewind();
    bool more;
    MORTISE_RETURN_IF_ERROR(run->step(&more));
    if (more) heap_.push_back(run.get());
  }
  std::make_heap(heap_.begin(), heap_.end(), is_later);
  return Status();
}

bool ExternalSort::next(std::string_view* key, std::string_view* value) {
  if (!runs_.empty()) return next_of_runs(key, value);
  if (at_ == rows_.size()) return false;
  const Row& row = rows_[at_++];
  *key = row.key();
  *value = {row.bytes + row.key_size, row.value_size};
  return true;
}

bool ExternalSort::next_of_runs(std::string_view* key, std::string_view* value) {
  if (step_due_) {
    std::pop_heap(heap_.begin(), heap_.end(), is_later);
    bool more;
    if (Status status = heap_.back()->step(&more); !status.ok()) return fail(std::move(status));
    if (more) {
      std::push_heap(heap_.begin(), heap_.end(), is_later);
    } else {
      heap_.pop_back();
    }
  }
  step_due_ = !heap_.empty();
  if (heap_.empty()) return false;
  *key = heap_.front()->key();
  *value = heap_.front()->value();
  return true;
}

bool ExternalSort::fail(Status status) {
  status_ = std::move(status);
  heap_.clear();
  step_due_ = false;
  return false;
}

}  // namespace mortise::snapshot
