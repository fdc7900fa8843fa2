// The server's log: etcd's JSON lines (level, ts, caller, msg, then fields), or tab-separated text.
//
// Of a message that comes more than 100 times in a second only every hundredth is written then.
// What cannot be written (a full disk under the log) is lost, and the server goes on.
//
// Thread-safe; each line is written whole and flushed. Made once, before threads start.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "host/base/status.h"
#include "host/server/rotating_file.h"
#include "host/server/systemd.h"

namespace spdlog::sinks {
class sink;
}

namespace mortise::server {

enum class Level : int8_t { kDebug = -1, kInfo = 0, kWarn = 1, kError = 2, kPanic = 4, kFatal = 5 };

// "debug", "info", "warn", "error", "dpanic", "panic" or "fatal"; anything else means info.
Level level_named(std::string_view name);
std::string_view level_name(Level level);

struct Field {
  using Value =
      std::variant<std::string, int64_t, uint64_t, bool, double, std::vector<std::string>>;
  std::string name;
  Value value;

  Field(std::string n, std::string v) : name(std::move(n)), value(std::move(v)) {}
  Field(std::string n, const char* v) : name(std::move(n)), value(std::string(v)) {}
  Field(std::string n, std::string_view v) : name(std::move(n)), value(std::string(v)) {}
  Field(std::string n, bool v) : name(std::move(n)), value(v) {}
  Field(std::string n, int v) : name(std::move(n)), value(int64_t{v}) {}
  Field(std::string n, long v) : name(std::move(n)), value(int64_t{v}) {}
  Field(std::string n, unsigned v) : name(std::move(n)), value(uint64_t{v}) {}
  Field(std::string n, unsigned long v) : name(std::move(n)), value(uint64_t{v}) {}
  Field(std::string n, double v) : name(std::move(n)), value(v) {}
  Field(std::string n, std::vector<std::string> v) : name(std::move(n)), value(std::move(v)) {}
};
using Fields = std::vector<Field>;

struct LogOptions {
  std::string level = "info";
  std::string format = "json";  // or "console"
  // "default" and "stderr", "stdout", "systemd/journal", and paths of files.
  std::vector<std::string> outputs = {"default"};
  std::optional<RotationOptions> rotation;  // Of files.
  std::string journal_socket = kJournalSocket;
};

class Log {
 public:
  static Result<std::unique_ptr<Log>> open(const LogOptions& options);
  ~Log();

  bool enabled(Level level) const { return level >= this->level(); }
  Level level() const { return level_.load(std::memory_order_relaxed); }
  void set_level(Level level) { level_.store(level, std::memory_order_relaxed); }
  void write(Level level, std::string_view message, const Fields& fields = {},
             std::source_location where = std::source_location::current());
  // As write(), for a line whose place in the code is known otherwise.
  void write_from(std::string_view caller, Level level, std::string_view message,
                  const Fields& fields, std::string_view logger = {});
  void info(std::string_view message, const Fields& fields = {},
            std::source_location where = std::source_location::current()) {
    write(Level::kInfo, message, fields, where);
  }
  void warn(std::string_view message, const Fields& fields = {},
            std::source_location where = std::source_location::current()) {
    write(Level::kWarn, message, fields, where);
  }
  // As info(), in the name of a part that operators know as a logger of etcd's, such as "raft".
  void info_of(std::string_view logger, std::string_view message, const Fields& fields = {},
               std::source_location where = std::source_location::current());
  // Writes the line and ends the process with exit code 1, without running destructors.
  [[noreturn]] void fatal(std::string_view message, const Fields& fields = {},
                          std::source_location where = std::source_location::current());

 private:
  struct Sinks;
  static Result<std::shared_ptr<spdlog::sinks::sink>> make_sink(const std::string& output,
                                                                const LogOptions& options);
  Log(Level level, bool json, std::unique_ptr<Sinks> sinks);
  bool passes(Level level, std::string_view message);

  // Lines of one message since the second began.
  struct Repeats {
    int64_t second = 0;
    uint64_t count = 0;
  };
  static constexpr uint64_t kRepeatsShown = 100;  // Within a second; then
  static constexpr uint64_t kRepeatsEvery = 100;  // one in so many.
  static constexpr size_t kRepeatSlots = 4096;
  std::array<Repeats, kRepeatSlots> repeats_{};
  std::mutex repeats_mutex_;

  std::atomic<Level> level_;
  const bool json_;
  std::unique_ptr<Sinks> sinks_;
};

// One line in JSON without the line break; for tests. `ts` as it stands in the line.
std::string json_line(Level level, std::string_view ts, std::string_view caller,
                      std::string_view message, const Fields& fields, std::string_view logger = {});

// "2026-11-21T10:57:42.515169Z": as the log shows times.
std::string time_text(std::chrono::system_clock::time_point time);

// "1m0s", "100ms": as Go prints durations, which is how etcd's log shows them.
std::string duration_text(std::chrono::nanoseconds d);
// "82 kB", "1.2 GB": sizes as etcd's log shows them, in powers of 1000.
std::string bytes_text(uint64_t bytes);

}  // namespace mortise::server
