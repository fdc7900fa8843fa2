#include "host/json/request_errors.h"

#include <algorithm>
#include <cstddef>

#include "host/json/text.h"

namespace mortise::json {
namespace {

constexpr size_t kShownBytesMax = 100;

// A character in the way Go quotes one: 'x', '\n', '\x00', 'é'.
std::string quoted_character(std::string_view json, size_t offset) {
  const char c = json[offset];
  if (c == '\'') return "'\\''";
  if (c == '"') return "'\"'";
  // Go's scanner reads bytes and takes each for a character of its own.
  const auto byte = static_cast<uint8_t>(c);
  if (byte >= 0xa1 && byte != 0xad) {
    return std::string("'") + static_cast<char>(0xc0 | byte >> 6) +
           static_cast<char>(0x80 | (byte & 0x3f)) + "'";
  }
  constexpr std::string_view kNamed = "\a\b\f\n\r\t\v\\";
  constexpr std::string_view kNames = "abfnrtv\\";
  const size_t named = kNamed.find(c);
  if (named != std::string_view::npos) return std::string("'\\") + kNames[named] + "'";
  if (byte >= 0x20 && byte < 0x7f) return std::string("'") + c + "'";
  constexpr char kHex[] = "0123456789abcdef";
  const std::string hex = {kHex[byte >> 4], kHex[byte & 15]};
  return byte < 0x80 ? "'\\x" + hex + "'" : "'\\u00" + hex + "'";
}

std::string unexpected(std::string_view json, size_t offset, std::string_view where) {
  if (offset >= json.size()) return "unexpected EOF";
  return "invalid character " + quoted_character(json, offset) + " " + std::string(where);
}

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '+' || c == '.' || c == '_';
}

// true, false and null are read letter by letter, up to the first wrong one.
std::string value_error(std::string_view json, size_t offset) {
  offset = std::min(offset, json.size());
  for (std::string_view literal : {"true", "false", "null"}) {
    for (size_t n = literal.size() - 1; n > 0; --n) {
      if (offset < n || json.substr(offset - n, n) != literal.substr(0, n)) continue;
      return unexpected(json, offset,
                        "in literal " + std::string(literal) + " (expecting '" + literal[n] + "')");
    }
  }
  if (offset > 0 && json[offset - 1] == '-') {
    return unexpected(json, offset, "in numeric literal");
  }
  return unexpected(json, offset, "looking for beginning of value");
}

std::string in_string_error(std::string_view json, size_t offset) {
  if (offset < json.size() && json[offset] == '\\') {
    return unexpected(json, offset + 1, "in string escape code");
  }
  return unexpected(json, offset, "in string literal");
}

std::string hex_error(std::string_view json, size_t offset) {
  // `offset` is that of the first backslash, also if the second half of a pair is meant.
  for (int half = 0; half < 2; ++half, offset += 6) {
    for (size_t i = offset + 2; i < offset + 6; ++i) {
      const bool is_hex =
          i < json.size() &&
          std::string_view("0123456789abcdefABCDEF").find(json[i]) != std::string_view::npos;
      if (!is_hex) return unexpected(json, i, "in \\u hexadecimal character escape");
    }
  }
  return "invalid \\u hexadecimal character escape";
}

size_t string_end(std::string_view json, size_t begin) {
  for (size_t i = begin + 1; i < json.size(); ++i) {
    if (json[i] == '\\') {
      ++i;
    } else if (json[i] == '"') {
      return i + 1;
    }
  }
  return json.size();
}

}  // namespace

std::string syntax_error(SyntaxError error, std::string_view json, size_t offset) {
  switch (error) {
    case SyntaxError::kValue: return value_error(json, offset);
    case SyntaxError::kObjectKey:
      return unexpected(json, offset, "looking for beginning of object key string");
    case SyntaxError::kAfterObjectKey: return unexpected(json, offset, "after object key");
    case SyntaxError::kAfterObjectValue:
      return unexpected(json, offset, "after object key:value pair");
    case SyntaxError::kAfterArrayElement: return unexpected(json, offset, "after array element");
    case SyntaxError::kString: return in_string_error(json, offset);
    case SyntaxError::kHexEscape: return hex_error(json, offset);
    case SyntaxError::kSurrogate:
      return string_error(json, offset, "invalid escape code in string");
    case SyntaxError::kFraction:
      return unexpected(json, offset, "after decimal point in numeric literal");
    case SyntaxError::kExponent: return unexpected(json, offset, "in exponent of numeric literal");
    case SyntaxError::kNumberTooLarge:
      return "proto: " + position(json, offset) + ": number too large: " + raw_token(json, offset);
    case SyntaxError::kDepth: return "exceeded max depth";
  }
  return "invalid JSON";
}

size_t string_begin(std::string_view json, size_t offset) {
  size_t begin = 0;
  bool is_inside = false;
  for (size_t i = 0; i < offset; ++i) {
    if (is_inside && json[i] == '\\') {
      ++i;
    } else if (json[i] == '"') {
      is_inside = !is_inside;
      begin = i;
    }
  }
  return begin;
}

std::string string_error(std::string_view json, size_t offset, std::string_view what) {
  return "proto: syntax error " + position(json, string_begin(json, offset)) + ": " +
         std::string(what);
}

std::string position(std::string_view json, size_t offset) {
  const std::string_view before = json.substr(0, offset);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t line_begin = before.rfind('\n') + 1;  // 0 if there is none.
  const auto column = 1 + std::count_if(before.begin() + static_cast<ptrdiff_t>(line_begin),
                                        before.end(), [](char c) { return (c & 0xc0) != 0x80; });
  return "(line " + std::to_string(line) + ":" + std::to_string(column) + ")";
}

std::string raw_token(std::string_view json, size_t offset) {
  size_t end = offset + 1;
  if (json[offset] == '"') {
    end = string_end(json, offset);
  } else if (is_word(json[offset])) {
    while (end < json.size() && is_word(json[end])) ++end;
  }
  const std::string_view token = json.substr(offset, end - offset);
  const std::string_view shown = cut_utf8(token, kShownBytesMax);
  return std::string(shown) + (shown.size() < token.size() ? "..." : "");
}

}  // namespace mortise::json
