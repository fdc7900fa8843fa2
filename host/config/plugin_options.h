// Options that a user gives for a plugin, turned into the JSON object that the plugin is handed.
// Internal to host/config. Pure.
#pragma once

#include <string>
#include <string_view>

#include "host/base/status.h"

namespace mortise::config {

// `text` is a JSON object, or key=value,key=value. Empty means no options. In the second form a
// value that reads as a JSON number, true or false becomes one; everything else becomes a string,
// so write JSON for the string "5" or a value with a comma. The result is compact JSON with sorted
// keys.
Result<std::string> parse_plugin_options(std::string_view text);

// The flags that are meant for transport_http, which gets them as options of the same meaning;
// options that the user gave for the plugin go before them. Empty lists mean all.
struct HttpDefaults {
  std::string cors;
  std::string host_whitelist;
  bool gateway = true;
};
std::string with_http_defaults(const std::string& options_json, const HttpDefaults& defaults);

}  // namespace mortise::config
