// CRC-32C (Castagnoli) of bytes, continued from `crc`; start with 0. Any thread. Used by the files
// that the plugin writes beside LMDB's own.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mortise::lmdb {

uint32_t crc32c(uint32_t crc, const void* data, size_t size);

}  // namespace mortise::lmdb
