#include "host/wal/format.h"

#include <algorithm>
#include <cstdio>

#include "host/base/crc32c.h"

namespace mortise::wal {
namespace {

// Offsets in the segment header.
constexpr size_t kVersionAt = 8;
constexpr size_t kSequenceAt = 16;
constexpr size_t kFirstBatchAt = 24;
constexpr size_t kClusterAt = 32;
constexpr size_t kMemberAt = 40;
constexpr size_t kPreviousChainAt = 48;
constexpr size_t kSegmentCrcAt = 60;

// Offsets in the batch header.
constexpr size_t kPayloadBytesAt = 4;
constexpr size_t kNumberAt = 8;
constexpr size_t kZeroSectorsAt = 16;
constexpr size_t kRecordsAt = 20;
constexpr size_t kChainAt = 24;
constexpr size_t kHeaderCrcAt = 28;

// Bound to the segment and the place in it, so that bytes of a log that somebody stores as a value
// are not taken for batches.
uint32_t batch_header_crc(const char* header, uint32_t segment_crc, uint64_t offset) {
  char place[8];
  store_le<uint64_t>(place, offset);
  return crc32c(crc32c(segment_crc, place, sizeof place), header, kHeaderCrcAt);
}

}  // namespace

void encode_segment_header(SegmentHeader& header, char* out) {
  std::memset(out, 0, kSegmentHeaderBytes);
  std::memcpy(out, kSegmentMagic.data(), kSegmentMagic.size());
  store_le<uint32_t>(out + kVersionAt, kFormatVersion);
  store_le<uint64_t>(out + kSequenceAt, header.sequence);
  store_le<uint64_t>(out + kFirstBatchAt, header.first_batch);
  store_le<uint64_t>(out + kClusterAt, header.cluster_id);
  store_le<uint64_t>(out + kMemberAt, header.member_id);
  store_le<uint32_t>(out + kPreviousChainAt, header.previous_chain);
  header.crc = crc32c(0, out, kSegmentCrcAt);
  store_le<uint32_t>(out + kSegmentCrcAt, header.crc);
}

Status decode_segment_header(std::string_view bytes, const std::string& path,
                             SegmentHeader* header) {
  if (bytes.size() < kSegmentHeaderBytes) {
    return corruption("wal segment " + path + ": offset 0: the file is shorter than its header");
  }
  if (bytes.substr(0, kSegmentMagic.size()) != kSegmentMagic) {
    return corruption("wal segment " + path + ": offset 0: not a wal segment (bad magic)");
  }
  // Before the checksum: a newer version may have moved it.
  const auto version = load_le<uint32_t>(bytes.data() + kVersionAt);
  if (version > kFormatVersion) {
    return invalid("wal segment " + path + ": format version " + std::to_string(version) +
                   " is newer than this program's " + std::to_string(kFormatVersion));
  }
  header->crc = crc32c(0, bytes.data(), kSegmentCrcAt);
  if (version == 0 || header->crc != load_le<uint32_t>(bytes.data() + kSegmentCrcAt)) {
    return corruption("wal segment " + path + ": offset 0: segment header checksum mismatch");
  }
  header->sequence = load_le<uint64_t>(bytes.data() + kSequenceAt);
  header->first_batch = load_le<uint64_t>(bytes.data() + kFirstBatchAt);
  header->cluster_id = load_le<uint64_t>(bytes.data() + kClusterAt);
  header->member_id = load_le<uint64_t>(bytes.data() + kMemberAt);
  header->previous_chain = load_le<uint32_t>(bytes.data() + kPreviousChainAt);
  return Status();
}

void seal_batch(BatchHeader& header, uint32_t chain, uint32_t segment_crc, uint64_t offset,
                char* batch) {
  const std::string_view bytes(batch, batch_extent(header.payload_bytes));
  batch[bytes.size() - 1] = kBatchEnd;
  store_le<uint32_t>(batch, kBatchMagic);
  store_le<uint32_t>(batch + kPayloadBytesAt, header.payload_bytes);
  store_le<uint64_t>(batch + kNumberAt, header.number);
  header.zero_sectors = count_zero_sectors(bytes, offset);
  store_le<uint32_t>(batch + kZeroSectorsAt, header.zero_sectors);
  store_le<uint32_t>(batch + kRecordsAt, header.records);
  header.chain = batch_chain(chain, bytes);
  store_le<uint32_t>(batch + kChainAt, header.chain);
  store_le<uint32_t>(batch + kHeaderCrcAt, batch_header_crc(batch, segment_crc, offset));
}

bool decode_batch_header(const char* in, uint32_t segment_crc, uint64_t offset,
                         BatchHeader* header) {
  if (load_le<uint32_t>(in) != kBatchMagic) return false;
  if (load_le<uint32_t>(in + kHeaderCrcAt) != batch_header_crc(in, segment_crc, offset)) {
    return false;
  }
  header->payload_bytes = load_le<uint32_t>(in + kPayloadBytesAt);
  header->number = load_le<uint64_t>(in + kNumberAt);
  header->zero_sectors = load_le<uint32_t>(in + kZeroSectorsAt);
  header->records = load_le<uint32_t>(in + kRecordsAt);
  header->chain = load_le<uint32_t>(in + kChainAt);
  return true;
}

uint32_t batch_chain(uint32_t chain, std::string_view batch) {
  return crc32c(crc32c(chain, batch.substr(0, kChainAt)), batch.substr(kBatchHeaderBytes));
}

bool all_zero(std::string_view bytes) {
  if (bytes.empty()) return true;
  return bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

uint32_t count_zero_sectors(std::string_view bytes, uint64_t offset) {
  uint32_t count = 0;
  size_t at = 0;
  while (at < bytes.size()) {
    const size_t part = std::min(bytes.size() - at, kSectorBytes - (offset + at) % kSectorBytes);
    if (all_zero(bytes.substr(at, part))) ++count;
    at += part;
  }
  return count;
}

std::string segment_file_name(uint64_t sequence, uint64_t first_batch) {
  char name[40];
  std::snprintf(name, sizeof name, "%016llx-%016llx", static_cast<unsigned long long>(sequence),
                static_cast<unsigned long long>(first_batch));
  return name + std::string(kSegmentSuffix);
}

std::optional<SegmentName> parse_segment_file_name(std::string_view name) {
  if (name.size() != 33 + kSegmentSuffix.size() || name[16] != '-' ||
      !name.ends_with(kSegmentSuffix)) {
    return std::nullopt;
  }
  const auto parse = [](std::string_view digits, uint64_t* value) {
    for (const char c : digits) {
      const bool decimal = c >= '0' && c <= '9';
      if (!decimal && !(c >= 'a' && c <= 'f')) return false;
      *value = *value << 4 | static_cast<uint64_t>(decimal ? c - '0' : c - 'a' + 10);
    }
    return true;
  };
  SegmentName parsed{0, 0};
  if (!parse(name.substr(0, 16), &parsed.sequence)) return std::nullopt;
  if (!parse(name.substr(17, 16), &parsed.first_batch)) return std::nullopt;
  return parsed;
}

}  // namespace mortise::wal
