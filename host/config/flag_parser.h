// The command line, by the rules of Go's flag package: -x and --x are the same, a value follows
// after '=' or as the next argument, a boolean takes a value only after '='. CLI11 has other rules,
// so this is our own. Internal to host/config. Pure.
#pragma once

#include <span>
#include <string>

#include "host/config/options.h"

namespace mortise::config {

struct FlagParse {
  enum class Result : uint8_t { kOk, kHelp, kSyntaxError };
  Result result = Result::kOk;
  std::string error;            // kSyntaxError
  bool has_positional = false;  // An argument that is no flag ends the flags.
  std::string positional;
};

// `arguments` without the program's name. Sets what it finds in `values`.
FlagParse parse_flags(std::span<const std::string> arguments, Values& values);

}  // namespace mortise::config
