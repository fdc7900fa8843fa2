#include "host/config/validate.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "host/config/feature_gates.h"
#include "host/config/go_syntax.h"

namespace mortise::config {
namespace {

constexpr uint64_t kMaxElectionMs = 50000;
constexpr uint64_t kRecommendedRequestBytes = 10 * 1024 * 1024;

std::string ms(uint64_t value) { return std::to_string(value) + "ms"; }

Status validate_log_rotation(const Values& values, const StringList& outputs) {
  if (!values.flag("enable-log-rotation")) return {};
  const auto files = std::count_if(outputs.begin(), outputs.end(), [](const std::string& output) {
    return output != "default" && output != "stderr" && output != "stdout";
  });
  if ((outputs.size() == 1 && files == 0) || files > 1) {
    return invalid(
        "--log-outputs requires a single file path when --log-rotate-config-json is defined");
  }
  return parse_log_rotation(values.text("log-rotation-config-json")).status();
}

bool is_log_level(std::string level) {
  std::transform(level.begin(), level.end(), level.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const std::string_view known :
       {"", "debug", "info", "warn", "warning", "error", "dpanic", "panic", "fatal"}) {
    if (level == known) return true;
  }
  return false;
}

Status validate_urls(const Values& values) {
  for (const auto* name : {"listen-peer-urls", "listen-client-urls", "listen-client-http-urls",
                           "listen-metrics-urls"}) {
    MORTISE_RETURN_IF_ERROR(check_bind_urls(values.get<UrlList>(name)));
  }
  const auto& peers = values.get<UrlList>("initial-advertise-peer-urls");
  if (const Status hosts = check_host_urls(peers); !hosts.ok()) {
    return invalid("--initial-advertise-peer-urls " + quote(join(url_texts(peers), ",")) +
                   " must be \"host:port\" (" + hosts.message() + ")");
  }
  const auto& clients = values.get<UrlList>("advertise-client-urls");
  if (const Status hosts = check_host_urls(clients); !hosts.ok()) {
    return invalid("--advertise-client-urls " + quote(join(url_texts(clients), ",")) +
                   " must be in the format \"host:port\", \"unix:/path/to/socket\" or "
                   "\"unixs:/path/to/socket\" (" +
                   hosts.message() + ")");
  }
  return {};
}

Status validate_bootstrap(const Values& values) {
  const auto& endpoints = values.get<StringList>("discovery-endpoints");
  const bool cluster = !values.text("initial-cluster").empty();
  const bool srv = !values.text("discovery-srv").empty();
  const std::string& state = values.text("initial-cluster-state");
  if (state != "new" && state != "existing")
    return invalid("unexpected clusterState " + quote(state));
  if (int{cluster} + int{srv} + int{!endpoints.empty()} > 1) {
    return invalid(
        "multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", "
        "\"discovery-endpoints\" or \"discovery-srv\"");
  }
  if (values.text("discovery-token").empty() == !endpoints.empty()) {
    return invalid("both --discovery-token and --discovery-endpoints must be set");
  }
  for (const std::string& endpoint : endpoints) {
    if (trim(endpoint).empty())
      return invalid("--discovery-endpoints must not contain empty endpoints");
  }
  return {};
}

Status validate_ticks(const Values& values) {
  const uint64_t heartbeat = values.get<uint64_t>("heartbeat-interval");
  const uint64_t election = values.get<uint64_t>("election-timeout");
  if (heartbeat == 0) return invalid("--heartbeat-interval must be >0 (set to 0ms)");
  if (election == 0) return invalid("--election-timeout must be >0 (set to 0ms)");
  if (heartbeat > election / 5) {
    return invalid("--election-timeout[" + ms(election) +
                   "] should be at least as 5 times as --heartbeat-interval[" + ms(heartbeat) +
                   "]");
  }
  if (election > kMaxElectionMs) {
    return invalid("--election-timeout[" + ms(election) +
                   "] is too long, and should be set less than " + ms(kMaxElectionMs));
  }
  return {};
}

Status validate_compaction(const Values& values) {
  const std::string& mode = values.text("auto-compaction-mode");
  if (mode.empty()) return invalid("undefined auto-compaction-mode");
  if (mode != "periodic" && mode != "revision") {
    return invalid("unknown auto-compaction-mode " + quote(mode));
  }
  return {};
}

Status validate_retention(const Values& values) {
  return parse_retention(values.text("auto-compaction-mode"),
                         values.text("auto-compaction-retention"))
      .status();
}

Status validate_tracing(const Values& values) {
  if (!values.flag("enable-distributed-tracing")) return {};
  const int64_t rate = values.get<int64_t>("distributed-tracing-sampling-rate");
  if (rate >= 0 && rate <= 1000000) return {};
  return invalid(
      std::string(
          "distributed tracing configurition is not valid: (tracing sampling rate must be ") +
      (rate < 0 ? "positive)" : "less than 1000000)"));
}

Status validate_gates(const Values& values) {
  const auto gates = effective_feature_gates(values.get<GateMap>("feature-gates"));
  if (gates.at("LeaseCheckpointPersist") && !gates.at("LeaseCheckpoint")) {
    return invalid(
        "enabling feature gate LeaseCheckpointPersist requires enabling feature gate "
        "LeaseCheckpoint");
  }
  const auto check_time = values.get<std::chrono::nanoseconds>("compact-hash-check-time");
  if (check_time.count() <= 0) {
    return invalid("--compact-hash-check-time must be >0 (set to " + format_duration(check_time) +
                   ")");
  }
  return {};
}

Status validate_tls(const Values& values) {
  const std::string& least = values.text("tls-min-version");
  const std::string& most = values.text("tls-max-version");
  for (const std::string& version : {least, most}) {
    if (!version.empty() && version != "TLS1.2" && version != "TLS1.3") {
      return invalid("unexpected TLS version " + quote(version) +
                     " (must be one of: TLS1.2, TLS1.3)");
    }
  }
  if (least == "TLS1.3" && most == "TLS1.2") {
    return invalid("min version (TLS1.3) is greater than max version (TLS1.2)");
  }
  if (least == "TLS1.3" && !values.get<StringList>("cipher-suites").empty()) {
    return invalid("cipher suites cannot be configured when only TLS1.3 is enabled");
  }
  return {};
}

bool has_client_certificate(const Values& values) {
  return !values.text("cert-file").empty() || !values.text("key-file").empty() ||
         values.flag("auto-tls");
}

Status validate_secure_urls(const Values& values) {
  const bool certificate = has_client_certificate(values);
  const auto& clients = values.get<UrlList>("listen-client-urls");
  const auto& http = values.get<UrlList>("listen-client-http-urls");
  for (const auto* urls : {&clients, &http}) {
    for (const Url& url : *urls) {
      if (!url.is_secure() || certificate) continue;
      return invalid("TLS key/cert (--cert-file, --key-file) must be provided for client url " +
                     url.text + " with HTTPS scheme");
    }
  }
  for (const Url& url : values.get<UrlList>("listen-metrics-urls")) {
    if (!url.is_secure() || certificate) continue;
    return invalid(
        "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url " +
        url.text);
  }
  const auto address = [](const Url& url) { return url.host + ":" + url.port + url.path; };
  for (const Url& url : http) {
    for (const Url& client : clients) {
      if (address(url) != address(client)) continue;
      return invalid(
          "cannot bind both --listen-client-urls and --listen-client-http-urls on the same url " +
          url.text);
    }
  }
  return {};
}

Status validate_auth(const Values& values) {
  const std::string type = split(values.text("auth-token"), ',').front();
  if (type == "simple" || type == "jwt" || type.empty()) return {};
  return invalid("auth: invalid auth options");
}

void warn(const Values& values, std::vector<LogLine>& logs) {
  if (values.text("name") == "default") {
    logs.push_back(
        {"warn",
         "the default name is in use; set --name, because members with the same name are easily "
         "confused when a cluster grows",
         {{"name", values.text("name")}}});
  }
  const auto gates = effective_feature_gates(values.get<GateMap>("feature-gates"));
  if (gates.at("LeaseCheckpoint") && !gates.at("LeaseCheckpointPersist")) {
    logs.push_back({"warn",
                    "Detected that checkpointing is enabled without persistence. Consider enabling "
                    "feature gate LeaseCheckpointPersist",
                    {}});
  }
  const uint64_t request_bytes = values.get<uint64_t>("max-request-bytes");
  if (request_bytes > kRecommendedRequestBytes) {
    logs.push_back(
        {"warn",
         "exceeded recommended request limit",
         {{"max-request-bytes", static_cast<int64_t>(request_bytes)},
          {"recommended-request-bytes", static_cast<int64_t>(kRecommendedRequestBytes)}}});
  }
}

Status validate_ours(const Values& values) {
  for (const auto* name : {"backend", "watch-plugin", "auth-plugin"}) {
    if (trim(values.text(name)).empty())
      return invalid(std::string("--") + name + " must not be empty");
  }
  const auto& transports = values.get<StringList>("transport-plugins");
  if (transports.empty()) return invalid("--transport-plugins must name at least one transport");
  for (size_t i = 0; i < transports.size(); ++i) {
    if (trim(transports[i]).empty())
      return invalid("--transport-plugins must not contain an empty name");
    if (std::find(transports.begin(), transports.begin() + static_cast<std::ptrdiff_t>(i),
                  transports[i]) != transports.begin() + static_cast<std::ptrdiff_t>(i)) {
      return invalid("--transport-plugins names " + quote(transports[i]) + " twice");
    }
  }
  const int64_t batch = values.get<int64_t>("compaction-batch-limit");
  if (batch < 0) {
    return invalid("--compaction-batch-limit must be >=0 (set to " + std::to_string(batch) + ")");
  }
  const auto pause = values.get<std::chrono::nanoseconds>("compaction-sleep-interval");
  if (pause.count() < 0) {
    return invalid("--compaction-sleep-interval must be >=0 (set to " + format_duration(pause) +
                   ")");
  }
  return {};
}

}  // namespace

Status validate_logging(const Values& values) {
  const std::string& logger = values.text("logger");
  if (logger == "capnslog") return invalid("--logger=capnslog is removed in v3.5");
  if (logger != "zap") return invalid("unknown logger option " + quote(logger));
  const auto& outputs = values.get<StringList>("log-outputs");
  const auto has = [&](std::string_view output) {
    return std::find(outputs.begin(), outputs.end(), output) != outputs.end();
  };
  if (outputs.size() > 1 && has("default")) {
    return invalid("multi logoutput for \"default\" is not supported yet");
  }
  if (outputs.size() > 1 && has("systemd/journal")) {
    return invalid("--log-outputs: systemd/journal cannot be combined with other outputs");
  }
  if (has("")) return invalid("--log-outputs must not contain an empty output");
  MORTISE_RETURN_IF_ERROR(validate_log_rotation(values, outputs));
  if (!is_log_level(values.text("log-level"))) {
    return invalid(std::string(kUnrecognizedLevel) + quote(values.text("log-level")));
  }
  const std::string& format = values.text("log-format");
  if (!format.empty() && format != "json" && format != "console") {
    return invalid("unknown log format: " + format + ", supported values json, console");
  }
  return {};
}

Status validate_as_etcd(const Values& values, std::vector<LogLine>& logs) {
  if (values.text("discovery-fallback") == "proxy") {
    return invalid(
        "v2 proxy is deprecated, and --discovery-fallback can't be configured as \"proxy\"");
  }
  MORTISE_RETURN_IF_ERROR(validate_logging(values));
  MORTISE_RETURN_IF_ERROR(validate_urls(values));
  MORTISE_RETURN_IF_ERROR(validate_bootstrap(values));
  MORTISE_RETURN_IF_ERROR(validate_ticks(values));
  if (values.get<UrlList>("advertise-client-urls").empty()) {
    return invalid(std::string(kAdvertiseClientUrlsUnset));
  }
  MORTISE_RETURN_IF_ERROR(validate_compaction(values));
  MORTISE_RETURN_IF_ERROR(validate_tracing(values));
  MORTISE_RETURN_IF_ERROR(validate_gates(values));
  MORTISE_RETURN_IF_ERROR(validate_tls(values));
  warn(values, logs);
  MORTISE_RETURN_IF_ERROR(validate_retention(values));
  MORTISE_RETURN_IF_ERROR(validate_secure_urls(values));
  MORTISE_RETURN_IF_ERROR(validate_auth(values));
  return validate_ours(values);
}

Result<int64_t> parse_retention(std::string_view mode, std::string_view text) {
  constexpr int64_t kHour = std::chrono::nanoseconds(std::chrono::hours(1)).count();
  if (text.empty()) return int64_t{0};
  std::string_view digits = text.substr(text.starts_with('+') ? 1 : 0);
  int64_t count = 0;
  auto [end, error] = std::from_chars(digits.begin(), digits.end(), count);
  const bool is_number = error == std::errc() && end == digits.end() && digits.front() != '-';
  if (is_number && mode == "revision") return count;
  if (is_number && count <= INT64_MAX / kHour) return count * kHour;
  if (is_number)
    return invalid("error parsing CompactionRetention: more hours than can be counted");
  auto duration = parse_duration(text);
  if (!duration.ok())
    return invalid("error parsing CompactionRetention: " + duration.status().message());
  if (duration->count() < 0) {
    return invalid("--auto-compaction-retention must be >=0 (set to " + format_duration(*duration) +
                   ")");
  }
  return duration->count();
}

}  // namespace mortise::config
