#include "host/server/log.h"

#include <fcntl.h>
#include <spdlog/sinks/base_sink.h>
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

// The size of the character that begins the text; 0 if that is no valid UTF-8.
size_t utf8_size(std::string_view text) {
  const auto at = [&](size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const auto within = [&](size_t i, unsigned least, unsigned most) {
    return at(i) >= least && at(i) <= most;
  };
  const unsigned first = at(0);
  if (first >= 0xc2 && first <= 0xdf) return within(1, 0x80, 0xbf) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {  // Neither overlong forms nor halves of a surrogate pair.
    const unsigned least = first == 0xe0 ? 0xa0 : 0x80;
    const unsigned most = first == 0xed ? 0x9f : 0xbf;
    return within(1, least, most) && within(2, 0x80, 0xbf) ? 3 : 0;
  }
  if (first < 0xf0 || first > 0xf4) return 0;
  const unsigned least = first == 0xf0 ? 0x90 : 0x80;
  const unsigned most = first == 0xf4 ? 0x8f : 0xbf;
  return within(1, least, most) && within(2, 0x80, 0xbf) && within(3, 0x80, 0xbf) ? 4 : 0;
}

void append_ascii(std::string* out, char c) {
  switch (c) {
    case '"': *out += "\\\""; return;
    case '\\': *out += "\\\\"; return;
    case '\n': *out += "\\n"; return;
    case '\r': *out += "\\r"; return;
    case '\t': *out += "\\t"; return;
    default: break;
  }
  if (static_cast<unsigned char>(c) >= 0x20) {
    out->push_back(c);
    return;
  }
  char escaped[8];
  std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(c));
  *out += escaped;
}

// Text becomes valid UTF-8: other bytes are replaced, as Go's JSON encoder does.
void append_json_text(std::string* out, std::string_view text) {
  out->push_back('"');
  while (!text.empty()) {
    size_t size = 1;
    if (static_cast<unsigned char>(text[0]) < 0x80) {
      append_ascii(out, text[0]);
    } else if (size = utf8_size(text); size > 0) {
      out->append(text.substr(0, size));
    } else {
      *out += "\\ufffd";
      size = 1;
    }
    text.remove_prefix(size);
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
                         std::string_view message, const Fields& fields, std::string_view logger) {
  std::string out(ts);
  (((out += '\t') += level_name(level)) += '\t');
  if (!logger.empty()) (out += logger) += '\t';
  ((out += caller) += '\t') += message;
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

spdlog::level::level_enum spdlog_level(Level level) {
  switch (level) {
    case Level::kDebug: return spdlog::level::debug;
    case Level::kInfo: return spdlog::level::info;
    case Level::kWarn: return spdlog::level::warn;
    case Level::kError: return spdlog::level::err;
    case Level::kPanic:
    case Level::kFatal: return spdlog::level::critical;
  }
  return spdlog::level::info;
}

// syslog's numbers.
const char* journal_priority(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::debug: return "7";
    case spdlog::level::warn: return "4";
    case spdlog::level::err: return "3";
    case spdlog::level::critical: return "2";
    default: return "6";
  }
}

// A line of the journal, with the fields that etcd gives it; on stderr if there is no journal any
// more.
class JournalSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit JournalSink(std::unique_ptr<Journal> journal) : journal_(std::move(journal)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& entry) override {
    const std::string_view line(entry.payload.data(), entry.payload.size());
    const std::string_view caller(entry.logger_name.data(), entry.logger_name.size());
    const Status sent = journal_->send({{"MESSAGE", line},
                                        {"PRIORITY", journal_priority(entry.level)},
                                        {"PACKAGE", caller.substr(0, caller.find('/'))},
                                        {"SYSLOG_IDENTIFIER", program_invocation_short_name}});
    if (!sent.ok()) std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  }
  void flush_() override {}

  const std::unique_ptr<Journal> journal_;
};

class RotatingSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit RotatingSink(std::unique_ptr<RotatingFile> file) : file_(std::move(file)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& entry) override {
    line_.assign(entry.payload.data(), entry.payload.size());
    file_->write(line_ += '\n');
  }
  void flush_() override {}

  const std::unique_ptr<RotatingFile> file_;
  std::string line_;
};

// A folder with a spelling mistake is not made, as spdlog would.
Status check_openable(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return errno_status(errno, "open " + path);
  ::close(fd);
  return Status();
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
  if (name == "dpanic" || name == "panic") return Level::kPanic;
  return name == "fatal" ? Level::kFatal : Level::kInfo;
}

struct Log::Sinks {
  std::vector<std::shared_ptr<spdlog::sinks::sink>> list;
};

Result<std::shared_ptr<spdlog::sinks::sink>> Log::make_sink(const std::string& output,
                                                            const LogOptions& options) {
  std::shared_ptr<spdlog::sinks::sink> sink;
  if (output == "default" || output == "stderr") {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else if (output == "stdout") {
    sink = std::make_shared<spdlog::sinks::stdout_sink_mt>();
  } else if (output == "systemd/journal") {
    auto journal = Journal::connect(options.journal_socket);
    if (!journal.ok()) return invalid("can't find journal (" + journal.status().message() + ")");
    sink = std::make_shared<JournalSink>(std::move(*journal));
  } else if (options.rotation) {
    MORTISE_ASSIGN_OR_RETURN(auto file, RotatingFile::open(output, *options.rotation));
    sink = std::make_shared<RotatingSink>(std::move(file));
  } else {
    MORTISE_RETURN_IF_ERROR(check_openable(output));
    sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(output);
  }
  sink->set_pattern("%v");
  return sink;
}

std::string json_line(Level level, std::string_view ts, std::string_view caller,
                      std::string_view message, const Fields& fields, std::string_view logger) {
  std::string out = "{\"level\":\"";
  out += level_name(level);
  out += "\",\"ts\":\"";
  out += ts;
  out += '"';
  if (!logger.empty()) {
    out += ",\"logger\":";
    append_json_text(&out, logger);
  }
  out += ",\"caller\":";
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
      MORTISE_ASSIGN_OR_RETURN(auto sink, make_sink(output, options));
      sinks->list.push_back(std::move(sink));
    } catch (const spdlog::spdlog_ex& error) {
      return Status(StatusCode::kIo, std::string("cannot open log output: ") + error.what());
    }
  }
  return std::unique_ptr<Log>(
      new Log(level_named(options.level), options.format != "console", std::move(sinks)));
}

Log::Log(Level level, bool json, std::unique_ptr<Sinks> sinks)
    : level_(level), json_(json), sinks_(std::move(sinks)) {}
Log::~Log() = default;

void Log::write(Level level, std::string_view message, const Fields& fields,
                std::source_location where) {
  if (enabled(level)) write_from(caller_text(where), level, message, fields);
}

void Log::info_of(std::string_view logger, std::string_view message, const Fields& fields,
                  std::source_location where) {
  if (enabled(Level::kInfo)) write_from(caller_text(where), Level::kInfo, message, fields, logger);
}

void Log::write_from(std::string_view caller, Level level, std::string_view message,
                     const Fields& fields, std::string_view logger) {
  if (!enabled(level) || !passes(level, message)) return;
  const std::string line = json_
                               ? json_line(level, timestamp(), caller, message, fields, logger)
                               : console_line(level, timestamp(), caller, message, fields, logger);
  // The journal's sink wants level and place beside the line.
  const spdlog::details::log_msg entry(caller, spdlog_level(level), line);
  for (auto& sink : sinks_->list) {
    try {
      sink->log(entry);
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
