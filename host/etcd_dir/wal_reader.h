// Reads the records of the write-ahead log that an etcd has left behind, segment after segment, and
// checks them: docs/formats/etcd_dir.md describes the files. Changes nothing.
//
// What the last segment has at its end may be a write that a crash cut short; etcd drops it, and so
// does this reader. Anything else that cannot be read is kCorruption, with file and offset.
//
// Used while a directory of etcd's is taken over; one thread. Memory: the largest record, which is
// no larger than its file and kRecordBytesMax.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/status.h"

namespace mortise::etcd_dir {

inline constexpr uint64_t kRecordBytesMax = uint64_t{1} << 30;

enum WalRecordType : uint64_t {
  kMetadataRecord = 1,
  kEntryRecord = 2,
  kStateRecord = 3,
  kChecksumRecord = 4,
  kSnapshotRecord = 5,
};

struct WalRecord {
  uint64_t type = 0;
  uint32_t checksum = 0;
  std::string_view data;  // Until the next call.
};

// Where the log ends.
struct WalEnd {
  std::string path;
  uint64_t offset = 0;
  std::string torn;  // What was dropped there; empty if nothing was.
};

class WalReader {
 public:
  // Of the segments in order; the log may begin with any of them.
  explicit WalReader(std::vector<std::string> paths) : paths_(std::move(paths)) {}
  ~WalReader();
  WalReader(const WalReader&) = delete;
  WalReader& operator=(const WalReader&) = delete;

  // The next record that is none of a checksum; false at the end of the log.
  Result<bool> next(WalRecord* record);
  // Of the record that next() has given last: an error about what it says.
  Status refuse(const std::string& why) const;
  // After next() has said that there is no more.
  const WalEnd& end() const { return end_; }

 private:
  enum class Step { kRecord, kSegmentEnd, kLogEnd };

  Status open_segment();
  void close_segment();
  Result<Step> step(WalRecord* record);
  Result<Step> read_record(uint64_t record_bytes, uint64_t padding_bytes, WalRecord* record);
  Result<Step> beyond_end(uint64_t record_bytes);
  Result<Step> damaged(const std::string& why, std::string_view body);
  Result<Step> zero_length();
  Status check_chain(const WalRecord& record) const;
  Result<Step> torn(const std::string& what);
  Status damage(uint64_t offset, const std::string& why) const;
  Status fill(size_t bytes);
  void skip(size_t bytes);
  bool is_last() const { return segment_ + 1 == paths_.size(); }
  uint64_t remaining() const { return size_ - offset_; }

  const std::vector<std::string> paths_;
  size_t segment_ = 0;
  int fd_ = -1;
  uint64_t size_ = 0;
  uint64_t offset_ = 0;         // Of the record that comes next.
  uint64_t record_offset_ = 0;  // Of the one that was given.
  std::string buffer_;          // What was read of the file, from offset_ on at at_.
  size_t at_ = 0;
  uint32_t checksum_ = 0;
  WalEnd previous_;  // The end of the segment before.
  WalEnd end_;
  bool ended_ = false;
};

}  // namespace mortise::etcd_dir
