// What may be shown, in the log or to whoever asks, of how the server was started: passwords are
// "...". Pure, safe from any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mortise::config {

// The value of an option or of a variable; the name in any case, with - or _.
std::string without_secrets(std::string_view name, std::string_view value);
// A command line: --option=value, --option value.
std::vector<std::string> without_secrets(std::span<const std::string> arguments);

}  // namespace mortise::config
