#include "plugins/backend_lmdb/run_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "mortise/abi/backend.h"
#include "plugins/backend_lmdb/crc32c.h"

namespace mortise::lmdb {
namespace {

constexpr char kRunMagic[8] = {'M', 'O', 'R', 'T', 'R', 'U', 'N', '1'};
constexpr char kEndMagic[4] = {'E', 'N', 'D', '1'};
constexpr size_t kHeaderBytes = 32;
constexpr size_t kRowHeaderBytes = 12;
constexpr size_t kKeyspaces = MORTISE_KEYSPACE_COUNT_MAX;
constexpr size_t kFooterBytes = kKeyspaces * 8 + 8;  // counts, end mark, checksum
constexpr size_t kBufferBytes = size_t{256} << 10;
constexpr uint8_t kTombstoneFlag = 1;

// All numbers are little-endian, as the machines that we build for are.
template <class Number>
void put_number(char* to, Number value) {
  std::memcpy(to, &value, sizeof(value));
}
template <class Number>
Number get_number(const char* from) {
  Number value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

class Output {
 public:
  explicit Output(std::string path) : path_(std::move(path)) { buffer_.reserve(kBufferBytes); }
  Status open() { return File::open(path_, O_WRONLY | O_CREAT | O_TRUNC, file_); }
  Status append(std::string_view bytes) {
    if (buffer_.size() + bytes.size() > kBufferBytes) MORTISE_SDK_RETURN_IF_ERROR(drain());
    if (bytes.size() > kBufferBytes) return direct(bytes);
    buffer_.append(bytes);
    return Status();
  }
  Status finish() {
    MORTISE_SDK_RETURN_IF_ERROR(drain());
    char sum[4];
    put_number(sum, crc_);
    MORTISE_SDK_RETURN_IF_ERROR(file_.write(std::string_view(sum, 4), path_));
    return file_.sync(path_);
  }

 private:
  Status direct(std::string_view bytes) {
    crc_ = crc32c(crc_, bytes.data(), bytes.size());
    return file_.write(bytes, path_);
  }
  Status drain() {
    Status status = direct(buffer_);
    buffer_.clear();
    return status;
  }

  std::string path_;
  File file_;
  std::string buffer_;
  uint32_t crc_ = 0;
};

Status write_rows(Output& output, EntrySource& source) {
  std::array<uint64_t, kKeyspaces> counts{};
  for (;;) {
    Entry entry;
    bool more = false;
    MORTISE_SDK_RETURN_IF_ERROR(source.next(entry, more));
    if (!more) break;
    char head[kRowHeaderBytes] = {};
    head[0] = static_cast<char>(entry.keyspace);
    head[1] = static_cast<char>(entry.tombstone ? kTombstoneFlag : 0);
    put_number(head + 4, static_cast<uint32_t>(entry.key.size()));
    put_number(head + 8, static_cast<uint32_t>(entry.value.size()));
    MORTISE_SDK_RETURN_IF_ERROR(output.append(std::string_view(head, sizeof(head))));
    MORTISE_SDK_RETURN_IF_ERROR(output.append(entry.key));
    MORTISE_SDK_RETURN_IF_ERROR(output.append(entry.value));
    ++counts[entry.keyspace];
  }
  char foot[kFooterBytes - 4];
  for (size_t i = 0; i < kKeyspaces; ++i) put_number(foot + 8 * i, counts[i]);
  std::memcpy(foot + 8 * kKeyspaces, kEndMagic, sizeof(kEndMagic));
  return output.append(std::string_view(foot, sizeof(foot)));
}

}  // namespace

Status write_run(const std::string& directory, const RunHeader& header, EntrySource& source) {
  const std::string path = run_path(directory, header.run);
  const std::string unfinished = path + ".tmp";
  Output output(unfinished);
  MORTISE_SDK_RETURN_IF_ERROR(output.open());
  char head[kHeaderBytes];
  std::memcpy(head, kRunMagic, sizeof(kRunMagic));
  put_number(head + 8, header.run);
  put_number(head + 16, header.index);
  put_number(head + 24, header.term);
  MORTISE_SDK_RETURN_IF_ERROR(output.append(std::string_view(head, sizeof(head))));
  MORTISE_SDK_RETURN_IF_ERROR(write_rows(output, source));
  MORTISE_SDK_RETURN_IF_ERROR(output.finish());
  MORTISE_SDK_RETURN_IF_ERROR(rename_path(unfinished, path));
  return sync_directory(directory);
}

Status RunReader::damaged(std::string_view how) const {
  return sdk::corruption(path_ + " is damaged: " + std::string(how));
}

Status RunReader::open(const std::string& directory, uint64_t run, RunReader& out) {
  out.path_ = run_path(directory, run);
  MORTISE_SDK_RETURN_IF_ERROR(File::open(out.path_, O_RDONLY, out.file_));
  struct stat info;
  if (::fstat(out.file_.fd(), &info) != 0) return sdk::io_error(errno, "reading " + out.path_);
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size < kHeaderBytes + kFooterBytes) return out.damaged("too short");

  out.buffer_.resize(kBufferBytes);
  uint32_t crc = 0;
  std::string tail;
  for (uint64_t done = 0; done < size;) {
    size_t got = 0;
    MORTISE_SDK_RETURN_IF_ERROR(
        out.file_.read(out.buffer_.data(), out.buffer_.size(), got, out.path_));
    if (got == 0) return out.damaged("it got shorter");
    const char* data = out.buffer_.data();
    if (done == 0) {
      if (std::memcmp(data, kRunMagic, sizeof(kRunMagic)) != 0)
        return out.damaged("not a run file");
      out.header_ = RunHeader{get_number<uint64_t>(data + 8), get_number<uint64_t>(data + 16),
                              get_number<uint64_t>(data + 24)};
    }
    const uint64_t summed = size - 4;
    if (done < summed) crc = crc32c(crc, data, std::min<uint64_t>(got, summed - done));
    tail.append(data, got);
    if (tail.size() > kFooterBytes) tail.erase(0, tail.size() - kFooterBytes);
    done += got;
  }
  const char* foot = tail.data();
  if (std::memcmp(foot + 8 * kKeyspaces, kEndMagic, sizeof(kEndMagic)) != 0) {
    return out.damaged("no end mark");
  }
  if (get_number<uint32_t>(foot + kFooterBytes - 4) != crc) return out.damaged("checksum");
  if (out.header_.run != run) return out.damaged("it is another run");
  out.counts_.resize(kKeyspaces);
  for (size_t i = 0; i < kKeyspaces; ++i) out.counts_[i] = get_number<uint64_t>(foot + 8 * i);
  out.end_ = size - kFooterBytes;
  out.mark_ = kHeaderBytes;
  return out.seek(kHeaderBytes);
}

Status RunReader::seek(uint64_t offset) {
  if (::lseek(file_.fd(), static_cast<off_t>(offset), SEEK_SET) < 0) {
    return sdk::io_error(errno, "reading " + path_);
  }
  buffer_.clear();
  buffer_offset_ = offset;
  at_ = 0;
  return Status();
}

Status RunReader::fill(size_t size, bool& enough) {
  enough = true;
  if (buffer_.size() - at_ >= size) return Status();
  enough = offset() + size <= end_;
  if (!enough) return Status();
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<ptrdiff_t>(at_));
  buffer_offset_ += at_;
  at_ = 0;
  const size_t have = buffer_.size();
  const size_t want = std::min<uint64_t>(std::max(size, kBufferBytes), end_ - buffer_offset_);
  buffer_.resize(want);
  size_t got = 0;
  MORTISE_SDK_RETURN_IF_ERROR(file_.read(buffer_.data() + have, want - have, got, path_));
  if (have + got < want) return damaged("it got shorter");
  return Status();
}

Status RunReader::next(Entry& entry, bool& more) {
  MORTISE_SDK_RETURN_IF_ERROR(fill(kRowHeaderBytes, more));
  if (!more) return offset() == end_ ? Status() : damaged("a row is cut");
  const char* head = buffer_.data() + at_;
  const auto key_size = get_number<uint32_t>(head + 4);
  const auto value_size = get_number<uint32_t>(head + 8);
  MORTISE_SDK_RETURN_IF_ERROR(fill(kRowHeaderBytes + size_t{key_size} + value_size, more));
  if (!more) return damaged("a row is cut");
  head = buffer_.data() + at_;
  entry.keyspace = static_cast<uint8_t>(head[0]);
  if (entry.keyspace >= kKeyspaces) return damaged("keyspace");
  entry.tombstone = (static_cast<uint8_t>(head[1]) & kTombstoneFlag) != 0;
  entry.key = std::string_view(head + kRowHeaderBytes, key_size);
  entry.value = std::string_view(head + kRowHeaderBytes + key_size, value_size);
  at_ += kRowHeaderBytes + size_t{key_size} + value_size;
  return Status();
}

}  // namespace mortise::lmdb
