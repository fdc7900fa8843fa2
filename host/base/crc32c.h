// CRC-32 Castagnoli, as the WAL, HashKV and etcd's files use it. Continues from `crc`; start with
// 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mortise {

uint32_t crc32c(uint32_t crc, const void* data, size_t size);
inline uint32_t crc32c(uint32_t crc, std::string_view bytes) {
  return crc32c(crc, bytes.data(), bytes.size());
}

// The checksum of two runs of bytes, one after the other, out of that of each; `second_size` is the
// length of the second.
uint32_t crc32c_concat(uint32_t first, uint32_t second, uint64_t second_size);

}  // namespace mortise
