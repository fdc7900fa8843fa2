#include "host/json/text.h"

#include <array>
#include <charconv>
#include <cstring>
#include <limits>

namespace mortise::json {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The digits of a number of JSON: 0.<digits> * 10^point.
struct Decimal {
  bool is_negative = false;
  std::string_view whole;  // Without leading zero.
  std::string_view fraction;
  int64_t exponent = 0;
};

std::string_view take_digits(std::string_view* text) {
  size_t n = 0;
  while (n < text->size() && is_digit((*text)[n])) ++n;
  std::string_view digits = text->substr(0, n);
  text->remove_prefix(n);
  return digits;
}

bool take_exponent(std::string_view* text, int64_t* exponent) {
  text->remove_prefix(1);
  const bool is_negative = text->starts_with('-');
  if (is_negative || text->starts_with('+')) text->remove_prefix(1);
  const std::string_view digits = take_digits(text);
  if (digits.empty()) return false;
  int32_t value = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  // No number of so many digits fits a type, whatever stands before the exponent but zeros.
  *exponent = parsed.ec == std::errc() ? value : std::numeric_limits<int32_t>::max();
  if (is_negative) *exponent = -*exponent;
  return true;
}

bool parse_decimal(std::string_view text, Decimal* out) {
  out->is_negative = text.starts_with('-');
  if (out->is_negative) text.remove_prefix(1);
  if (text.empty() || !is_digit(text[0])) return false;
  if (text[0] == '0') {
    text.remove_prefix(1);
  } else {
    out->whole = take_digits(&text);
  }
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    out->fraction = take_digits(&text);
    if (out->fraction.empty()) return false;
    while (out->fraction.ends_with('0')) out->fraction.remove_suffix(1);
  }
  const bool has_exponent = text.starts_with('e') || text.starts_with('E');
  if (has_exponent && !take_exponent(&text, &out->exponent)) return false;
  return text.empty();
}

// Appends a digit; false if the value does not fit.
bool push_digit(int digit, uint64_t* value) {
  return !__builtin_mul_overflow(*value, uint64_t{10}, value) &&
         !__builtin_add_overflow(*value, static_cast<uint64_t>(digit), value);
}

// The value without its sign.
bool magnitude(const Decimal& d, uint64_t* out) {
  *out = 0;
  const auto whole_size = static_cast<int64_t>(d.whole.size());
  const auto fraction_size = static_cast<int64_t>(d.fraction.size());
  if (whole_size == 0 && fraction_size == 0) return true;
  if (fraction_size > 0 && d.exponent < fraction_size) return false;
  const int64_t digits = whole_size + d.exponent;
  constexpr int64_t kDigitsMax = 20;  // Of a uint64.
  if (digits < 0 || digits > kDigitsMax) return false;
  for (int64_t i = digits; i < whole_size; ++i) {
    if (d.whole[static_cast<size_t>(i)] != '0') return false;
  }
  for (int64_t i = 0; i < digits; ++i) {
    char c = '0';
    if (i < whole_size) {
      c = d.whole[static_cast<size_t>(i)];
    } else if (i - whole_size < fraction_size) {
      c = d.fraction[static_cast<size_t>(i - whole_size)];
    }
    if (!push_digit(c - '0', out)) return false;
  }
  return true;
}

constexpr std::string_view kStandard =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint8_t kNoDigit = 0xff;

constexpr std::array<uint8_t, 256> digits_of(char c62, char c63) {
  std::array<uint8_t, 256> table{};
  table.fill(kNoDigit);
  for (size_t i = 0; i < 62; ++i) {
    table[static_cast<uint8_t>(kStandard[i])] = static_cast<uint8_t>(i);
  }
  table[static_cast<uint8_t>(c62)] = 62;
  table[static_cast<uint8_t>(c63)] = 63;
  return table;
}

// Two characters for each 12 bits, as they lie in memory.
constexpr std::array<std::array<char, 2>, 4096> character_pairs() {
  std::array<std::array<char, 2>, 4096> table{};
  for (size_t i = 0; i < table.size(); ++i) table[i] = {kStandard[i >> 6], kStandard[i & 63]};
  return table;
}
constexpr auto kPairs = character_pairs();

using Digits = std::array<uint8_t, 256>;
constexpr Digits kStandardDigits = digits_of('+', '/');
constexpr Digits kUrlDigits = digits_of('-', '_');

// Whole groups of four, as long as nothing but digits comes.
size_t decode_groups(std::string_view text, const Digits& digits, char** out) {
  size_t i = 0;
  char* p = *out;
  for (; i + 4 <= text.size(); i += 4) {
    const uint8_t a = digits[static_cast<uint8_t>(text[i])];
    const uint8_t b = digits[static_cast<uint8_t>(text[i + 1])];
    const uint8_t c = digits[static_cast<uint8_t>(text[i + 2])];
    const uint8_t d = digits[static_cast<uint8_t>(text[i + 3])];
    if (((a | b | c | d) & 0xc0) != 0) break;
    *p++ = static_cast<char>(a << 2 | b >> 4);
    *p++ = static_cast<char>(b << 4 | c >> 2);
    *p++ = static_cast<char>(c << 6 | d);
  }
  *out = p;
  return i;
}

bool is_line_break(char c) { return c == '\r' || c == '\n'; }

// What follows the first padding character, after `have` digits of the last group.
bool is_padding(std::string_view rest, int have) {
  int wanted = 4 - have;
  if (have < 2) return false;
  for (char c : rest) {
    if (is_line_break(c)) continue;
    if (c != '=' || --wanted < 0) return false;
  }
  return wanted == 0;
}

}  // namespace

bool parse_signed(std::string_view text, int64_t min, int64_t max, int64_t* out) {
  Decimal decimal;
  uint64_t value = 0;
  if (!parse_decimal(text, &decimal) || !magnitude(decimal, &value)) return false;
  if (decimal.is_negative) {
    if (value > uint64_t{0} - static_cast<uint64_t>(min)) return false;
    *out = static_cast<int64_t>(uint64_t{0} - value);
  } else {
    if (value > static_cast<uint64_t>(max)) return false;
    *out = static_cast<int64_t>(value);
  }
  return true;
}

bool parse_unsigned(std::string_view text, uint64_t max, uint64_t* out) {
  Decimal decimal;
  if (!parse_decimal(text, &decimal) || !magnitude(decimal, out)) return false;
  // "-0" is zero, "-0e1" too; "-00" is no number.
  return *out <= max && (!decimal.is_negative || *out == 0);
}

void append_unsigned(uint64_t value, ByteBuffer* out) {
  constexpr size_t kDigitsMax = 20;
  char* p = out->prepare(kDigitsMax);
  out->commit(static_cast<size_t>(std::to_chars(p, p + kDigitsMax, value).ptr - p));
}

void append_signed(int64_t value, ByteBuffer* out) {
  constexpr size_t kDigitsMax = 20;
  char* p = out->prepare(kDigitsMax);
  out->commit(static_cast<size_t>(std::to_chars(p, p + kDigitsMax, value).ptr - p));
}

bool base64_decode(std::string_view text, char* out, size_t* size) {
  const bool is_padded = text.size() % 4 == 0;
  const bool is_url =
      text.find('-') != std::string_view::npos || text.find('_') != std::string_view::npos;
  const Digits& digits = is_url ? kUrlDigits : kStandardDigits;
  char* p = out;
  uint32_t group = 0;
  int have = 0;
  bool has_padding = false;
  for (size_t i = decode_groups(text, digits, &p); i < text.size(); ++i) {
    const uint8_t digit = digits[static_cast<uint8_t>(text[i])];
    if (digit == kNoDigit) {
      if (is_line_break(text[i])) continue;
      if (!is_padded || text[i] != '=' || !is_padding(text.substr(i), have)) return false;
      has_padding = true;
      break;
    }
    group = group << 6 | digit;
    if (++have < 4) continue;
    *p++ = static_cast<char>(group >> 16);
    *p++ = static_cast<char>(group >> 8);
    *p++ = static_cast<char>(group);
    have = 0;
    group = 0;
  }
  if (have == 1) return false;
  if (have != 0 && is_padded && !has_padding) return false;
  if (have == 2) *p++ = static_cast<char>(group >> 4);
  if (have == 3) {
    *p++ = static_cast<char>(group >> 10);
    *p++ = static_cast<char>(group >> 2);
  }
  *size = static_cast<size_t>(p - out);
  return true;
}

void append_base64(std::string_view bytes, ByteBuffer* out) {
  const size_t size = (bytes.size() + 2) / 3 * 4;
  char* p = out->prepare(size);
  const auto* in = reinterpret_cast<const uint8_t*>(bytes.data());
  size_t left = bytes.size();
  for (; left >= 3; left -= 3, in += 3, p += 4) {
    const uint32_t group = uint32_t{in[0]} << 16 | uint32_t{in[1]} << 8 | in[2];
    std::memcpy(p, kPairs[group >> 12].data(), 2);
    std::memcpy(p + 2, kPairs[group & 4095].data(), 2);
  }
  if (left > 0) {
    const uint32_t group = uint32_t{in[0]} << 16 | (left == 2 ? uint32_t{in[1]} << 8 : 0);
    *p++ = kStandard[group >> 18];
    *p++ = kStandard[group >> 12 & 63];
    *p++ = left == 2 ? kStandard[group >> 6 & 63] : '=';
    *p++ = '=';
  }
  out->commit(size);
}

namespace {

bool is_ascii8(const char* p) {
  uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return (word & 0x8080808080808080U) == 0;
}

// The size of the character at the start of `text`, whose first byte is not ASCII; 0 if there is
// none: overlong forms, surrogates and what is beyond Unicode are no characters.
size_t character_size(std::string_view text) {
  const auto at = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0; };
  const auto is_next = [&](size_t i) { return (at(i) & 0xc0) == 0x80; };
  const uint8_t first = at(0);
  if (first >= 0xc2 && first <= 0xdf) return is_next(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if (!is_next(1) || !is_next(2)) return 0;
    if (first == 0xe0 && at(1) < 0xa0) return 0;
    return first == 0xed && at(1) >= 0xa0 ? 0 : 3;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (!is_next(1) || !is_next(2) || !is_next(3)) return 0;
    if (first == 0xf0 && at(1) < 0x90) return 0;
    return first == 0xf4 && at(1) >= 0x90 ? 0 : 4;
  }
  return 0;
}

// The bytes that stand for a character in a string of JSON; empty if it stands for itself.
std::string_view escaped(char c, char (&room)[6]) {
  switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\b': return "\\b";
    case '\f': return "\\f";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: break;
  }
  if (static_cast<uint8_t>(c) >= 0x20) return {};
  constexpr char kHex[] = "0123456789abcdef";
  std::memcpy(room, "\\u00", 4);
  room[4] = kHex[c >> 4];
  room[5] = kHex[c & 15];
  return {room, 6};
}

template <class Out>
void append_quoted_to(std::string_view text, Out* out) {
  out->append("\"");
  size_t copied = 0;
  char room[6];
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string_view escape = escaped(text[i], room);
    if (escape.empty()) continue;
    out->append(text.substr(copied, i - copied));
    out->append(escape);
    copied = i + 1;
  }
  out->append(text.substr(copied));
  out->append("\"");
}

}  // namespace

size_t find_invalid_utf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    if (i + 8 <= text.size() && is_ascii8(text.data() + i)) {
      i += 8;
      continue;
    }
    const size_t size = static_cast<uint8_t>(text[i]) < 0x80 ? 1 : character_size(text.substr(i));
    if (size == 0) return i;
    i += size;
  }
  return i;
}

void append_quoted(std::string_view text, ByteBuffer* out) { append_quoted_to(text, out); }
void append_quoted(std::string_view text, std::string* out) { append_quoted_to(text, out); }

std::string_view cut_utf8(std::string_view text, size_t max) {
  if (text.size() <= max) return text;
  while (max > 0 && (static_cast<uint8_t>(text[max]) & 0xc0) == 0x80) --max;
  return text.substr(0, max);
}

}  // namespace mortise::json
