#include "plugins/auth_rbac/wire.h"

namespace mortise::auth_rbac {

bool Reader::fail() {
  ok_ = false;
  rest_ = {};
  return false;
}

bool Reader::read_varint(uint64_t& out) {
  out = 0;
  for (int shift = 0; shift < 70 && !rest_.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    if (shift == 63 && byte > 1) return false;
    out |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

bool Reader::next() {
  if (rest_.empty()) return false;
  uint64_t tag = 0;
  if (!read_varint(tag) || tag > UINT32_MAX || tag >> 3 == 0) return fail();
  field_ = static_cast<uint32_t>(tag >> 3);
  type_ = tag & 7;
  bytes_ = {};
  varint_ = 0;
  uint64_t size = 0;
  switch (type_) {
    case 0: return read_varint(varint_) || fail();
    case 1: size = 8; break;
    case 2:
      if (!read_varint(size)) return fail();
      break;
    case 5: size = 4; break;
    default: return fail();
  }
  if (size > rest_.size()) return fail();
  bytes_ = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return true;
}

bool is_utf8(std::string_view text) {
  size_t i = 0;
  const auto byte = [&](size_t at) { return static_cast<uint8_t>(text[at]); };
  while (i < text.size()) {
    const uint8_t lead = byte(i);
    const size_t more = lead < 0x80                   ? 0
                        : lead >= 0xc2 && lead < 0xe0 ? 1
                        : lead >= 0xe0 && lead < 0xf0 ? 2
                        : lead >= 0xf0 && lead < 0xf5 ? 3
                                                      : text.size();
    if (more > text.size() - i - 1) return false;
    for (size_t n = 1; n <= more; ++n) {
      if ((byte(i + n) & 0xc0) != 0x80) return false;
    }
    // Too long a form, a surrogate, or beyond the last character.
    if (lead == 0xe0 && byte(i + 1) < 0xa0) return false;
    if (lead == 0xed && byte(i + 1) >= 0xa0) return false;
    if (lead == 0xf0 && byte(i + 1) < 0x90) return false;
    if (lead == 0xf4 && byte(i + 1) >= 0x90) return false;
    i += more + 1;
  }
  return true;
}

void put_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

void put_number(std::string& out, uint32_t field, uint64_t value) {
  if (value == 0) return;
  put_varint(out, uint64_t{field} << 3);
  put_varint(out, value);
}

void put_bytes(std::string& out, uint32_t field, std::string_view value) {
  if (!value.empty()) put_message(out, field, value);
}

void put_message(std::string& out, uint32_t field, std::string_view value) {
  put_varint(out, (uint64_t{field} << 3) | 2);
  put_varint(out, value.size());
  out.append(value);
}

}  // namespace mortise::auth_rbac
