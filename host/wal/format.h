// The bytes of the log, version 1: headers, records, checksums. docs/formats/wal.md describes them
// with a worked example; this file and that page change together.
//
//   segment: [ segment header, 64 ][ batch ][ batch ] ... zeros to the end of the file
//   batch:   [ batch header, 32 ][ record ][ record ] ... zeros [ end byte ], a multiple of 32
//   record:  [ type u8 | tag u8 | zero u16 | body bytes u32 ][ body ]
//
// Batches start at multiples of 32, so a batch header never lies across a sector border: a sector
// that did not reach the disk takes a header with it whole or not at all.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "host/base/status.h"

namespace mortise::wal {

inline constexpr std::string_view kSegmentMagic = "MORTWAL1";
inline constexpr uint32_t kFormatVersion = 1;
inline constexpr uint32_t kBatchMagic = 0x5441424d;  // "MBAT"
inline constexpr size_t kSegmentHeaderBytes = 64;
inline constexpr size_t kBatchHeaderBytes = 32;
inline constexpr size_t kBatchAlignBytes = 32;
inline constexpr char kBatchEnd = 0x5a;  // The last byte of a batch, to see that it is whole.
inline constexpr size_t kSectorBytes = 512;
inline constexpr size_t kRecordHeaderBytes = 8;
inline constexpr size_t kEntryPrefixBytes = 16;
inline constexpr size_t kHardStateBytes = 24;
inline constexpr size_t kSnapshotMarkBytes = 16;
inline constexpr uint64_t kPayloadBytesMax = 1ull << 30;
inline constexpr uint64_t kSegmentBytesMin = 1024;
inline constexpr std::string_view kSegmentSuffix = ".wal";
inline constexpr std::string_view kTemporarySuffix = ".tmp";

enum class RecordType : uint8_t { kEntry = 1, kHardState = 2, kSnapshotMark = 3 };
// The tag of a snapshot mark record: bit 0 says that the snapshot replaced the log.
inline constexpr uint8_t kMarkReplacesLog = 1;

template <typename T>
void store_le(char* out, T value) {
  if constexpr (std::endian::native == std::endian::big) {
    for (size_t i = 0; i < sizeof value; ++i) out[i] = static_cast<char>(value >> (8 * i));
  } else {
    std::memcpy(out, &value, sizeof value);
  }
}

template <typename T>
T load_le(const char* in) {
  T value = 0;
  if constexpr (std::endian::native == std::endian::big) {
    for (size_t i = 0; i < sizeof value; ++i) {
      value |= static_cast<T>(static_cast<uint8_t>(in[i])) << (8 * i);
    }
  } else {
    std::memcpy(&value, in, sizeof value);
  }
  return value;
}

struct SegmentHeader {
  uint64_t sequence = 0;     // From 1, without holes.
  uint64_t first_batch = 0;  // Number of the first batch in this segment.
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
  uint32_t previous_chain = 0;  // The chain value of the last batch of the segment before; or 0.
  uint32_t crc = 0;             // Of the 60 bytes before it; the segment's chain starts from it.
};

// Fills 64 bytes at `out` and sets header.crc.
void encode_segment_header(SegmentHeader& header, char* out);
// `bytes` is the begin of the file, `path` goes into the message of a refusal.
Status decode_segment_header(std::string_view bytes, const std::string& path,
                             SegmentHeader* header);

struct BatchHeader {
  uint32_t payload_bytes = 0;  // Without the padding.
  uint64_t number = 0;         // The number of the batch before, plus one.
  uint32_t zero_sectors = 0;   // How many of the batch's sectors hold zeros by nature.
  uint32_t records = 0;
  uint32_t chain = 0;  // CRC-32C, continued from the batch before, of this header and payload.
};

inline uint64_t batch_extent(uint64_t payload_bytes) {
  const uint64_t bytes = kBatchHeaderBytes + payload_bytes + sizeof kBatchEnd;
  return (bytes + kBatchAlignBytes - 1) & ~(kBatchAlignBytes - 1);
}

// Completes the batch of batch_extent(header.payload_bytes) bytes at `batch`, whose payload and
// padding are in place, for file offset `offset`: sets the end byte, counts the zero sectors,
// continues `chain` into header.chain, and writes the header's 32 bytes.
void seal_batch(BatchHeader& header, uint32_t chain, uint32_t segment_crc, uint64_t offset,
                char* batch);
// False if the 32 bytes are not a batch header written for this segment and this offset.
bool decode_batch_header(const char* in, uint32_t segment_crc, uint64_t offset,
                         BatchHeader* header);
// The chain value of a whole batch, header and padding included.
uint32_t batch_chain(uint32_t chain, std::string_view batch);
// How many sectors of the file at `offset` hold, of `bytes`, nothing but zeros. The first and the
// last sector may be covered in part.
uint32_t count_zero_sectors(std::string_view bytes, uint64_t offset);
bool all_zero(std::string_view bytes);

// "%016x-%016x.wal" of the sequence and the first batch number.
std::string segment_file_name(uint64_t sequence, uint64_t first_batch);
struct SegmentName {
  uint64_t sequence;
  uint64_t first_batch;
};
std::optional<SegmentName> parse_segment_file_name(std::string_view name);

}  // namespace mortise::wal
