#include <algorithm>
#include <optional>

#include "host/pages/pages.h"

namespace mortise::pages {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// Nothing if an escape is cut short or no hexadecimal number.
std::optional<std::string> unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
      if (low < 0) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

}  // namespace

Page text_page(uint32_t status, std::string_view text) {
  return {status, "text/plain; charset=utf-8", std::string(text) + "\n", ""};
}

Page json_page(std::string body) { return {200, "application/json", std::move(body), ""}; }

std::unique_ptr<Page> refuse_other_method(std::string_view method, std::string_view allowed) {
  if (method == allowed) return nullptr;
  auto page = std::make_unique<Page>(text_page(405, "Method Not Allowed"));
  page->allow = allowed;
  return page;
}

Page version_page(std::string_view method, const Versions& versions) {
  if (auto refusal = refuse_other_method(method, "GET")) return std::move(*refusal);
  const bool known = !versions.cluster.empty();
  return json_page(R"({"etcdserver":")" + versions.server + R"(","etcdcluster":")" +
                   (known ? versions.cluster : "not_decided") + R"(","storage":")" +
                   (known ? versions.storage : "unknown") + R"("})");
}

std::vector<std::string> query_values(std::string_view query, std::string_view name) {
  std::vector<std::string> values;
  auto add = [&](std::string_view pair) {
    const size_t equals = pair.find('=');
    const bool has_value = equals != std::string_view::npos;
    if (unescape(has_value ? pair.substr(0, equals) : pair) != name) return;
    auto value = unescape(has_value ? pair.substr(equals + 1) : std::string_view());
    if (value) values.push_back(std::move(*value));
  };
  size_t begin = 0;
  for (size_t i = 0; i <= query.size(); ++i) {
    if (i < query.size() && query[i] != '&') continue;
    if (i > begin) add(query.substr(begin, i - begin));
    begin = i + 1;
  }
  return values;
}

}  // namespace mortise::pages
