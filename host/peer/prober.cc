#include "host/peer/prober.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace mortise::peer {
namespace {

using std::chrono::nanoseconds;
constexpr int64_t kNanosPerSecond = 1'000'000'000;
constexpr milliseconds kDriftWarningInterval{30'000};
constexpr double kSmoothing = 0.125;  // Of a new round trip, as TCP does it.

// "2026-11-21T10:57:42.515169123+02:00", any number of digits, or "Z".
std::optional<SystemTime> parse_time(const std::string& text) {
  std::tm parts{};
  int used = 0;
  if (std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d%n", &parts.tm_year, &parts.tm_mon,
                  &parts.tm_mday, &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &used) != 6) {
    return std::nullopt;
  }
  if (parts.tm_year < 1970 || parts.tm_year > 2200) return std::nullopt;
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  const char* rest = text.c_str() + used;
  int64_t nanos = 0;
  if (*rest == '.') {
    int64_t unit = kNanosPerSecond / 10;
    for (++rest; *rest >= '0' && *rest <= '9'; ++rest, unit /= 10) nanos += (*rest - '0') * unit;
  }
  int64_t seconds = timegm(&parts);
  int hours = 0, minutes = 0;
  if (*rest == '+' || *rest == '-') {
    if (std::sscanf(rest + 1, "%2d:%2d", &hours, &minutes) != 2) return std::nullopt;
    seconds -= (*rest == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
  }
  return SystemTime(std::chrono::duration_cast<SystemTime::duration>(
      nanoseconds(seconds * kNanosPerSecond + nanos)));
}

}  // namespace

std::string probe_answer(SystemTime now) {
  const int64_t nanos = std::chrono::duration_cast<nanoseconds>(now.time_since_epoch()).count();
  std::time_t seconds = nanos / kNanosPerSecond;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char day[64], text[128];
  std::strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text, sizeof text, "{\"OK\":true,\"Now\":\"%s.%09lldZ\"}\n", day,
                static_cast<long long>(nanos % kNanosPerSecond));
  return text;
}

std::optional<SystemTime> parse_probe_answer(std::string_view json) {
  constexpr std::string_view kKey = "\"Now\":\"";
  if (json.find("\"OK\":true") == std::string_view::npos) return std::nullopt;
  const size_t at = json.find(kKey);
  if (at == std::string_view::npos) return std::nullopt;
  json.remove_prefix(at + kKey.size());
  return parse_time(std::string(json.substr(0, json.find('"'))));
}

Prober::Prober(ContextRef context, NodeId peer, UrlPickerRef picker)
    : context_(std::move(context)),
      peer_(peer),
      picker_(std::move(picker)),
      timer_(context_->loop.io()),
      caller_(std::make_shared<HttpCaller>(&context_->loop)) {}

void Prober::start() { wait(); }

void Prober::stop() {
  stopped_ = true;
  timer_.cancel();
  caller_->close();
}

void Prober::wait() {
  timer_.expires_after(kProbeInterval);
  timer_.async_wait([self = shared_from_this()](const ErrorCode& error) {
    if (!error && !self->stopped_) self->probe();
  });
}

void Prober::probe() {
  HttpCaller::Call call;
  call.url = picker_->pick();
  call.method = "GET";
  call.target = "/raft/probing";
  call.dial_limit = context_->options.dial_limit;
  call.time_limit = context_->options.read_limit;
  caller_->call(std::move(call), [self = shared_from_this(),
                                  asked = Clock::now()](const Result<HttpResponse>& result) {
    if (self->stopped_) return;
    self->on_answer(asked, result);
    self->wait();
  });
}

void Prober::warn(const char* message, LogFields fields) {
  fields.insert(fields.begin(), {{"round-tripper-name", "ROUND_TRIPPER_RAFT_MESSAGE"},
                                 {"remote-peer-id", hex_text(peer_)}});
  fields.push_back({"rtt", round_trip_});
  context_->log(LogLevel::kWarn, message, std::move(fields));
}

void Prober::on_answer(Clock::time_point asked, const Result<HttpResponse>& result) {
  const nanoseconds took = Clock::now() - asked;
  std::optional<SystemTime> theirs;
  std::string error = result.status().message();
  if (result.ok()) {
    if (result.value().status == 200) theirs = parse_probe_answer(result.value().body);
    if (!theirs) error = "unexpected answer to a probe";
  }
  if (!theirs) return warn("prober detected unhealthy status", {{"error", error}});
  round_trip_ = round_trip_.count() == 0
                    ? took
                    : nanoseconds(static_cast<int64_t>(
                          static_cast<double>(round_trip_.count()) * (1 - kSmoothing) +
                          static_cast<double>(took.count()) * kSmoothing));
  const double seconds = std::chrono::duration<double>(took).count();
  context_->counters.change(peer_, [seconds](CounterTable::Row& row) {
    observe(seconds, kRoundTripFirstBound, &row.counters.round_trip_seconds);
  });
  const nanoseconds drift = std::chrono::system_clock::now() - *theirs - took / 2;
  if (std::chrono::abs(drift) <= kClockDriftMax) return;
  if (drift_warned_ + kDriftWarningInterval > Clock::now()) return;
  drift_warned_ = Clock::now();
  warn("prober found high clock drift", {{"clock-drift", drift}});
}

}  // namespace mortise::peer
