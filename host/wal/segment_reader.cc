#include "host/wal/segment_reader.h"

#include <algorithm>
#include <utility>

namespace mortise::wal {
namespace {

constexpr size_t kReadAheadBytes = 1 << 20;

}  // namespace

Status SegmentReader::refuse(uint64_t offset, const std::string& what) const {
  return corruption("wal segment " + path_ + ": offset " + std::to_string(offset) + ": " + what);
}

Result<std::string_view> SegmentReader::view(uint64_t offset, size_t size) {
  size = offset < file_bytes_ ? std::min<uint64_t>(size, file_bytes_ - offset) : 0;
  if (size == 0) return std::string_view();
  const bool inside = offset >= window_offset_ && offset + size <= window_offset_ + window_bytes_;
  if (!inside) {
    const size_t ahead = std::min<uint64_t>(kReadAheadBytes, file_bytes_ - offset);
    const size_t wanted = std::max(size, ahead);
    if (wanted > window_capacity_) {
      window_.reset(new char[wanted]);
      window_capacity_ = wanted;
    }
    window_bytes_ = 0;
    MORTISE_ASSIGN_OR_RETURN(window_bytes_, file_.read_at(offset, window_.get(), wanted));
    window_offset_ = offset;
  }
  const size_t skip = offset - window_offset_;
  return std::string_view(window_.get() + skip, std::min(size, window_bytes_ - skip));
}

Status SegmentReader::read_header() {
  MORTISE_ASSIGN_OR_RETURN(file_bytes_, file_.size());
  MORTISE_ASSIGN_OR_RETURN(const std::string_view bytes, view(0, kSegmentHeaderBytes));
  MORTISE_RETURN_IF_ERROR(decode_segment_header(bytes, path_, &header_));
  next_number_ = header_.first_batch;
  chain_ = header_.crc;
  return Status();
}

SegmentReader::Step SegmentReader::bad(std::string reason, bool may_be_torn, bool in_header,
                                       uint64_t scan_from) {
  damage_ = {std::move(reason), may_be_torn, in_header, scan_from};
  return Step::kBad;
}

Result<SegmentReader::Step> SegmentReader::next() {
  MORTISE_ASSIGN_OR_RETURN(const std::string_view head, view(offset_, kBatchHeaderBytes));
  if (all_zero(head)) return Step::kEnd;
  const uint64_t after_header = offset_ + kBatchHeaderBytes;
  if (head.size() < kBatchHeaderBytes) {
    return bad("the file ends inside a batch header", true, true, after_header);
  }
  BatchHeader& header = batch_.header;
  if (!decode_batch_header(head.data(), header_.crc, offset_, &header)) {
    const bool cut_short = head.back() == 0;
    return bad("batch header checksum mismatch", cut_short, true, after_header);
  }
  if (header.number != next_number_) {
    return bad("batch " + std::to_string(header.number) + " where batch " +
                   std::to_string(next_number_) + " belongs",
               false, true, after_header);
  }
  MORTISE_ASSIGN_OR_RETURN(const std::string_view bytes,
                           view(offset_, batch_extent(header.payload_bytes)));
  return check_batch(bytes);
}

SegmentReader::Step SegmentReader::check_batch(std::string_view bytes) {
  const BatchHeader& header = batch_.header;
  const uint64_t extent = batch_extent(header.payload_bytes);
  const std::string name = "batch " + std::to_string(header.number);
  if (bytes.size() < extent) {
    return bad("the file ends inside " + name, true, false, offset_ + extent);
  }
  if (batch_chain(chain_, bytes) != header.chain) {
    // A sector that did not reach the disk reads as zeros in a preallocated file. The header says
    // how many of its sectors are zeros by nature; more of them tell tearing from damage.
    // A full disk may cut at any byte: then the end byte is missing.
    const bool lost = bytes.back() == 0 || count_zero_sectors(bytes, offset_) > header.zero_sectors;
    return bad(name + " checksum mismatch", lost, false, offset_ + extent);
  }
  batch_.offset = offset_;
  batch_.bytes = bytes;
  batch_.payload = bytes.substr(kBatchHeaderBytes, header.payload_bytes);
  offset_ += extent;
  chain_ = header.chain;
  ++next_number_;
  return Step::kBatch;
}

Result<SegmentReader::Rest> SegmentReader::scan_rest(uint64_t from) {
  static_assert(kReadAheadBytes % kBatchAlignBytes == 0);
  Rest rest;
  for (uint64_t at = from;; at += kReadAheadBytes) {
    MORTISE_ASSIGN_OR_RETURN(const std::string_view bytes, view(at, kReadAheadBytes));
    if (!all_zero(bytes)) {
      rest.all_zero = false;
      for (size_t i = 0; i + kBatchHeaderBytes <= bytes.size(); i += kBatchAlignBytes) {
        BatchHeader found;
        if (decode_batch_header(bytes.data() + i, header_.crc, at + i, &found) &&
            found.number > next_number_) {
          rest.later_batch_at = at + i;
          return rest;
        }
      }
    }
    if (bytes.size() < kReadAheadBytes) return rest;
  }
}

}  // namespace mortise::wal
