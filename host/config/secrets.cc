#include "host/config/secrets.h"

#include <algorithm>

namespace mortise::config {
namespace {

constexpr std::string_view kHidden = "...";

std::string normal(std::string_view name) {
  std::string out(name);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c == '_' ? '-' : static_cast<char>(c | 0x20); });
  return out;
}

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool is_password(std::string_view option) {
  return has(option, "password") || has(option, "secret");
}

// As far as the separator, if there is one.
std::string up_to(std::string_view value, char separator) {
  const size_t at = value.find(separator);
  if (at == std::string_view::npos) return std::string(value);
  return std::string(value.substr(0, at + 1)) + std::string(kHidden);
}

}  // namespace

std::string without_secrets(std::string_view name, std::string_view value) {
  const std::string option = normal(name);
  if (is_password(option)) return std::string(kHidden);
  if (has(option, "discovery-user")) return up_to(value, ':');  // name:password
  if (has(option, "auth-token")) return up_to(value, ',');      // Names of files with keys.
  return std::string(value);
}

std::vector<std::string> without_secrets(std::span<const std::string> arguments) {
  std::vector<std::string> out;
  std::string_view option;  // Whose value the next word may be.
  for (const std::string_view word : arguments) {
    const bool is_option = word.starts_with('-');
    if (!option.empty() && (!is_option || is_password(normal(option)))) {
      out.push_back(without_secrets(option, word));
      option = {};
      continue;
    }
    const size_t equals = is_option ? word.find('=') : std::string_view::npos;
    if (equals == std::string_view::npos) {
      out.emplace_back(word);
      option = is_option ? word : std::string_view();
    } else {
      out.push_back(std::string(word.substr(0, equals + 1)) +
                    without_secrets(word.substr(0, equals), word.substr(equals + 1)));
      option = {};
    }
  }
  return out;
}

}  // namespace mortise::config
