#include "plugins/auth_rbac/token_options.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

namespace mortise::auth_rbac {
namespace {

constexpr std::pair<std::string_view, double> kUnits[] = {
    {"ns", 1},   {"us", 1e3}, {"\u00b5s", 1e3}, {"\u03bcs", 1e3},
    {"ms", 1e6}, {"s", 1e9},  {"m", 60 * 1e9},  {"h", 3600 * 1e9}};

}  // namespace

sdk::Status invalid_options() { return sdk::invalid("auth: invalid auth options"); }

sdk::Status TokenOptions::parse(std::string_view text) {
  of_kind.clear();
  size_t comma = text.find(',');
  const std::string_view name = text.substr(0, comma);
  while (comma != std::string_view::npos) {
    text.remove_prefix(comma + 1);
    comma = text.find(',');
    const std::string_view pair = text.substr(0, comma);
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos || pair.find('=', equals + 1) != std::string_view::npos ||
        !of_kind.emplace(pair.substr(0, equals), pair.substr(equals + 1)).second) {
      return invalid_options();
    }
  }
  if (name == "simple") {
    kind = TokenKind::kSimple;
  } else if (name == "jwt") {
    kind = TokenKind::kJwt;
  } else if (name.empty()) {
    kind = TokenKind::kNone;
  } else {
    return invalid_options();
  }
  return {};
}

bool parse_duration(std::string_view text, std::chrono::nanoseconds& out) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty()) return false;
  double total = 0;
  if (text == "0") text = {};
  while (!text.empty()) {
    const size_t digits = text.find_first_not_of("0123456789.");
    double number = 0;
    const char* end = text.data() + (digits == std::string_view::npos ? 0 : digits);
    const auto [stop, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
    if (error != std::errc() || stop != end) return false;
    text.remove_prefix(digits);
    const std::string_view unit = text.substr(0, text.find_first_of("0123456789."));
    double scale = 0;
    for (const auto& [name, ns] : kUnits) {
      if (name == unit) scale = ns;
    }
    if (scale == 0) return false;
    total += number * scale;
    text.remove_prefix(unit.size());
  }
  if (total >= static_cast<double>(std::numeric_limits<int64_t>::max())) return false;
  out = std::chrono::nanoseconds(std::llround(negative ? -total : total));
  return true;
}

}  // namespace mortise::auth_rbac
