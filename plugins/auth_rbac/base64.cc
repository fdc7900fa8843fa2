#include "plugins/auth_rbac/base64.h"

#include <algorithm>
#include <cstdint>

namespace mortise::auth_rbac {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
constexpr std::string_view kStandardTail = "+/";
constexpr std::string_view kUrlTail = "-_";

int value_of(char c, std::string_view tail) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == tail[0]) return 62;
  if (c == tail[1]) return 63;
  return -1;
}

std::string encode(std::string_view bytes, std::string_view tail) {
  std::string out;
  uint32_t bits = 0;
  int held = 0;
  const auto letter = [&](uint32_t six) { return six < 62 ? kAlphabet[six] : tail[six - 62]; };
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<uint8_t>(c);
    for (held += 8; held >= 6; held -= 6) out.push_back(letter(bits >> (held - 6) & 63));
  }
  if (held > 0) out.push_back(letter(bits << (6 - held) & 63));
  return out;
}

// `text` without padding.
bool decode(std::string_view text, std::string_view tail, std::string& out) {
  out.clear();
  uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const int value = value_of(c, tail);
    if (value < 0) break;
    bits = bits << 6 | static_cast<uint32_t>(value);
    held += 6;
    if (held >= 8) {
      held -= 8;
      out.push_back(static_cast<char>(bits >> held));
    }
  }
  const bool all =
      std::all_of(text.begin(), text.end(), [&](char c) { return value_of(c, tail) >= 0; });
  if (all && text.size() % 4 != 1) return true;
  out.clear();
  return false;
}

}  // namespace

std::string base64_encode(std::string_view bytes) {
  std::string out = encode(bytes, kStandardTail);
  out.append((4 - out.size() % 4) % 4, '=');
  return out;
}

bool base64_decode(std::string_view text, std::string& out) {
  std::string bare(text);
  std::erase_if(bare, [](char c) { return c == '\r' || c == '\n'; });
  out.clear();
  if (bare.size() % 4 != 0) return false;
  for (int i = 0; i < 2 && !bare.empty() && bare.back() == '='; ++i) bare.pop_back();
  return decode(bare, kStandardTail, out);
}

std::string base64url_encode(std::string_view bytes) { return encode(bytes, kUrlTail); }
bool base64url_decode(std::string_view text, std::string& out) {
  return decode(text, kUrlTail, out);
}

}  // namespace mortise::auth_rbac
