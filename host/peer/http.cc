#include "host/peer/http.h"

#include <algorithm>
#include <charconv>

namespace mortise::peer {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

std::string_view header_value(const HttpHeaders& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (same_name(key, name)) return value;
  }
  return {};
}

HttpResponse text_response(int status, std::string_view text) {
  HttpResponse response;
  response.status = status;
  response.headers = {{"Content-Type", "text/plain; charset=utf-8"},
                      {"X-Content-Type-Options", "nosniff"}};
  response.body.reserve(text.size() + 1);
  response.body.append(text);
  response.body.push_back('\n');
  return response;
}

std::string hex_text(uint64_t id) {
  char buffer[16];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, id, 16).ptr;
  return std::string(buffer, end);
}

bool parse_hex(std::string_view text, uint64_t* id) {
  const char* end = text.data() + text.size();
  auto [at, error] = std::from_chars(text.data(), end, *id, 16);
  return error == std::errc() && at == end && !text.empty();
}

}  // namespace mortise::peer
