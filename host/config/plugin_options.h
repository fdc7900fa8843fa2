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

}  // namespace mortise::config
