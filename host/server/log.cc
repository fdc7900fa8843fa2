#include "host/server/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <ctime>

#include "host/config/go_syntax.h"

namespace mortise::server {
namespace {

Level parse_level(std::string_view name) {
  if (name == "debug") return Level::kDebug;
  if (name == "warn") return Level::kWarn;
  if (name == "error") return Level::kError;
  if (name == "dpanic" || name == "panic") return Level::kPanic;
  if (name == "fatal") return Level::kFatal;
  return Level::kInfo;
}

// Text becomes valid UTF-8: other bytes are replaced, as Go's JSON encoder does.
void append_json_text(std::string* out, std::string_view text) {
  out->push_back('"');
  for (size_t i = 0; i < text.size();) {
    auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x80) {
      switch (c) {
        case '"': *out += "\\\""; break;
        case '\\': *out += "\\\\"; break;
        case '\n': *out += "\\n"; break;
        case '\r': *out += "\\r"; break;
        case '\t': *out += "\\t"; break;
        default:
          if (c < 0x20 || c == 0x7f) {
            char escaped[8];
            std::snprintf(escaped, sizeof escaped, "\\u%04x", c);
            *out += escaped;
          } else {
            out->push_back(static_cast<char>(c));
          }
      }
      ++i;
      continue;
    }
    size_t size = c >= 0xf0 && c < 0xf5 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;
    bool valid = size != 0 && c < 0xf5 && i + size <= text.size();
    for (size_t k = 1; valid && k < size; ++k) valid = (text[i + k] & 0xc0) == 0x80;
    if (valid) {
      out->append(text.substr(i, size));
      i += size;
    } else {
      *out += "\\ufffd";
      ++i;
    }
  }
  out->push_back('"');
}

void append_value(std::string* out, const Field::Value& value) {
  if (auto* text = std::get_if<std::string>(&value)) return append_json_text(out, *text);
  if (auto* list = std::get_if<std::vector<std::string>>(&value)) {
    out->push_back('[');
    for (size_t i = 0; i < list->size(); ++i) {
      if (i > 0) out->push_back(',');
      append_json_text(out, (*list)[i]);
    }
    out->push_back(']');
    return;
  }
  if (auto* b = std::get_if<bool>(&value)) *out += *b ? "true" : "false";
  if (auto* i = std::get_if<int64_t>(&value)) *out += std::to_string(*i);
  if (auto* u = std::get_if<uint64_t>(&value)) *out += std::to_string(*u);
  if (auto* d = std::get_if<double>(&value)) *out += fmt::format("{}", *d);
}

void append_fields(std::string* out, const Fields& fields, bool comma) {
  for (const Field& field : fields) {
    if (comma) out->push_back(',');
    comma = true;
    append_json_text(out, field.name);
    out->push_back(':');
    append_value(out, field.value);
  }
}

std::string text_of(timespec now) {
  tm local;
  localtime_r(&now.tv_sec, &local);
  char text[48];
  size_t n = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &local);
  n += static_cast<size_t>(std::snprintf(text + n, sizeof text - n, ".%06ld", now.tv_nsec / 1000));
  if (local.tm_gmtoff == 0) return std::string(text, n) + "Z";
  std::strftime(text + n, sizeof text - n, "%z", &local);
  return text;
}

std::string timestamp() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return text_of(now);
}

std::string console_line(Level level, std::string_view ts, std::string_view caller,
                         std::string_view message, const Fields& fields) {
  std::string out(ts);
  ((((out += '\t') += level_name(level)) += '\t') += caller) += '\t';
  out += message;
  if (fields.empty()) return out;
  out += "\t{";
  append_fields(&out, fields, false);
  return out + "}";
}

std::string caller_text(const std::source_location& where) {
  std::string_view path = where.file_name();
  // The last folder and the file, as in etcd's lines.
  size_t slash = path.rfind('/');
  if (slash != std::string_view::npos && slash > 0) {
    size_t before = path.rfind('/', slash - 1);
    path.remove_prefix(before == std::string_view::npos ? 0 : before + 1);
  }
  return std::string(path) + ":" + std::to_string(where.line());
}

}  // namespace

std::string_view level_name(Level level) {
  switch (level) {
    case Level::kDebug: return "debug";
    case Level::kInfo: return "info";
    case Level::kWarn: return "warn";
    case Level::kError: return "error";
    case Level::kPanic: return "panic";
    case Level::kFatal: return "fatal";
  }
  return "info";
}

Level level_named(std::string_view name) {
  if (name == "debug") return Level::kDebug;
  if (name == "warn") return Level::kWarn;
  if (name == "error") return Level::kError;
  return name == "fatal" ? Level::kFatal : Level::kInfo;
}

struct Log::Sinks {
  std::vector<std::shared_ptr<spdlog::sinks::sink>> list;
};

std::string json_line(Level level, std::string_view ts, std::string_view caller,
                      std::string_view message, const Fields& fields) {
  std::string out = "{\"level\":\"";
  out += level_name(level);
  out += "\",\"ts\":\"";
  out += ts;
  out += "\",\"caller\":";
  append_json_text(&out, caller);
  out += ",\"msg\":";
  append_json_text(&out, message);
  append_fields(&out, fields, true);
  return out + "}";
}

std::string bytes_text(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  if (bytes < 10) return std::to_string(bytes) + " B";
  size_t unit = 0;
  double scale = 1;
  while (static_cast<double>(bytes) >= scale * 1000) {
    scale *= 1000;
    ++unit;
  }
  double value = std::floor(static_cast<double>(bytes) / scale * 10 + 0.5) / 10;
  char text[32];
  std::snprintf(text, sizeof text, value < 10 ? "%.1f %s" : "%.0f %s", value, kUnits[unit]);
  return text;
}

std::string time_text(std::chrono::system_clock::time_point time) {
  auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
  return text_of({static_cast<time_t>(ns / 1000000000), static_cast<long>(ns % 1000000000)});
}

std::string duration_text(std::chrono::nanoseconds d) { return config::format_duration(d); }

Result<std::unique_ptr<Log>> Log::open(const LogOptions& options) {
  auto sinks = std::make_unique<Sinks>();
  for (const std::string& output : options.outputs) {
    try {
      if (output == "default" || output == "stderr") {
        sinks->list.push_back(std::make_shared<spdlog::sinks::stderr_sink_mt>());
      } else if (output == "stdout") {
        sinks->list.push_back(std::make_shared<spdlog::sinks::stdout_sink_mt>());
      } else {
        sinks->list.push_back(std::make_shared<spdlog::sinks::basic_file_sink_mt>(output));
      }
    } catch (const spdlog::spdlog_ex& error) {
      return Status(StatusCode::kIo, std::string("cannot open log output: ") + error.what());
    }
    sinks->list.back()->set_pattern("%v");
  }
  return std::unique_ptr<Log>(
      new Log(parse_level(options.level), options.format != "console", std::move(sinks)));
}

Log::Log(Level level, bool json, std::unique_ptr<Sinks> sinks)
    : level_(level), json_(json), sinks_(std::move(sinks)) {}
Log::~Log() = default;

void Log::write(Level level, std::string_view message, const Fields& fields,
                std::source_location where) {
  if (enabled(level)) write_from(caller_text(where), level, message, fields);
}

void Log::write_from(std::string_view caller, Level level, std::string_view message,
                     const Fields& fields) {
  if (!enabled(level) || !passes(level, message)) return;
  std::string line = json_ ? json_line(level, timestamp(), caller, message, fields)
                           : console_line(level, timestamp(), caller, message, fields);
  for (auto& sink : sinks_->list) {
    try {
      sink->log(spdlog::details::log_msg("", spdlog::level::info, line));
      sink->flush();
    } catch (const std::exception&) {
      // A full disk under the log must not stop the server.
    }
  }
}

// Messages that share a slot share its count, which costs lines of a flood at most.
bool Log::passes(Level level, std::string_view message) {
  size_t hash = std::hash<std::string_view>()(message) ^ static_cast<size_t>(level);
  std::lock_guard lock(repeats_mutex_);
  Repeats& repeats = repeats_[hash % kRepeatSlots];
  int64_t second = std::time(nullptr);
  if (repeats.second != second) repeats = Repeats{second, 0};
  uint64_t count = ++repeats.count;
  return count <= kRepeatsShown || (count - kRepeatsShown) % kRepeatsEvery == 0;
}

void Log::fatal(std::string_view message, const Fields& fields, std::source_location where) {
  write(Level::kFatal, message, fields, where);
  ::_exit(1);
}

}  // namespace mortise::server
