// How this folder says what happens: lines with etcd's messages and field names, which whoever owns
// the log writes. Called on any thread; must not block for long.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace mortise::peer {

enum class LogLevel : int8_t { kDebug = -1, kInfo = 0, kWarn = 1, kError = 2 };

struct LogField {
  using Value =
      std::variant<std::string, uint64_t, bool, std::chrono::nanoseconds, std::vector<std::string>>;
  std::string name;
  Value value;
};
using LogFields = std::vector<LogField>;
using LogHook = std::function<void(LogLevel, std::string_view message, const LogFields&,
                                   std::source_location where)>;

}  // namespace mortise::peer
