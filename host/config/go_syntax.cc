#include "host/config/go_syntax.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

namespace mortise::config {
namespace {

constexpr std::string_view kParseError = "parse error";
constexpr std::string_view kRangeError = "value out of range";

Status parse_error() { return invalid(std::string(kParseError)); }
Status range_error() { return invalid(std::string(kRangeError)); }

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
  return 36;
}

// Removes the base prefix from `text`. A leading 0 alone means octal.
unsigned take_base(std::string_view& text) {
  if (text.size() < 2 || text[0] != '0') return 10;
  const char mark = static_cast<char>(text[1] | 0x20);
  const unsigned base = mark == 'x' ? 16 : mark == 'b' ? 2 : mark == 'o' ? 8 : 0;
  if (base != 0) {
    text.remove_prefix(2);
    return base;
  }
  text.remove_prefix(1);
  return 8;
}

Result<uint64_t> parse_magnitude(std::string_view text, uint64_t max) {
  if (text.empty()) return parse_error();
  const bool prefixed = text.size() >= 2 && text[0] == '0';
  const unsigned base = take_base(text);
  if (text.empty()) return parse_error();
  uint64_t value = 0;
  bool overflow = false;
  // An underscore must stand between digits, or between the prefix and a digit.
  bool may_underscore = prefixed;
  for (const char c : text) {
    if (c == '_') {
      if (!may_underscore) return parse_error();
      may_underscore = false;
      continue;
    }
    const int digit = digit_value(c);
    if (digit >= static_cast<int>(base)) return parse_error();
    may_underscore = true;
    if (value > (max - static_cast<uint64_t>(digit)) / base) overflow = true;
    if (!overflow) value = value * base + static_cast<uint64_t>(digit);
  }
  if (text.back() == '_') return parse_error();
  if (overflow) return range_error();
  return value;
}

struct Unit {
  std::string_view name;
  uint64_t nanoseconds;
};
constexpr std::array<Unit, 8> kUnits = {{{"ns", 1},
                                         {"us", 1'000},
                                         {"\u00b5s", 1'000},
                                         {"\u03bcs", 1'000},
                                         {"ms", 1'000'000},
                                         {"s", 1'000'000'000},
                                         {"m", 60'000'000'000},
                                         {"h", 3'600'000'000'000}}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// One number and its unit, such as 3.5s, taken from the front of `rest`.
struct DurationPart {
  uint64_t whole = 0;
  double fraction = 0;  // 0 <= fraction < 1
  std::string_view unit;
  bool overflow = false;
};

std::optional<DurationPart> take_part(std::string_view& rest) {
  constexpr uint64_t kMax = uint64_t{1} << 63;
  DurationPart part;
  bool any = false;
  while (!rest.empty() && is_digit(rest.front())) {
    const auto digit = static_cast<uint64_t>(rest.front() - '0');
    if (part.whole > (kMax - digit) / 10) part.overflow = true;
    if (!part.overflow) part.whole = part.whole * 10 + digit;
    rest.remove_prefix(1);
    any = true;
  }
  if (!rest.empty() && rest.front() == '.') {
    rest.remove_prefix(1);
    double scale = 1;
    while (!rest.empty() && is_digit(rest.front())) {
      scale /= 10;
      part.fraction += (rest.front() - '0') * scale;
      rest.remove_prefix(1);
      any = true;
    }
  }
  if (!any) return std::nullopt;
  size_t end = 0;
  while (end < rest.size() && rest[end] != '.' && !is_digit(rest[end])) ++end;
  part.unit = rest.substr(0, end);
  rest.remove_prefix(end);
  return part;
}

std::string with_fraction(uint64_t value, uint64_t unit, std::string_view suffix) {
  std::string out = std::to_string(value / unit);
  uint64_t rest = value % unit;
  if (rest != 0) {
    std::string digits;
    for (uint64_t scale = unit / 10; rest != 0; scale /= 10) {
      digits += static_cast<char>('0' + rest / scale);
      rest %= scale;
    }
    out += '.' + digits;
  }
  return out.append(suffix);
}

}  // namespace

Result<bool> parse_bool(std::string_view text) {
  for (const std::string_view word : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (text == word) return true;
  }
  for (const std::string_view word : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (text == word) return false;
  }
  return parse_error();
}

Result<int64_t> parse_int(std::string_view text, int bits) {
  const bool negative = !text.empty() && text.front() == '-';
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  const uint64_t limit = (uint64_t{1} << (bits - 1)) - (negative ? 0 : 1);
  MORTISE_ASSIGN_OR_RETURN(const uint64_t value, parse_magnitude(text, limit));
  return static_cast<int64_t>(negative ? uint64_t{0} - value : value);
}

Result<uint64_t> parse_uint(std::string_view text, int bits) {
  const uint64_t limit =
      bits == 64 ? std::numeric_limits<uint64_t>::max() : (uint64_t{1} << bits) - 1;
  return parse_magnitude(text, limit);
}

Result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  constexpr uint64_t kMax = uint64_t{1} << 63;
  const auto bad = [&] { return invalid("time: invalid duration " + quote(text)); };
  std::string_view rest = text;
  const bool negative = !rest.empty() && rest.front() == '-';
  if (!rest.empty() && (rest.front() == '-' || rest.front() == '+')) rest.remove_prefix(1);
  if (rest == "0") return std::chrono::nanoseconds(0);
  if (rest.empty()) return bad();
  uint64_t total = 0;
  while (!rest.empty()) {
    const auto part = take_part(rest);
    if (!part || part->overflow) return bad();
    if (part->unit.empty()) return invalid("time: missing unit in duration " + quote(text));
    const auto unit = std::find_if(kUnits.begin(), kUnits.end(),
                                   [&](const Unit& u) { return u.name == part->unit; });
    if (unit == kUnits.end()) {
      return invalid("time: unknown unit " + quote(part->unit) + " in duration " + quote(text));
    }
    if (part->whole > kMax / unit->nanoseconds) return bad();
    const auto fraction =
        static_cast<uint64_t>(part->fraction * static_cast<double>(unit->nanoseconds) + 1e-6);
    const uint64_t value = part->whole * unit->nanoseconds + fraction;
    if (value > kMax || total > kMax - value) return bad();
    total += value;
  }
  if (!negative && total == kMax) return bad();
  return std::chrono::nanoseconds(static_cast<int64_t>(negative ? uint64_t{0} - total : total));
}

std::string format_duration(std::chrono::nanoseconds value) {
  if (value.count() == 0) return "0s";
  const bool negative = value.count() < 0;
  const auto count = static_cast<uint64_t>(value.count());
  const uint64_t ns = negative ? uint64_t{0} - count : count;
  std::string out = negative ? "-" : "";
  if (ns < 1'000) return out + std::to_string(ns) + "ns";
  if (ns < 1'000'000) return out + with_fraction(ns, 1'000, "\u00b5s");
  if (ns < 1'000'000'000) return out + with_fraction(ns, 1'000'000, "ms");
  const uint64_t minutes = ns / 60'000'000'000;
  if (minutes >= 60) out += std::to_string(minutes / 60) + "h";
  if (minutes > 0) out += std::to_string(minutes % 60) + "m";
  return out + with_fraction(ns % 60'000'000'000, 1'000'000'000, "s");
}

std::string quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (;;) {
    const size_t end = text.find(separator, begin);
    parts.emplace_back(text.substr(begin, end == std::string_view::npos ? end : end - begin));
    if (end == std::string_view::npos) return parts;
    begin = end + 1;
  }
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string out;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i != 0) out += separator;
    out += parts[i];
  }
  return out;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

}  // namespace mortise::config
