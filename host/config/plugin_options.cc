#include "host/config/plugin_options.h"

#include <nlohmann/json.hpp>

#include "host/config/go_syntax.h"

namespace mortise::config {
namespace {

Result<std::string> dump(const nlohmann::json& object) {
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

nlohmann::json scalar(const std::string& text) {
  nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
  if (value.is_number() || value.is_boolean()) return value;
  return text;
}

}  // namespace

Result<std::string> parse_plugin_options(std::string_view raw) {
  const std::string_view text = trim(raw);
  nlohmann::json object = nlohmann::json::object();
  if (text.empty()) return dump(object);
  if (text.front() == '{') {
    object = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
    if (!object.is_object()) return invalid("not a JSON object: " + std::string(text));
    return dump(object);
  }
  for (const std::string& pair : split(text, ',')) {
    const size_t equals = pair.find('=');
    const std::string key(trim(std::string_view(pair).substr(0, equals)));
    if (equals == std::string::npos || key.empty()) {
      return invalid("expected key=value, found " + quote(pair));
    }
    if (object.contains(key)) return invalid("option " + quote(key) + " is given twice");
    object[key] = scalar(std::string(trim(std::string_view(pair).substr(equals + 1))));
  }
  return dump(object);
}

std::string with_http_defaults(const std::string& options_json, const HttpDefaults& defaults) {
  nlohmann::json object = nlohmann::json::parse(options_json, nullptr, false);
  if (!object.is_object()) return options_json;
  const auto all_if_empty = [](const std::string& list) { return list.empty() ? "*" : list; };
  const nlohmann::json flags = {{"cors", all_if_empty(defaults.cors)},
                                {"host_whitelist", all_if_empty(defaults.host_whitelist)},
                                {"gateway", defaults.gateway}};
  for (const auto& [key, value] : flags.items()) {
    if (!object.contains(key)) object[key] = value;
  }
  return dump(object).value();
}

}  // namespace mortise::config
