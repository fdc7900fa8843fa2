// Reads one segment front to back, checking every batch, and judges where it ends.
//
// Who calls: recovery and inspection. Threads: one. Ownership: borrows the file. Errors: a Status
// is an I/O error or damage in the segment header; damage of a batch is a step of its own, because
// only the caller knows whether it may be a torn tail.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "host/wal/file.h"
#include "host/wal/format.h"

namespace mortise::wal {

class SegmentReader {
 public:
  // `path` is what messages call the file.
  SegmentReader(File& file, std::string path) : file_(file), path_(std::move(path)) {}

  Status read_header();
  const SegmentHeader& header() const { return header_; }
  const std::string& path() const { return path_; }

  enum class Step : uint8_t {
    kBatch,  // batch() is the next one.
    kEnd,    // Zeros, or the end of the file, where the next header would be.
    kBad,    // Something else; damage() says what.
  };
  // The next batch. After kEnd and kBad the reader stays where it is.
  Result<Step> next();

  struct Batch {
    BatchHeader header;
    uint64_t offset = 0;
    std::string_view bytes;  // With header and padding. Until the next call on this reader.
    std::string_view payload;
  };
  const Batch& batch() const { return batch_; }

  struct Damage {
    std::string reason;
    // Part of it is missing, as after a write that a power loss or a full disk cut short; in the
    // header only if nothing but zeros follow it.
    bool may_be_torn = false;
    bool in_header = false;
    uint64_t scan_from = 0;  // Where a batch written after it could begin.
  };
  const Damage& damage() const { return damage_; }

  uint64_t offset() const { return offset_; }  // Of the next, missing or bad, batch.
  uint64_t next_number() const { return next_number_; }
  uint32_t chain() const { return chain_; }  // Of the last good batch.

  // What lies from `from` to the end of the file.
  struct Rest {
    bool all_zero = true;
    uint64_t later_batch_at = 0;  // Offset of a header with a number above next_number(); 0: none.
  };
  Result<Rest> scan_rest(uint64_t from);

  // "wal segment <path>: offset <n>: <what>", as kCorruption.
  Status refuse(uint64_t offset, const std::string& what) const;

 private:
  // Up to `size` bytes at `offset`, fewer at the end of the file. Until the next call.
  Result<std::string_view> view(uint64_t offset, size_t size);
  Step bad(std::string reason, bool may_be_torn, bool in_header, uint64_t scan_from);
  Step check_batch(std::string_view bytes);

  File& file_;
  const std::string path_;
  uint64_t file_bytes_ = 0;
  SegmentHeader header_;
  uint64_t offset_ = kSegmentHeaderBytes;
  uint64_t next_number_ = 0;
  uint32_t chain_ = 0;
  Batch batch_;
  Damage damage_;

  std::unique_ptr<char[]> window_;
  size_t window_capacity_ = 0;
  uint64_t window_offset_ = 0;
  size_t window_bytes_ = 0;
};

}  // namespace mortise::wal
