// parse() for tests: arguments without the program's name, variables and files by content.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "host/config/config.h"

namespace mortise::config {

using TextMap = std::map<std::string, std::string>;

// An empty `host` means that there is no default route.
inline ParseOutcome run(const std::vector<std::string>& flags, const TextMap& environment = {},
                        const TextMap& files = {}, const std::string& host = {}) {
  std::vector<std::string> arguments = {"mortised"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  ParseInput input;
  input.arguments = arguments;
  input.environment = environment;
  input.read_file = [&](const std::string& path) -> Result<std::string> {
    const auto found = files.find(path);
    if (found == files.end()) return invalid("open " + path + ": no such file or directory");
    return found->second;
  };
  input.default_host = [&]() -> Result<std::string> {
    if (host.empty()) return not_found("could not find default route");
    return host;
  };
  return parse(input);
}

inline const LogLine* find_line(const ParseOutcome& outcome, std::string_view msg) {
  for (const LogLine& line : outcome.logs) {
    if (line.msg == msg) return &line;
  }
  return nullptr;
}

inline std::string field(const LogLine* line, std::string_view name) {
  if (line == nullptr) return "(no such line)";
  for (const LogField& field : line->fields) {
    if (field.name != name) continue;
    const auto* text = std::get_if<std::string>(&field.value);
    return text != nullptr ? *text : "(not a string)";
  }
  return "(no such field)";
}

// The error of `failed to verify flags`; empty if there is no such line.
inline std::string verify_error(const ParseOutcome& outcome) {
  const LogLine* line = find_line(outcome, "failed to verify flags");
  return line == nullptr ? "" : field(line, "error");
}

}  // namespace mortise::config
