#include "host/config/config.h"

#include <algorithm>
#include <cctype>
#include <limits>

#include "host/config/config_file.h"
#include "host/config/environment.h"
#include "host/config/feature_gates.h"
#include "host/config/flag_parser.h"
#include "host/config/go_syntax.h"
#include "host/config/options.h"
#include "host/config/plugin_options.h"
#include "host/config/secrets.h"
#include "host/config/validate.h"

namespace mortise::config {
namespace {

using std::chrono::nanoseconds;

constexpr uint64_t kBcryptCostMin = 4;
constexpr uint64_t kBcryptCostMax = 31;
constexpr uint64_t kBcryptCostDefault = 10;
constexpr int64_t kDefaultQuotaBytes = int64_t{2} * 1024 * 1024 * 1024;
constexpr uint64_t kDefaultCompactionBatchLimit = 1000;
constexpr nanoseconds kDefaultCorruptCheckTime = std::chrono::hours(4);
constexpr nanoseconds kDefaultCompactionSleep = std::chrono::milliseconds(10);
constexpr nanoseconds kDefaultUnaryWarning = std::chrono::milliseconds(300);
constexpr nanoseconds kDefaultProgressInterval = std::chrono::minutes(10);
constexpr nanoseconds kLeastProgressInterval = std::chrono::milliseconds(100);
constexpr nanoseconds kLeastRaftTimeout = std::chrono::seconds(5);

class Parser {
 public:
  explicit Parser(const ParseInput& input) : input_(input) {}

  ParseOutcome run() {
    const auto& arguments = input_.arguments;
    if (arguments.size() > 1 && (arguments[1] == "gateway" || arguments[1] == "grpc-proxy")) {
      return exit_with(Action::kError, 1, "",
                       arguments[1] + " is not supported yet in this version\n");
    }
    const auto flags = arguments.empty() ? arguments : arguments.subspan(1);
    const FlagParse parsed = parse_flags(flags, values_);
    if (parsed.result == FlagParse::Result::kHelp) {
      return exit_with(Action::kPrintHelp, 0, help_text(), usage_text());
    }
    if (parsed.result == FlagParse::Result::kSyntaxError) {
      return exit_with(Action::kError, 2, "", parsed.error + "\n" + usage_text());
    }
    if (parsed.has_positional)
      return fail(invalid(quote(parsed.positional) + " is not a valid flag"));
    if (values_.flag("version")) return exit_with(Action::kPrintVersion, 0, "", "");
    return load();
  }

 private:
  ParseOutcome exit_with(Action action, int code, std::string out, std::string err) {
    outcome_.action = action;
    outcome_.exit_code = code;
    outcome_.stdout_text = std::move(out);
    outcome_.stderr_text = std::move(err);
    return std::move(outcome_);
  }

  void log(std::string level, std::string msg, std::vector<LogField> fields) {
    outcome_.logs.push_back({std::move(level), std::move(msg), std::move(fields)});
  }

  void log_arguments() { log("info", "Running: ", {{"args", without_secrets(input_.arguments)}}); }

  ParseOutcome fail(const Status& status) {
    log_arguments();
    log("warn", "failed to verify flags", {{"error", status.message()}});
    if (status.message() == kAdvertiseClientUrlsUnset) {
      log("warn", "advertise client URLs are not set", {{"error", status.message()}});
    }
    fill_logging();
    bool bad_level = status.message().starts_with(kUnrecognizedLevel);
    return exit_with(Action::kError, bad_level ? 2 : 1, "", "");
  }

  ParseOutcome load() {
    std::string path = values_.text("config-file");
    if (path.empty()) {
      const auto found = input_.environment.find("ETCD_CONFIG_FILE");
      if (found != input_.environment.end()) path = found->second;
    }
    Status status;
    if (path.empty()) {
      auto environment = apply_environment(input_.environment, values_);
      outcome_.unset_variables = std::move(environment.unset_variables);
      for (LogLine& line : environment.logs) outcome_.logs.push_back(std::move(line));
      if (environment.conflict) {
        fill_logging();
        return exit_with(Action::kError, 1, "", "");
      }
      status = environment.status;
      if (status.ok()) adjust_after_flags();
    } else {
      FileParse file = load_file(path);
      if (!file.stderr_text.empty())
        return exit_with(Action::kError, 1, "", std::move(file.stderr_text));
      status = file.status;
    }
    if (status.ok()) status = validate_as_etcd(values_, outcome_.logs);
    warn_deprecated();
    warn_without_effect(values_, outcome_.logs);
    if (status.ok()) status = refuse_not_yet(values_);
    if (!status.ok()) return fail(status);
    log_arguments();
    apply_default_host();
    fill_config();
    outcome_.action = Action::kRun;
    return std::move(outcome_);
  }

  FileParse load_file(const std::string& path) {
    // A file stands alone: what flags have set so far is dropped.
    values_ = Values();
    FileParse file;
    const auto content =
        input_.read_file ? input_.read_file(path)
                         : Result<std::string>(invalid("open " + path + ": no files can be read"));
    if (!content.ok()) {
      file.status = content.status();
      return file;
    }
    file = apply_file(content.value(), values_, file_plugins_);
    for (LogLine& line : file.logs) outcome_.logs.push_back(std::move(line));
    if (file.status.ok() && file.stderr_text.empty()) {
      log("info",
          "loaded server configuration, other configuration command line flags and environment "
          "variables "
          "will be ignored if provided",
          {{"path", path}});
      const bool discovery = !values_.text("discovery-srv").empty() ||
                             !values_.get<StringList>("discovery-endpoints").empty();
      if (discovery && values_.is_default(find_option("initial-cluster"))) {
        values_.set_data(find_option("initial-cluster"), Data(std::string()), Source::kDefault);
      }
    }
    return file;
  }

  // Defaults that hang on whether another flag or variable was given.
  void adjust_after_flags() {
    for (const auto* name : {"raft-read-timeout", "raft-write-timeout"}) {
      if (values_.get<nanoseconds>(name) >= kLeastRaftTimeout) continue;
      values_.set_data(find_option(name), Data(kLeastRaftTimeout), Source::kFlag);
      log("info",
          std::string(name) + " increased to minimum value: " + format_duration(kLeastRaftTimeout),
          {});
    }
    if (values_.is_set("listen-client-urls") && !values_.is_set("advertise-client-urls")) {
      values_.set_data(find_option("advertise-client-urls"), Data(UrlList()), Source::kDefault);
    }
    const bool discovery = !values_.text("discovery-srv").empty() ||
                           !values_.text("discovery-srv-name").empty() ||
                           !values_.get<StringList>("discovery-endpoints").empty();
    if (discovery && !values_.is_set("initial-cluster")) {
      values_.set_data(find_option("initial-cluster"), Data(std::string()), Source::kDefault);
    }
  }

  void warn_deprecated() {
    if (values_.is_set("max-snapshots")) {
      log("warn", "--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8.", {});
    }
    if (values_.is_set("v2-deprecation")) {
      log("warn",
          "--v2-deprecation is deprecated and scheduled for removal in v3.8. The default value is "
          "enforced, "
          "ignoring user input.",
          {});
    }
  }

  // Puts `host` in place of a URL that is advertised by default; true if it did.
  bool replace_default(std::string_view advertise, std::string_view listen,
                       const std::string& host) {
    const int index = find_option(advertise);
    const auto& listened = values_.get<UrlList>(listen);
    if (!values_.is_default(index) || listened.empty() || listened.front().host != "0.0.0.0")
      return false;
    const std::string shown = host.find(':') == std::string::npos ? host : "[" + host + "]";
    auto url = parse_url("http://" + shown + ":" + listened.front().port);
    if (!url.ok()) return false;
    values_.set_data(index, Data(UrlList{std::move(url).value()}), values_.source(index));
    return true;
  }

  void apply_default_host() {
    Result<std::string> host = input_.default_host ? input_.default_host() : std::string();
    const std::string found = host.ok() ? host.value() : "";
    bool used =
        !found.empty() && replace_default("initial-advertise-peer-urls", "listen-peer-urls", found);
    // The initial cluster follows the name when only the name is given.
    const int cluster = find_option("initial-cluster");
    if (values_.text("name") != "default" && values_.is_default(cluster)) {
      StringList members;
      for (const Url& url : values_.get<UrlList>("initial-advertise-peer-urls")) {
        const std::string& name = values_.text("name");
        members.push_back((name.empty() ? "default" : name) + "=" + url.text);
      }
      values_.set_data(cluster, Data(join(members, ",")), values_.source(cluster));
    }
    if (!found.empty() && replace_default("advertise-client-urls", "listen-client-urls", found))
      used = true;
    if (used) log("info", "detected default host for advertise", {{"host", found}});
    if (!host.ok())
      log("info", "failed to detect default host", {{"error", host.status().message()}});
  }

  void fill_config() {
    fill_member();
    fill_tls();
    fill_limits();
    fill_cluster();
    fill_logging();
    fill_tuning();
    fill_auth();
    fill_plugins();
  }

  void fill_member() {
    Config& config = outcome_.config;
    config.name = values_.text("name");
    config.data_dir = values_.text("data-dir");
    if (config.data_dir.empty()) {
      config.data_dir = config.name + ".etcd";
      log("warn", "'data-dir' was empty; using default", {{"data-dir", config.data_dir}});
    }
    config.wal_dir = values_.text("wal-dir");
    config.snapshot_count = values_.get<uint64_t>("snapshot-count");
    config.snapshot_catchup_entries = values_.get<uint64_t>("snapshot-catchup-entries");
    config.max_snapshots = values_.get<uint64_t>("max-snapshots");
    config.max_wals = values_.get<uint64_t>("max-wals");
    // validate_ticks() has bounded both.
    const uint64_t heartbeat = values_.get<uint64_t>("heartbeat-interval");
    const uint64_t election = values_.get<uint64_t>("election-timeout");
    config.heartbeat_interval = std::chrono::milliseconds(heartbeat);
    config.election_timeout = std::chrono::milliseconds(election);
    config.election_ticks = election / heartbeat;
    config.initial_election_tick_advance = values_.flag("initial-election-tick-advance");
    config.pre_vote = values_.flag("pre-vote");
    config.listen_peer_urls = values_.get<UrlList>("listen-peer-urls");
    config.listen_client_urls = values_.get<UrlList>("listen-client-urls");
    config.listen_client_http_urls = values_.get<UrlList>("listen-client-http-urls");
    config.listen_metrics_urls = values_.get<UrlList>("listen-metrics-urls");
    config.socket_reuse_port = values_.flag("socket-reuse-port");
    config.socket_reuse_address = values_.flag("socket-reuse-address");
    config.raft_read_timeout = values_.get<nanoseconds>("raft-read-timeout");
    config.raft_write_timeout = values_.get<nanoseconds>("raft-write-timeout");
  }

  void fill_tls() {
    Config& config = outcome_.config;
    config.client_tls = tls_of("");
    config.client_tls.crl_file = values_.text("client-crl-file");
    config.client_tls.allowed_cns = values_.get<StringList>("client-transport-security.allowed-cn");
    config.client_tls.allowed_hostnames = values_.get<StringList>("client-cert-allowed-hostname");
    config.peer_tls = tls_of("peer-");
    config.peer_tls.crl_file = values_.text("peer-crl-file");
    config.peer_tls.allowed_cns = values_.get<StringList>("peer-cert-allowed-cn");
    config.peer_tls.allowed_hostnames = values_.get<StringList>("peer-cert-allowed-hostname");
    config.peer_tls.skip_client_san_verification =
        values_.flag("peer-skip-client-san-verification");
    config.self_signed_cert_validity = values_.get<uint64_t>("self-signed-cert-validity");
  }

  // What both sides have, under names that differ in a prefix.
  TlsOptions tls_of(const std::string& prefix) const {
    TlsOptions tls;
    tls.cert_file = values_.text(prefix + "cert-file");
    tls.key_file = values_.text(prefix + "key-file");
    tls.client_cert_file = values_.text(prefix + "client-cert-file");
    tls.client_key_file = values_.text(prefix + "client-key-file");
    tls.trusted_ca_file = values_.text(prefix + "trusted-ca-file");
    tls.client_cert_auth = values_.flag(prefix + "client-cert-auth");
    tls.auto_tls = values_.flag(prefix + "auto-tls");
    tls.cipher_suites = values_.get<StringList>("cipher-suites");
    tls.min_version = values_.text("tls-min-version");
    tls.max_version = values_.text("tls-max-version");
    for (auto* names : {&tls.cipher_suites}) std::erase(*names, "");
    return tls;
  }

  void fill_limits() {
    Config& config = outcome_.config;
    config.quota_backend_bytes = values_.get<int64_t>("quota-backend-bytes");
    config.max_txn_ops = values_.get<uint64_t>("max-txn-ops");
    config.max_request_bytes = values_.get<uint64_t>("max-request-bytes");
    config.max_concurrent_streams =
        static_cast<uint32_t>(values_.get<uint64_t>("max-concurrent-streams"));
    config.grpc_keepalive_min_time = values_.get<nanoseconds>("grpc-keepalive-min-time");
    config.grpc_keepalive_interval = values_.get<nanoseconds>("grpc-keepalive-interval");
    config.grpc_keepalive_timeout = values_.get<nanoseconds>("grpc-keepalive-timeout");
    config.max_learners = values_.get<int64_t>("max-learners");
  }

  void fill_cluster() {
    Config& config = outcome_.config;
    config.initial_advertise_peer_urls = values_.get<UrlList>("initial-advertise-peer-urls");
    config.advertise_client_urls = values_.get<UrlList>("advertise-client-urls");
    config.initial_cluster = values_.text("initial-cluster");
    config.initial_cluster_state = values_.text("initial-cluster-state");
    config.initial_cluster_token = values_.text("initial-cluster-token");
    fill_discovery();
    config.strict_reconfig_check = values_.flag("strict-reconfig-check");
    config.force_new_cluster = values_.flag("force-new-cluster");
    config.downgrade_check_time = values_.get<nanoseconds>("downgrade-check-time");
  }

  void fill_discovery() {
    Discovery& discovery = outcome_.config.discovery;
    discovery.token = values_.text("discovery-token");
    discovery.endpoints = values_.get<StringList>("discovery-endpoints");
    for (std::string& endpoint : discovery.endpoints) endpoint = std::string(trim(endpoint));
    discovery.dial_timeout = values_.get<nanoseconds>("discovery-dial-timeout");
    discovery.request_timeout = values_.get<nanoseconds>("discovery-request-timeout");
    discovery.user = values_.text("discovery-user");
    discovery.password = values_.text("discovery-password");
    discovery.auth_token = values_.text("discovery-config.client.auth.token");
    TlsOptions& tls = discovery.tls;
    tls.cert_file = values_.text("discovery-cert");
    tls.key_file = values_.text("discovery-key");
    tls.trusted_ca_file = values_.text("discovery-cacert");
    tls.trusts_any_server = values_.flag("discovery-insecure-skip-tls-verify");
    discovery.server_name = values_.text("discovery-config.client.secure.server-name");
    discovery.has_tls = tls.has_certificate() || !tls.trusted_ca_file.empty() ||
                        tls.trusts_any_server || !discovery.server_name.empty() ||
                        !values_.flag("discovery-insecure-transport");
    discovery.srv_domain = values_.text("discovery-srv");
    discovery.srv_name = values_.text("discovery-srv-name");
    discovery.dns_server = values_.text("discovery-dns-server");
  }

  void fill_logging() {
    // What cannot be used is reported with the default logger.
    const Values defaults;
    const Values& values = validate_logging(values_).ok() ? values_ : defaults;
    Config& config = outcome_.config;
    config.logger = values.text("logger");
    config.log_level = values.text("log-level");
    std::transform(config.log_level.begin(), config.log_level.end(), config.log_level.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (config.log_level.empty()) config.log_level = "info";
    if (config.log_level == "warning") config.log_level = "warn";
    config.metrics = values.text("metrics");
    config.log_format = values.text("log-format").empty() ? "json" : values.text("log-format");
    config.log_outputs = values.get<StringList>("log-outputs");
    if (config.log_outputs.empty()) config.log_outputs = {"default"};
    if (values.flag("enable-log-rotation")) {
      auto rotation = parse_log_rotation(values.text("log-rotation-config-json"));
      if (rotation.ok()) config.log_rotation = *rotation;
    }
    config.warning_apply_duration = values_.get<nanoseconds>("warning-apply-duration");
    config.warning_unary_request_duration =
        values_.get<nanoseconds>("warning-unary-request-duration");
    if (config.warning_unary_request_duration.count() == 0) {
      config.warning_unary_request_duration = kDefaultUnaryWarning;
    }
  }

  void fill_tuning() {
    Config& config = outcome_.config;
    config.compaction_batch_limit =
        static_cast<uint64_t>(values_.get<int64_t>("compaction-batch-limit"));
    if (config.compaction_batch_limit == 0)
      config.compaction_batch_limit = kDefaultCompactionBatchLimit;
    config.compaction_sleep_interval = values_.get<nanoseconds>("compaction-sleep-interval");
    if (config.compaction_sleep_interval.count() == 0) {
      config.compaction_sleep_interval = kDefaultCompactionSleep;
    }
    const int check = find_option("corrupt-check-time");
    config.corrupt_check_time = values_.source(check) == Source::kDefault
                                    ? kDefaultCorruptCheckTime
                                    : values_.get<nanoseconds>("corrupt-check-time");
    config.compact_hash_check_time = values_.get<nanoseconds>("compact-hash-check-time");
    config.apply_hash_check_time = values_.get<nanoseconds>("apply-hash-check-time");
    config.watch_progress_notify_interval =
        values_.get<nanoseconds>("watch-progress-notify-interval");
    if (config.watch_progress_notify_interval.count() <= 0) {
      config.watch_progress_notify_interval = kDefaultProgressInterval;
    } else if (config.watch_progress_notify_interval < kLeastProgressInterval) {
      config.watch_progress_notify_interval = kLeastProgressInterval;
      log("warn", "adjusting watch progress notify interval to minimum period",
          {{"min-watch-progress-notify-interval", format_duration(kLeastProgressInterval)}});
    }
    config.feature_gates = effective_feature_gates(values_.get<GateMap>("feature-gates"));
    config.enable_grpc_gateway = values_.flag("enable-grpc-gateway");
    config.unsafe_no_fsync = values_.flag("unsafe-no-fsync");
    config.memory_mlock = values_.flag("memory-mlock");
    constexpr uint64_t kMegabyte = 1024 * 1024;
    const uint64_t megabytes = values_.get<uint64_t>("bootstrap-defrag-threshold-megabytes");
    config.bootstrap_defrag_threshold_bytes =
        std::min(megabytes, UINT64_MAX / kMegabyte) * kMegabyte;
    config.auto_compaction_mode = values_.text("auto-compaction-mode");
    auto retention =
        parse_retention(config.auto_compaction_mode, values_.text("auto-compaction-retention"));
    if (retention.ok()) config.auto_compaction_retention = *retention;
    config.v2_deprecation = "write-only";
  }

  void fill_auth() {
    Config& config = outcome_.config;
    config.auth_token = values_.text("auth-token");
    config.auth_token_ttl = values_.get<uint64_t>("auth-token-ttl");
    config.bcrypt_cost = values_.get<uint64_t>("bcrypt-cost");
    config.client_cert_auth = values_.flag("client-cert-auth");
    if (config.bcrypt_cost == config.effective_bcrypt_cost()) return;
    log("warn", "use default bcrypt cost instead of the invalid given cost",
        {{"min-cost", std::to_string(kBcryptCostMin)},
         {"max-cost", std::to_string(kBcryptCostMax)},
         {"default-cost", std::to_string(kBcryptCostDefault)},
         {"given-cost", std::to_string(config.bcrypt_cost)}});
  }

  void fill_plugins() {
    Config& config = outcome_.config;
    config.backend = {values_.text("backend"), values_.text("backend-options")};
    config.watch = {values_.text("watch-plugin"), file_plugins_.watch_options};
    config.auth = {values_.text("auth-plugin"), "{}"};
    config.transports = file_plugins_.transports;
    if (config.transports.empty()) {
      for (const std::string& name : values_.get<StringList>("transport-plugins")) {
        config.transports.push_back({name, "{}"});
      }
    }
    HttpDefaults http;
    http.cors = values_.text("cors");
    http.host_whitelist = join(values_.get<StringList>("host-whitelist"), ",");
    http.gateway = values_.flag("enable-grpc-gateway");
    for (PluginSpec& spec : config.transports) {
      if (spec.name_or_path != "http") continue;
      spec.options_json = with_http_defaults(spec.options_json, http);
    }
    config.plugin_dir = values_.text("plugin-dir");
  }

  const ParseInput& input_;
  Values values_;
  FilePlugins file_plugins_;
  ParseOutcome outcome_;
};

}  // namespace

uint64_t Config::effective_bcrypt_cost() const {
  bool exists = bcrypt_cost >= kBcryptCostMin && bcrypt_cost <= kBcryptCostMax;
  return exists ? bcrypt_cost : kBcryptCostDefault;
}

int64_t Config::effective_quota_bytes() const {
  if (quota_backend_bytes == 0) return kDefaultQuotaBytes;
  return quota_backend_bytes < 0 ? std::numeric_limits<int64_t>::max() : quota_backend_bytes;
}

ParseOutcome parse(const ParseInput& input) { return Parser(input).run(); }

std::vector<std::string> plugin_search_path(const Config& config,
                                            const std::string& executable_dir) {
  if (!config.plugin_dir.empty()) return {config.plugin_dir};
  return {executable_dir + "/../plugins", executable_dir + "/../lib/mortise/plugins"};
}

}  // namespace mortise::config
