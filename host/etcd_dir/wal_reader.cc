#include "host/etcd_dir/wal_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "host/base/crc32c.h"
#include "host/wire/codec.h"

namespace mortise::etcd_dir {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr size_t kReadBytes = 1 << 20;
constexpr size_t kSectorBytes = 512;

static_assert(std::endian::native == std::endian::little, "lengths are read as they stand");

bool all_zero(std::string_view bytes) {
  return bytes.find_first_not_of('\0') == std::string_view::npos;
}

// Did one of the sectors that `body` lies in, at `offset` of the file, not reach the disk?
bool has_zero_sector(std::string_view body, uint64_t offset) {
  while (!body.empty()) {
    size_t in_sector = std::min<size_t>(body.size(), kSectorBytes - offset % kSectorBytes);
    if (all_zero(body.substr(0, in_sector))) return true;
    body.remove_prefix(in_sector);
    offset += in_sector;
  }
  return false;
}

// A record: type, checksum, data.
bool decode_record(std::string_view body, WalRecord* record) {
  *record = WalRecord();
  wire::FieldReader reader(body);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) record->type = f.varint;
    if (f.is_varint(2)) record->checksum = static_cast<uint32_t>(f.varint);
    if (f.is_bytes(3)) record->data = f.bytes;
  }
  return !reader.failed();
}

// Does a record that says to have `record_bytes`, of which the file has only `begin`, agree with
// the length of its data? If so its end is missing, if not its length is wrong.
bool begins_record(std::string_view begin, uint64_t record_bytes) {
  size_t at = 0;
  while (at < begin.size()) {
    const auto tag = static_cast<uint8_t>(begin[at++]);
    if (tag != 0x08 && tag != 0x10 && tag != 0x1a) return false;
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      if (at == begin.size()) return true;
      if (shift > 63) return false;
      const auto byte = static_cast<uint8_t>(begin[at++]);
      value |= uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0) break;
    }
    if (tag == 0x1a) return record_bytes >= at && value == record_bytes - at;
  }
  return true;
}

}  // namespace

WalReader::~WalReader() { close_segment(); }

void WalReader::close_segment() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Status WalReader::open_segment() {
  const std::string& path = paths_[segment_];
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) return errno_status(errno, "cannot open " + path);
  struct stat file;
  if (::fstat(fd_, &file) != 0) return errno_status(errno, "cannot read " + path);
  size_ = static_cast<uint64_t>(file.st_size);
  offset_ = 0;
  buffer_.clear();
  at_ = 0;
  return Status();
}

// The file's next `bytes`, which it has, stand in buffer_ at at_.
Status WalReader::fill(size_t bytes) {
  if (buffer_.size() - at_ >= bytes) return Status();
  buffer_.erase(0, at_);
  at_ = 0;
  const size_t wanted = std::min<uint64_t>(std::max(bytes, kReadBytes), remaining());
  size_t have = buffer_.size();
  buffer_.resize(wanted);
  while (have < wanted) {
    ssize_t n =
        ::pread(fd_, buffer_.data() + have, wanted - have, static_cast<off_t>(offset_ + have));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_status(errno, "cannot read " + paths_[segment_]);
    if (n == 0) return Status(StatusCode::kIo, paths_[segment_] + " changed while it was read");
    have += static_cast<size_t>(n);
  }
  return Status();
}

void WalReader::skip(size_t bytes) {
  at_ += bytes;
  offset_ += bytes;
}

Status WalReader::damage(uint64_t offset, const std::string& why) const {
  return corruption(paths_[segment_] + ": offset " + std::to_string(offset) + ": " + why);
}

Status WalReader::refuse(const std::string& why) const { return damage(record_offset_, why); }

Result<WalReader::Step> WalReader::torn(const std::string& what) {
  end_.torn = what;
  return Step::kSegmentEnd;
}

// Only a write at the very end of the log can have been cut short.
Result<WalReader::Step> WalReader::damaged(const std::string& why, std::string_view body) {
  if (is_last() && has_zero_sector(body, offset_ + kLengthBytes)) return torn(why);
  return damage(offset_, why);
}

Result<WalReader::Step> WalReader::beyond_end(uint64_t record_bytes) {
  const std::string why = "a record of " + std::to_string(record_bytes) +
                          " bytes goes beyond the end of the file, which has " +
                          std::to_string(size_) + " bytes";
  if (!is_last()) return damage(offset_, why);
  constexpr size_t kBeginBytes = 64;
  const size_t begin = std::min<uint64_t>(remaining() - kLengthBytes, kBeginBytes);
  MORTISE_RETURN_IF_ERROR(fill(kLengthBytes + begin));
  const auto body = std::string_view(buffer_).substr(at_ + kLengthBytes, begin);
  if (!all_zero(body) && !begins_record(body, record_bytes)) return damage(offset_, why);
  return torn(why);
}

// Files are made longer than what is in them. What follows the first zero was never acknowledged:
// it is what a crash left of several records at once.
Result<WalReader::Step> WalReader::zero_length() {
  if (!is_last()) return Step::kSegmentEnd;
  const uint64_t end = offset_;
  bool zero = true;
  while (zero && remaining() > 0) {
    const size_t bytes = std::min<uint64_t>(remaining(), kReadBytes);
    MORTISE_RETURN_IF_ERROR(fill(bytes));
    zero = all_zero(std::string_view(buffer_).substr(at_, bytes));
    skip(bytes);
  }
  offset_ = end;
  return zero ? Step::kSegmentEnd : torn("bytes behind the end of the log");
}

Status WalReader::check_chain(const WalRecord& record) const {
  if (checksum_ == 0 || record.checksum == checksum_) return Status();
  const bool at_begin = offset_ == 0 && !previous_.path.empty();
  if (!at_begin) return damage(offset_, "the checksum of what is before does not match");
  return corruption(previous_.path + ": offset " + std::to_string(previous_.offset) +
                    ": records are missing here: " + paths_[segment_] +
                    " continues after others, by its checksum");
}

Result<WalReader::Step> WalReader::read_record(uint64_t record_bytes, uint64_t padding_bytes,
                                               WalRecord* record) {
  MORTISE_RETURN_IF_ERROR(fill(kLengthBytes + record_bytes + padding_bytes));
  const auto body =
      std::string_view(buffer_).substr(at_ + kLengthBytes, record_bytes + padding_bytes);
  if (!decode_record(body.substr(0, record_bytes), record)) {
    return damaged("malformed record", body);
  }
  if (record->type == kChecksumRecord) {
    MORTISE_RETURN_IF_ERROR(check_chain(*record));
    checksum_ = record->checksum;
  } else {
    const uint32_t before = checksum_;
    checksum_ = crc32c(checksum_, record->data);
    if (checksum_ != record->checksum) {
      checksum_ = before;
      return damaged("checksum mismatch", body);
    }
  }
  record_offset_ = offset_;
  skip(kLengthBytes + body.size());
  return Step::kRecord;
}

Result<WalReader::Step> WalReader::step(WalRecord* record) {
  if (remaining() == 0) return Step::kSegmentEnd;
  if (remaining() < kLengthBytes) {
    const std::string why = "the length of a record is cut short";
    return is_last() ? torn(why) : Result<Step>(damage(offset_, why));
  }
  MORTISE_RETURN_IF_ERROR(fill(kLengthBytes));
  uint64_t word;
  std::memcpy(&word, buffer_.data() + at_, sizeof word);
  if (word == 0) return zero_length();
  const uint64_t record_bytes = word & (~uint64_t{0} >> 8);
  const uint64_t padding_bytes = (word >> 63) != 0 ? (word >> 56) & 7 : 0;
  if (record_bytes > kRecordBytesMax && record_bytes <= remaining()) {
    return damage(offset_, "a record of " + std::to_string(record_bytes) + " bytes");
  }
  if (record_bytes + padding_bytes > remaining() - kLengthBytes) return beyond_end(record_bytes);
  return read_record(record_bytes, padding_bytes, record);
}

Result<bool> WalReader::next(WalRecord* record) {
  while (!ended_ && segment_ < paths_.size()) {
    if (fd_ < 0) MORTISE_RETURN_IF_ERROR(open_segment());
    MORTISE_ASSIGN_OR_RETURN(const Step result, step(record));
    if (result == Step::kRecord && record->type == kChecksumRecord) continue;
    if (result == Step::kRecord) return true;
    previous_ = {paths_[segment_], offset_, ""};
    close_segment();
    if (is_last()) {
      ended_ = true;
      end_.path = previous_.path;
      end_.offset = previous_.offset;
    }
    ++segment_;
  }
  return false;
}

}  // namespace mortise::etcd_dir
