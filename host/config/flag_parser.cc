#include "host/config/flag_parser.h"

#include <string_view>

#include "host/config/go_syntax.h"

namespace mortise::config {
namespace {

FlagParse syntax_error(std::string message) {
  FlagParse parse;
  parse.result = FlagParse::Result::kSyntaxError;
  parse.error = std::move(message);
  return parse;
}

Status set_boolean(int index, const std::string& name, const std::string* value, Values& values) {
  const Status set = values.set_text(index, value != nullptr ? *value : "true", Source::kFlag);
  if (set.ok()) return {};
  return invalid("invalid boolean value " + quote(value != nullptr ? *value : "true") + " for -" +
                 name + ": " + set.message());
}

}  // namespace

FlagParse parse_flags(std::span<const std::string> arguments, Values& values) {
  size_t next = 0;
  while (next < arguments.size()) {
    const std::string& argument = arguments[next];
    if (argument.size() < 2 || argument[0] != '-') break;
    ++next;
    if (argument == "--") break;
    std::string name = argument.substr(argument[1] == '-' ? 2 : 1);
    if (name.empty() || name[0] == '-' || name[0] == '=') {
      return syntax_error("bad flag syntax: " + argument);
    }
    std::string value;
    const size_t equals = name.find('=');
    bool has_value = equals != std::string::npos;
    if (has_value) {
      value = name.substr(equals + 1);
      name.resize(equals);
    }
    const int index = find_option(name);
    if (index < 0 || !is_flag(options()[static_cast<size_t>(index)])) {
      if (name != "help" && name != "h")
        return syntax_error("flag provided but not defined: -" + name);
      FlagParse help;
      help.result = FlagParse::Result::kHelp;
      return help;
    }
    if (is_boolean_flag(options()[static_cast<size_t>(index)])) {
      const Status set = set_boolean(index, name, has_value ? &value : nullptr, values);
      if (!set.ok()) return syntax_error(set.message());
      continue;
    }
    if (!has_value) {
      if (next == arguments.size()) return syntax_error("flag needs an argument: -" + name);
      value = arguments[next++];
    }
    const Status set = values.set_text(index, value, Source::kFlag);
    if (!set.ok()) {
      return syntax_error("invalid value " + quote(value) + " for flag -" + name + ": " +
                          set.message());
    }
  }
  FlagParse parse;
  parse.has_positional = next < arguments.size();
  if (parse.has_positional) parse.positional = arguments[next];
  return parse;
}

}  // namespace mortise::config
