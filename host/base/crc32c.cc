#include "host/base/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace mortise {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // Reflected 0x1EDC6F41.

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) ? kPolynomial : 0);
    table[i] = value;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = make_table();

uint32_t portable(uint32_t crc, const uint8_t* p, size_t size) {
  for (; size > 0; --size) crc = kTable[(crc ^ *p++) & 0xff] ^ (crc >> 8);
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t hardware(uint32_t crc, const uint8_t* p, size_t size) {
  uint64_t wide = crc;
  for (; size >= 8; size -= 8, p += 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  auto narrow = static_cast<uint32_t>(wide);
  for (; size > 0; --size) narrow = _mm_crc32_u8(narrow, *p++);
  return narrow;
}
#endif

// Polynomials modulo the CRC's, bits reflected: the highest bit is x^0.
uint32_t multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
    if (a & bit) product ^= b;
    b = (b >> 1) ^ ((b & 1) ? kPolynomial : 0);
  }
  return product;
}

}  // namespace

// Bytes that follow multiply the checksum of what stands before them by x^8 each.
uint32_t crc32c_concat(uint32_t first, uint32_t second, uint64_t second_size) {
  uint32_t factor = 1u << 31;
  uint32_t power = 1u << 23;
  for (; second_size != 0; second_size >>= 1) {
    if (second_size & 1) factor = multiply(factor, power);
    power = multiply(power, power);
  }
  return multiply(first, factor) ^ second;
}

uint32_t crc32c(uint32_t crc, const void* data, size_t size) {
  const auto* p = static_cast<const uint8_t*>(data);
#if defined(__x86_64__)
  static const bool has_sse42 = __builtin_cpu_supports("sse4.2");
  if (has_sse42) return ~hardware(~crc, p, size);
#endif
  return ~portable(~crc, p, size);
}

}  // namespace mortise
